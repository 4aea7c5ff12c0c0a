"""Contours on the slices of a grid: holes, slices between them, and what lies outside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from Training.preparing.contours import fill

SIZE = (44, 40, 24)
SPACING = (1.5, 1.25, 2.5)
ORIGIN = (-30.0, -20.0, 100.0)


def circle(radius: float, depth: float, centre: Sequence[float] = (2.0, 5.0)) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return np.stack([x, y, np.full_like(x, depth)], axis=1)


@pytest.fixture
def grid() -> Grid:
    return Grid(SIZE, SPACING, ORIGIN, (1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_a_contour_within_a_contour_is_a_hole(grid: Grid) -> None:
    mask, _ = fill([circle(12.0, ORIGIN[2]), circle(5.0, ORIGIN[2])], grid)
    only_outer, _ = fill([circle(12.0, ORIGIN[2])], grid)
    only_inner, _ = fill([circle(5.0, ORIGIN[2])], grid)
    assert np.array_equal(mask, only_outer & ~only_inner)
    assert only_inner.sum() > 20


def test_a_hole_that_a_keyhole_joins_to_the_outer_contour_is_a_hole(grid: Grid) -> None:
    outer, inner = circle(12.0, ORIGIN[2]), circle(5.0, ORIGIN[2])
    keyhole = np.concatenate([outer, outer[:1], inner[:1], inner[::-1], outer[:1]])
    mask, _ = fill([keyhole], grid)
    apart, _ = fill([outer, inner], grid)
    assert 2 * (mask & apart).sum() / (mask.sum() + apart.sum()) > 0.99


def test_contours_finer_than_the_slices_do_not_cancel_out(grid: Grid) -> None:
    depths = [100.0, 100.6, 101.2]
    mask, _ = fill([circle(8.0 + i, depth) for i, depth in enumerate(depths)], grid)
    alone, _ = fill([circle(8.0, 100.0)], grid)
    assert np.array_equal(mask[0], alone[0])


def test_skipped_slices_and_contours_outside_the_series_are_named(grid: Grid) -> None:
    depths = [ORIGIN[2], ORIGIN[2] + 2 * SPACING[2], ORIGIN[2] - 50]
    _, notes = fill([circle(8.0, depth) for depth in depths], grid)
    assert notes == ["has 1 contours outside the series", "has no contours on 1 slices between its first and last"]


def test_contours_of_other_planes_than_the_slices_are_refused(grid: Grid) -> None:
    tilted = circle(8.0, 110.0)
    tilted[:, 2] += 0.3 * (tilted[:, 0] - 2.0)
    with pytest.raises(InputError, match="do not lie in the slices"):
        fill([tilted], grid)


def test_a_contour_that_reaches_beyond_the_image_is_cut_off(grid: Grid) -> None:
    mask, _ = fill([circle(500.0, ORIGIN[2])], grid)
    assert mask[0].all()
    beside, _ = fill([circle(5.0, ORIGIN[2], (900.0, 900.0))], grid)
    assert not beside.any()


@pytest.mark.parametrize("offset", [0.5, -0.5, 0.4999, 0.2, -0.4])
def test_contours_between_the_slices_leave_none_of_them_empty(grid: Grid, offset: float) -> None:
    rounding = np.random.default_rng(0).uniform(-5e-4, 5e-4, 20)  # DICOM files give three decimals of a millimetre
    depths = [ORIGIN[2] + (k + offset) * SPACING[2] + r for k, r in enumerate(rounding, start=1)]
    mask, notes = fill([circle(8.0, depth) for depth in depths], grid)
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    assert len(filled) == 20
    assert filled.max() - filled.min() == 19
    assert notes == []
