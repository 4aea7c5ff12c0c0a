"""The authors' checkpoints."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import AutofocusCore
from AutofocusCore.errors import ModelError

FIXTURES = {"AFN1": "afn-1", "AFN5": "afn-5", "ASPP_c": "aspp-c"}


@pytest.mark.parametrize("name", FIXTURES)
def test_logits_and_attention_equal_those_of_the_authors_own_code(fixtures_released: Path, name: str) -> None:
    network = AutofocusCore.load_released_checkpoint(fixtures_released / f"{name}_checkpoint.pth.tar")
    with np.load(fixtures_released / f"{name}_io.npz") as arrays:
        volume, expected = torch.from_numpy(arrays["input"]), arrays["output"]
        maps = [arrays[key] for key in arrays.files if key.startswith("attention:")]
    with torch.inference_mode():
        logits, attention = network.forward_with_attention(volume)
    assert network.options["architecture"] == FIXTURES[name]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=0, atol=1e-4)
    assert len(attention) == len(maps)
    for weights, expected_weights in zip(attention, maps, strict=True):
        np.testing.assert_allclose(weights.numpy(), expected_weights, rtol=0, atol=1e-4)


def test_exact_mode_gives_the_same_on_a_released_network(fixtures_released: Path) -> None:
    network = AutofocusCore.load_released_checkpoint(fixtures_released / "AFN5_checkpoint.pth.tar")
    volume = torch.randn(4, 9, 12, 7, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(torch.nn.functional.pad(volume[None], 6 * [network.margin], value=-3.5))[0]
    prediction = AutofocusCore.predict_volume(network, volume, background=-3.5, device="cpu", precision="float32")
    torch.testing.assert_close(prediction.logits, expected, rtol=0, atol=1e-4)


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _state() -> dict[str, torch.Tensor]:
    """Keys and shapes of a released Basic network, made by renaming ours back."""
    ours = AutofocusCore.build_network("basic", in_channels=1, num_classes=2).state_dict()
    pairs = [
        ("stem.0.conv", "conv1"), ("stem.0.norm", "bn1"), ("stem.1.conv", "conv2"), ("stem.1.norm", "bn2"),
        ("blocks.0", "layer3"), ("blocks.1", "layer4"), ("blocks.2", "layer5"),
        ("first.conv", "conv1"), ("first.norm", "bn1"), ("second.conv", "conv2"), ("second.norm", "bn2"),
        ("projection.conv", "downsample.0"), ("projection.norm", "downsample.1"), ("head.", "fc."),
    ]  # fmt: skip
    renamed = {}
    for key, value in ours.items():
        for mine, theirs in pairs:
            key = key.replace(mine, theirs)
        renamed[f"module.{key}"] = value
    return renamed


def _save(path: Path, state: Any) -> Path:
    torch.save({"epoch": 1, "state_dict": state, "opt_dict": {}}, path, _use_new_zipfile_serialization=False)
    return path


def test_a_basic_network_is_recognised_from_its_keys(tmp_path: Path) -> None:
    network = AutofocusCore.load_released_checkpoint(_save(tmp_path / "basic.pth.tar", _state()))
    assert network.options["architecture"] == "basic"
    assert (network.in_channels, network.num_classes) == (1, 2)


def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path, trace = tmp_path / "bomb.pth.tar", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"state_dict": _Bomb(trace)}))
    with pytest.raises(ModelError, match="bomb"):
        AutofocusCore.load_released_checkpoint(path)
    _save(path, {"module.conv1.weight": _Bomb(trace)})
    with pytest.raises(ModelError, match="more than plain weights"):
        AutofocusCore.load_released_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda state: state.pop("module.fc.bias"), "lacks tensor 'head.bias'"),
        (lambda state: state.update({"module.extra": torch.zeros(1)}), "unknown tensor 'extra'"),
        (lambda state: state.update({"module.bn1.weight": torch.zeros(7)}), r"\(7,\), not \(30,\)"),
        (lambda state: state["module.fc.weight"].fill_(float("nan")), "not finite"),
        (lambda state: state.pop("module.conv1.weight"), "not one of the released networks"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, change: Any, word: str) -> None:
    state = _state()
    change(state)
    with pytest.raises(ModelError, match=word):
        AutofocusCore.load_released_checkpoint(_save(tmp_path / "odd.pth.tar", state))


def test_a_missing_empty_or_cut_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no checkpoint"):
        AutofocusCore.load_released_checkpoint(tmp_path / "none.pth.tar")
    whole = _save(tmp_path / "whole.pth.tar", _state()).read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path = tmp_path / f"cut-{length}.pth.tar"
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=path.name):
            AutofocusCore.load_released_checkpoint(path)
