"""Offsets of classes, chosen on validation cases and written into the last layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import AutofocusCore
from AutofocusCore.errors import SettingError
from Training.configuration.config import load_config
from Training.evaluation.offsets import add_offsets, offsets_of


def test_an_offset_is_added_to_its_structures_logits_alone(balls_config: Path) -> None:
    spec = load_config(balls_config).model
    network = AutofocusCore.build_network(**spec.architecture).eval()
    x = torch.randn(1, 1, 31, 31, 31)
    before = network(x)
    add_offsets(network, offsets_of(["Prostate=1.5"], spec), spec)
    assert torch.allclose(
        network(x) - before, torch.tensor([0.0, 0.0, 1.5])[None, :, None, None, None].expand_as(before)
    )


@pytest.mark.parametrize("word", ["Prostate", "Prostate=much", "Liver=1", "Prostate=nan"])
def test_an_offset_that_makes_no_sense_is_refused(word: str, balls_config: Path) -> None:
    with pytest.raises(SettingError, match="cannot be used"):
        offsets_of([word], load_config(balls_config).model)


def test_a_network_without_one_last_layer_takes_no_offsets(balls_config: Path) -> None:
    spec = load_config(balls_config).model
    network = AutofocusCore.build_network("aspp-s", in_channels=1, num_classes=3)
    add_offsets(network, {}, spec)
    with pytest.raises(SettingError, match="takes no offsets"):
        add_offsets(network, {"Prostate": 1.0}, spec)
