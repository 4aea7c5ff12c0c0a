"""MONAI's DynUNet in the model's place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from AutofocusCore.errors import AutofocusError
from AutofocusCore.kernels import ActiveVoxels
from Training.configuration.config import load_config
from Training.loop.baseline import DynUNetBaseline, network_of

CONFIG = Path(__file__).resolve().parents[2] / "Training" / "configs" / "head-neck-ct" / "dynunet.toml"


def test_rows_are_the_active_voxels_of_the_dense_answer_whatever_the_size_of_the_scan() -> None:
    torch.manual_seed(0)
    network = DynUNetBaseline(in_channels=1, num_classes=3, filters=(4, 6, 8)).eval()
    mask = torch.rand(1, 9, 10, 13) < 0.6
    x = torch.rand(1, 1, 9, 10, 13) * mask[:, None]
    voxels = ActiveVoxels.from_mask(mask)
    logits, attention = network.forward_rows(voxels.gather(x), voxels)
    assert attention == []
    assert torch.allclose(voxels.scatter(logits), network(x, mask), atol=1e-5)


def test_it_is_trained_as_the_model_that_it_is_compared_with() -> None:
    config, ours = load_config(CONFIG), load_config(CONFIG.with_name("afn-4.toml"))
    assert (config.data, config.augmentation, config.run.loss) == (ours.data, ours.augmentation, ours.run.loss)
    counts = [sum(p.numel() for p in network_of(one).parameters()) for one in (config, ours)]
    assert 1 < counts[0] / counts[1] < 2


def test_a_baseline_needs_scans() -> None:
    with pytest.raises(AutofocusError, match="baseline"):
        load_config(Path(__file__).with_name("segments.toml"), ["baseline.filters=[4, 8]"])
