"""Whatever is given to inference is taken for what it means, or refused in one sentence before anything is computed."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from AutofocusCore.errors import DeviceError, SettingError
from AutofocusCore.inference import plan_volume, predict_volume
from AutofocusCore.inference.arguments import as_background, as_layers, as_region, as_volume
from Testing.core.small_networks import narrow_network

NAN, INF = float("nan"), float("inf")
NO_NUMBERS: list[Any] = ["0", b"0", 1j, NAN, INF, object(), {}, [[1]], True]
WRONG: dict[str, list[Any]] = {
    "volume": [
        None, "scan.nii.gz", 5.0, object(), [[1, 2], [3]], {"image": 1}, np.zeros((1, 4, 4, 4), complex),
        np.full((1, 4, 4, 4), "a"), np.full((1, 4, 4, 4), None), np.zeros((1, 4, 4, 4), "M8[s]"),
        torch.zeros(1, 4, 4, 4, dtype=torch.cfloat), torch.zeros(1, 4, 4, 4).to_sparse(),
        torch.full((1, 4, 4, 4), NAN), np.full((1, 4, 4, 4), 1e300),
    ],
    "background": [
        *NO_NUMBERS, None, [], [True], [1, "2"], [[1], [2, 3]], np.array(1j), np.zeros(3), 1e300, torch.tensor(1j),
        torch.tensor(NAN), torch.tensor(True),
    ],
    "mode": [None, 1, True, NAN, b"exact", ["exact"], np.zeros(2), "sliding"],
    "device": [None, 1, True, NAN, b"cpu", ["cpu"], "abacus"],
    "precision": [None, 16, True, NAN, b"float32", ["float32"], np.zeros(2), torch.float32, "int8"],
    "memory_limit": [*NO_NUMBERS, 10**400, 0, -1, -5.0, [10**9], np.float32(NAN), np.array([1, 2])],
    "attention": [
        0, 1, True, False, 1.0, NAN, 1j, "0", "none", b"\0", object(), [True], [0.0], [NAN], ["0"], [None], [-1], [1],
        np.array([0.0]), np.array([True]), [[0]],
    ],
    "progress": ["print", 1, True, []],
    "cancelled": ["no", 1, False, []],
    "region": [
        "all", 5, True, NAN, (), [], ((0, 2), (0, 2)), ((0, 2),) * 4, ((0, 2), (0, 2), (0, 2, 1)), ((0, 2), (0, 2), 2),
        ((0.0, 2.0),) * 3, ((0, NAN),) * 3, ((0, None),) * 3, ("02",) * 3, ((False, True),) * 3, ((0, 1j),) * 3,
        ((-1, 2),) * 3, ((2, 2),) * 3, ((0, 9),) * 3, np.zeros((3, 2)),
    ],
    "mask": [
        "body", 1, True, NAN, [[[True]]], np.ones((4, 4, 4)), np.ones((4, 4), bool), np.full((4, 4, 4), None),
        torch.ones(4, 4, 4), torch.ones(1, 4, 4, 4, dtype=torch.bool), np.ones((4, 4, 4), complex),
    ],
    "network": [None, "afn-1", object(), torch.nn.Conv3d(1, 1, 1), torch.nn.Module],
}  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Any:
    return narrow_network("afn-1", dilation_rates=(1, 2), norm="fused", domain="roi")


def refused(function: Any, **given: Any) -> str:
    """The sentence with which a call is refused; no warning may come beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((SettingError, DeviceError)) as caught:
            function(**given)
    return str(caught.value)


def is_one_sentence(text: str) -> bool:
    return "\n" not in text and len(text) < 250 and text.endswith(".") and "; " in text


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_type_or_none_that_is_a_number_is_refused_by_the_arguments_name(
    network: Any, name: str
) -> None:
    sound = {"network": network, "volume": np.zeros((1, 4, 4, 4)), "device": "cpu", "precision": "float32"}
    for value in WRONG[name]:
        sentence = refused(predict_volume, **{**sound, name: value})
        assert is_one_sentence(sentence), (value, sentence)
        assert name.replace("_limit", "") in sentence.lower(), (value, sentence)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("shape", [None, "1444", 4, (4, 4, 4), (1, 4, 4, 0), (1, 4, 4, -4), (1, 4, 4, 4.0), (1, 4, 4, NAN)]),
        ("active_share", [None, "1", 1j, NAN, INF, -0.1, 1.1, True, [0.5]]),
        ("memory_limit", [0, NAN, "1"]),
        ("region", [np.zeros(6)]),
        ("network", [None]),
    ],
)
def test_a_plan_refuses_the_same(network: Any, name: str, values: list[Any]) -> None:
    sound = {"network": network, "shape": (1, 4, 4, 4), "device": "cpu"}
    for value in values:
        sentence = refused(plan_volume, **{**sound, name: value})
        assert is_one_sentence(sentence), (value, sentence)
        assert name.removesuffix("_limit") in sentence.lower(), (value, sentence)


SAME: dict[str, list[Any]] = {
    "background": [0, np.float32(0), np.int64(0), np.zeros(1), [0.0], torch.zeros(()), torch.zeros(1).half()],
    "memory_limit": [10**9, 1e9, np.int64(10**9), np.float64(1e9), Fraction(10**9)],
    "attention": [(0,), range(1), np.array([0]), [np.int8(0)], torch.tensor([0]), "all", np.str_("all")],
    "region": [((0, 4),) * 3, [[0, 4]] * 3, np.array([[0, 4]] * 3), torch.tensor([[0, 4]] * 3)],
    "mask": [np.ones((4, 4, 4), bool), torch.ones(4, 4, 4, dtype=torch.bool), np.ones((8, 4, 4), bool)[::-2]],
    "mode": [np.str_("exact")],
    "device": [torch.device("cpu"), "CPU"],
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_numpys_and_pytorchs_numbers_and_lists_are_numbers_and_lists(network: Any, name: str) -> None:
    volume = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    sound = {"network": network, "volume": volume, "device": "cpu", "precision": "float32", "attention": [0]}
    expected = predict_volume(**sound)  # type: ignore[arg-type]
    for value in SAME[name]:
        found = predict_volume(**{**sound, name: value})  # type: ignore[arg-type]
        assert torch.equal(found.logits, expected.logits), value
        assert list(found.attention) == [0], value
        assert type(next(iter(found.attention))) is int, value


def test_a_nested_list_is_a_volume_and_a_tensor_with_a_gradient_too(network: Any) -> None:
    volume = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    options = {"device": "cpu", "precision": "float32"}
    expected = predict_volume(network, volume, **options).logits  # type: ignore[arg-type]
    for same in (volume.tolist(), volume.clone().requires_grad_()):
        assert torch.equal(predict_volume(network, same, **options).logits, expected)  # type: ignore[arg-type]


def test_each_value_becomes_what_it_means() -> None:
    assert as_volume(np.arange(3, dtype="u1"), "cpu").tolist() == [0, 1, 2]
    assert as_background((1, 2.5), 2).tolist() == [1, 2.5]
    assert as_background(torch.tensor(-1.5, dtype=torch.bfloat16), 3).tolist() == [-1.5] * 3
    assert as_region(None, (2, 3, 4)) == ((0, 2), (0, 3), (0, 4))
    network = narrow_network("afn-2")
    assert as_layers("all", network) == (0, 1)
    assert as_layers(None, network) is None
