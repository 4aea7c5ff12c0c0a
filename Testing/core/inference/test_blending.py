"""Autofocus layers with one BatchNorm for all rates: one convolution over blended inputs in place of K."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import AutofocusCore
from AutofocusCore.inference import blending
from AutofocusCore.inference.autofocus import Autofocus, ConvolvedAutofocus
from AutofocusCore.inference.blending import BlendedAutofocus, can_blend, product_weight
from AutofocusCore.inference.boxes import Box, Window, grow, intersect, place, shape_of
from AutofocusCore.inference.filters import Filter
from AutofocusCore.inference.graph import build_graph

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed.")

UNUSED: dict[str, Any] = {"hidden": None, "score_weight": torch.empty(0), "score_bias": torch.empty(0)}
"""Here attention is given."""


def _blended(weight: Tensor, biases: Tensor, rates: tuple[int, ...]) -> BlendedAutofocus:
    return BlendedAutofocus(rates=rates, weight=product_weight(weight, biases), **UNUSED)


def _truth(
    weight: Tensor, biases: Tensor, rates: tuple[int, ...], window: Window, box: Box, attention: Tensor
) -> Tensor:
    """K convolutions, zero outside the window, weighted by attention; in double precision."""
    total = torch.zeros((1, weight.shape[0], *shape_of(box)), dtype=torch.float64)
    for rate, bias, share in zip(rates, biases.double(), attention.double().split(1, dim=1), strict=True):
        around = grow(box, rate)
        source = torch.zeros((1, weight.shape[1], *shape_of(around)), dtype=torch.float64)
        inside = intersect(around, window.box)
        place(inside, source, around).copy_(window.crop(inside))
        total += share * torch.conv3d(source, weight.double(), bias, dilation=rate)
    return total


def _layer(channels: int, rates: tuple[int, ...], box: Box, sides: tuple[int, ...], seed: int = 0) -> tuple[Any, ...]:
    """Weight, biases, a window that has so much on each side of the box, and attention."""
    generator = torch.Generator().manual_seed(seed)
    held = tuple((low - sides[2 * n], high + sides[2 * n + 1]) for n, (low, high) in enumerate(box))
    features = torch.randn(1, *shape_of(held), channels, generator=generator).permute(0, 4, 1, 2, 3)  # type: ignore[arg-type]
    weight = torch.randn(7, channels, 3, 3, 3, generator=generator) / 10
    biases = torch.randn(len(rates), 7, generator=generator)
    attention = torch.randn(1, len(rates), *shape_of(box), generator=generator).softmax(dim=1)
    return weight, biases, Window(features, held), attention  # type: ignore[arg-type]


@given(
    channels=st.sampled_from([16, 17, 30, 32, 50]),
    rates=st.sampled_from([(2, 6, 10, 14), (1, 2, 3, 5), (2, 6), (1,)]),
    size=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 21)),
    sides=st.tuples(*6 * [st.integers(0, 15)]),
    chunk=st.sampled_from([1, 40, 512]),
    threads=st.sampled_from([1, 2, 3]),
)
def test_the_features_are_those_of_convolutions_that_are_blended_afterwards(
    channels: int,
    rates: tuple[int, ...],
    size: tuple[int, int, int],
    sides: tuple[int, ...],
    chunk: int,
    threads: int,
) -> None:
    depth, height, width = size
    box: Box = ((20, 20 + depth), (30, 30 + height), (40, 40 + width))
    weight, biases, window, attention = _layer(channels, rates, box, sides)
    expected = _truth(weight, biases, rates, window, box, attention)
    layer = _blended(weight, biases, rates)
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blending, "CHUNK", chunk)
        torch.set_num_threads(threads)
        try:
            for channels_last in (True, False):
                out = torch.full_like(expected, torch.nan, dtype=torch.float32)
                if channels_last:
                    out = out.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
                layer.blend(window, box, attention, out)
                torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-4)
        finally:
            torch.set_num_threads(before)


def test_a_part_of_a_larger_buffer_is_read_in_its_place() -> None:
    box: Box = ((5, 8), (4, 12), (6, 15))
    weight, biases, window, attention = _layer(18, (2, 6), box, (3, 4, 2, 5, 1, 6))
    storage = torch.full((1, 20, *window.tensor.shape[3:], 18), torch.nan)
    part = storage[:, 4 : 4 + window.tensor.shape[2]].permute(0, 4, 1, 2, 3)
    part.copy_(window.tensor)
    out = torch.empty(1, 7, *shape_of(box))
    _blended(weight, biases, (2, 6)).blend(Window(part, window.box), box, attention, out)
    expected = _truth(weight, biases, (2, 6), window, box, attention)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-4)


def test_bfloat16_is_rounded_to_the_nearest_and_of_two_to_the_even_one() -> None:
    values = torch.cat([torch.randn(6000), torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0]), torch.randn(76)])
    features = torch.ones(1, 1, 1, 380, 16, dtype=torch.bfloat16).permute(0, 4, 1, 2, 3)
    box: Box = ((0, 1), (0, 1), (0, 380))
    middle = torch.zeros(16, 16, 3, 3, 3)
    middle[:, :, 1, 1, 1] = torch.eye(16)
    layer = _blended(middle, torch.zeros(1, 16), (1,)).to(torch.bfloat16)
    for part in values.split(380):
        shares = torch.zeros(1, 1, 1, 1, 380)  # not shares, but whatever they are they multiply ones
        shares[..., : len(part)] = part
        out = torch.empty(1, 1, 1, 380, 16, dtype=torch.bfloat16).permute(0, 4, 1, 2, 3)
        layer.blend(Window(features, box), box, shares, out)
        assert torch.equal(out[0, 5, 0, 0, : len(part)], part.to(torch.bfloat16))


def test_in_bfloat16_it_errs_no_more_than_convolutions_that_are_blended_afterwards() -> None:
    rates, box = (2, 6, 10, 14), ((14, 22), (14, 46), (14, 46))
    weight, biases, window, attention = _layer(40, rates, box, 6 * (14,))
    window = Window(window.tensor.to(torch.bfloat16), window.box)
    expected = _truth(weight, biases, rates, window, box, attention)
    branches = tuple(Filter(weight, bias, rate) for bias, rate in zip(biases, rates, strict=True))
    layers: list[Autofocus] = [
        _blended(weight, biases, rates),
        ConvolvedAutofocus(rates=rates, branches=branches, **UNUSED),
    ]
    errors = []
    for layer in layers:
        out = torch.empty(1, *shape_of(box), 7, dtype=torch.bfloat16).permute(0, 4, 1, 2, 3)
        layer.to(torch.bfloat16).blend(window, box, attention, out)
        errors.append(float((out.double() - expected).std() / expected.std()))
    assert 0 < errors[0] < 1.1 * errors[1] < 0.02


def test_inputs_are_blended_where_all_rates_share_one_norm_and_nowhere_else() -> None:
    def kinds(**options: Any) -> set[type]:
        network = AutofocusCore.build_network("afn-4", in_channels=1, num_classes=2, **options)
        stages = build_graph(network, blended=True).stages  # type: ignore[arg-type]
        return {type(stage.operation) for stage in stages if stage.attention is not None}

    assert kinds(norm="fused") == {BlendedAutofocus}
    assert kinds(norm="branch") == {ConvolvedAutofocus}
    assert kinds(norm="fused", dilation_rates=[1, 2, 3, 4, 5]) == {ConvolvedAutofocus}
    assert not can_blend(torch.empty(4, 15, 3, 3, 3), (2, 6))


def test_without_numba_the_convolutions_are_computed_one_by_one_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("afn-2", in_channels=1, num_classes=3, norm="fused").eval()
    volume = torch.randn(1, 20, 24, 22)
    run = {"device": "cpu", "precision": "float32", "attention": "all"}
    blended = AutofocusCore.predict_volume(network, volume, **run)  # type: ignore[arg-type]
    monkeypatch.setattr(blending, "compiled_loop", lambda: None)
    convolved = AutofocusCore.predict_volume(network, volume, **run)  # type: ignore[arg-type]
    assert convolved.plan.work > blended.plan.work
    torch.testing.assert_close(blended.logits, convolved.logits, rtol=0, atol=1e-4)
    for layer, attention in blended.attention.items():
        torch.testing.assert_close(attention, convolved.attention[layer], rtol=0, atol=1e-4)


def test_a_numba_that_does_not_work_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "AutofocusCore.inference.blending_kernel", None)
    blending.compiled_loop.cache_clear()
    try:
        assert blending.compiled_loop() is None
        assert not can_blend(torch.empty(4, 30, 3, 3, 3), (2, 6))
    finally:
        monkeypatch.undo()
        blending.compiled_loop.cache_clear()
