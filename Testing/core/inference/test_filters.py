"""Two planes at a time are the same convolution with a third fewer multiplications."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from AutofocusCore.inference import filters
from AutofocusCore.inference.boxes import Box, Window, grow, intersect, place, shape_of
from AutofocusCore.inference.filters import Filter, make_filter, pairs, unpaired


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)


def _filtered(layer: Filter, window: Window, box: Box) -> torch.Tensor:
    out = torch.full((1, layer.weight.shape[0], *shape_of(box)), torch.nan, dtype=layer.weight.dtype)
    layer(window, box, out)
    return out


def _truth(weight: torch.Tensor, bias: torch.Tensor | None, rate: int, window: Window, box: Box) -> torch.Tensor:
    """One convolution over the box and all that it reaches, zero outside the window, in double precision."""
    around = grow(box, rate)
    source = torch.zeros((1, weight.shape[1], *shape_of(around)), dtype=torch.float64)
    inside = intersect(around, window.box)
    place(inside, source, around).copy_(window.crop(inside))
    return torch.conv3d(source, weight.double(), None if bias is None else bias.double(), dilation=rate)


@given(
    rate=st.sampled_from([1, 2, 3, 6]),
    depth=st.integers(1, 30),
    sides=st.tuples(*4 * [st.integers(0, 5)]),
    chunk=st.sampled_from([1, 2000, 100_000]),
    biased=st.booleans(),
)
def test_the_features_are_those_of_a_plain_convolution_whatever_the_shape(
    rate: int, depth: int, sides: tuple[int, int, int, int], chunk: int, biased: bool
) -> None:
    generator = torch.Generator().manual_seed(depth)
    box: Box = ((3, 3 + depth), (4, 36), (5, 38))
    top, bottom, left, right = sides  # what the window has beyond the box: less than is reached, as much, or more
    held: Box = ((3 - rate, 3 + depth + rate + 1), (4 - top, 36 + bottom), (5 - left, 38 + right))
    window = Window(_channels_last(torch.randn(1, 9, *shape_of(held), generator=generator)), held)
    weight, bias = torch.randn(5, 9, 3, 3, 3, generator=generator), torch.randn(5, generator=generator)
    layer = make_filter(weight, bias if biased else None, rate, minimal=True)
    assert layer.minimal is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "CHUNK", chunk)
        found = _filtered(layer, window, box)
    expected = _truth(weight, layer.bias, rate, window, box)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


def test_a_third_of_the_products_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four two-dimensional convolutions for two planes, where the plain way takes six."""
    planes = 0
    plain = filters.functional.conv2d

    def counted(source: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        nonlocal planes
        planes += len(source)
        return plain(source, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(filters.functional, "conv2d", counted)
    box: Box = ((2, 26), (2, 42), (2, 42))
    window = Window(_channels_last(torch.randn(1, 8, 28, 44, 44)), grow(box, 2))
    _filtered(make_filter(torch.randn(4, 8, 3, 3, 3), None, 2, minimal=True), window, box)
    assert planes == 24 * 4 / 2


def test_planes_beyond_the_window_are_zero_there_too() -> None:
    box: Box = ((0, 20), (0, 40), (0, 40))
    window = Window(_channels_last(torch.randn(1, 8, 20, 40, 40)), box)
    weight = torch.randn(4, 8, 3, 3, 3)
    found = _filtered(make_filter(weight, None, 3, minimal=True), window, box)
    torch.testing.assert_close(found.double(), _truth(weight, None, 3, window, box), rtol=0, atol=1e-4)


def test_bfloat16_errs_hardly_more_than_the_plain_way() -> None:
    generator = torch.Generator().manual_seed(0)
    box: Box = ((2, 34), (2, 42), (2, 42))
    features = _channels_last(torch.randn(1, 40, 36, 44, 44, generator=generator)).bfloat16()
    window = Window(features, grow(box, 2))
    weight = 0.05 * torch.randn(40, 40, 3, 3, 3, generator=generator)
    expected = _truth(weight, None, 2, Window(features.double(), window.box), box)
    errors = {}
    for minimal in (False, True):
        layer = make_filter(weight, None, 2, minimal=minimal).to(torch.bfloat16)
        errors[minimal] = (_filtered(layer, window, box).double() - expected).std() / expected.std()
    assert errors[False] < 0.003
    assert errors[True] < 2.5 * errors[False]


def test_a_layer_of_few_channels_is_computed_the_plain_way() -> None:
    assert make_filter(torch.randn(30, 1, 3, 3, 3), None, 1, minimal=True).minimal is None


@given(start=st.integers(0, 5), planes=st.integers(0, 80), rate=st.integers(1, 14), most=st.integers(1, 20))
def test_every_plane_is_in_one_pair_or_left_over(start: int, planes: int, rate: int, most: int) -> None:
    found: list[int] = []
    for first, count in pairs(start, start + planes, rate, most):
        assert 1 <= count <= most
        found += [*range(first, first + count), *range(first + rate, first + rate + count)]
    rest = range(*unpaired(start, start + planes, rate))
    assert len(rest) <= rate
    assert sorted([*found, *rest]) == list(range(start, start + planes))
