"""Scores are numbers or an error, whatever an array's memory looks like and whatever the caller told torch."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import AutofocusCore
from AutofocusCore.errors import ModelError, SettingError
from AutofocusCore.inference import predict_volume
from AutofocusCore.inference import prediction as module

CPU = {"device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return AutofocusCore.build_network("afn-1", in_channels=1, num_classes=3, dilation_rates=[2, 6]).eval()


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 6, 8, 9)).astype(np.float32)


@pytest.mark.parametrize(
    "same",
    [
        lambda v: v[:, ::-1].copy()[:, ::-1],  # negative strides
        lambda v: np.asfortranarray(v),
        lambda v: v.astype(">f4"),
        lambda v: v.astype("<f8"),
        lambda v: torch.from_numpy(v).double(),
    ],
    ids=["flipped", "fortran", "big endian", "double", "tensor"],
)
def test_an_array_is_its_values_however_they_lie_in_memory(network: Any, volume: np.ndarray, same: Any) -> None:
    expected = predict_volume(network, volume, **CPU).logits
    torch.testing.assert_close(predict_volume(network, same(volume), **CPU).logits, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["u2", "i8", ">i2", "?"])
def test_integers_are_numbers_too(network: Any, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (1, 4, 5, 6))
    expected = predict_volume(network, values.astype(np.float32), **CPU).logits
    torch.testing.assert_close(predict_volume(network, values.astype(kind), **CPU).logits, expected)


def test_autocast_of_the_caller_does_not_lower_the_precision_that_was_asked_for(
    network: Any, volume: np.ndarray
) -> None:
    expected = predict_volume(network, volume, **CPU).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = predict_volume(network, volume, **CPU)
    torch.testing.assert_close(got.logits, expected, atol=0, rtol=0)
    assert got.logits.dtype == torch.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_volume_with_values_that_are_no_numbers_is_refused(network: Any, volume: np.ndarray, value: float) -> None:
    spoilt = volume.copy()
    spoilt[0, 2, 3, 4] = value
    with pytest.raises(SettingError, match="NaN or infinite"):
        predict_volume(network, spoilt, **CPU)


def test_scores_that_are_no_numbers_are_an_error_and_not_background(volume: np.ndarray) -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("afn-1", in_channels=1, num_classes=3).eval()
    with torch.no_grad():
        network.head.weight[1, 0] = float("inf")
    with pytest.raises(ModelError, match="scores are not numbers"):
        predict_volume(network, volume, **CPU)


def test_what_overflows_in_16_bits_is_computed_again_in_32(network: Any, volume: np.ndarray) -> None:
    large = (1e6 * volume).astype(np.float32)
    expected = predict_volume(network, large, **CPU)
    got = predict_volume(network, large, device="cpu", precision="float16")
    assert got.precision == "float32"
    torch.testing.assert_close(got.logits, expected.logits)


def test_a_run_that_had_no_memory_keeps_none_while_the_next_is_tried(
    network: Any, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = np.zeros((1, 24, 24, 24), np.float32)
    held: list[weakref.ref[Any]] = []
    alive: list[bool] = []
    run, release = module._run, module._release_memory

    def runs_out(*args: Any) -> Any:
        if held:
            yield from run(*args)
        else:
            tensor = torch.ones(1000)
            held.append(weakref.ref(tensor))
            yield 0.1
            raise torch.OutOfMemoryError("out of memory")

    def released(device: Any) -> None:
        gc.disable()  # it must be gone without a search for cycles
        alive.append(held[0]() is not None)
        gc.enable()
        release(device)

    monkeypatch.setattr(module, "_run", runs_out)
    monkeypatch.setattr(module, "_release_memory", released)
    got = predict_volume(network, large, **CPU)
    assert alive == [False]
    assert got.logits.shape == (3, 24, 24, 24)
