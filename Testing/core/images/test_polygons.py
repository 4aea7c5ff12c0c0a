"""Contours on the slices of a grid: holes, slices between them, and what lies outside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from AutofocusCore.images.polygons import fill, fill_skipped, inside

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


def test_a_contour_that_is_given_twice_counts_once(grid: Grid) -> None:
    mask, _ = fill([circle(12.0, ORIGIN[2])] * 2, grid)
    once, _ = fill([circle(12.0, ORIGIN[2])], grid)
    assert np.array_equal(mask, once)
    assert once.any()


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
    assert notes == ["has 1 contour outside the series", "has no contours on 1 slice between its first and last"]


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


def test_pixels_within_a_polygon_are_those_that_matplotlib_finds() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:50, :60]
    for _ in range(100):
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 60)))
        radius = rng.uniform(3, 40, len(angles))  # some reach beyond the image
        polygon = np.stack([30 + radius * np.cos(angles), 25 + radius * np.sin(angles)], axis=1)
        expected = Polygon(polygon).contains_points(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(50, 60)
        assert np.array_equal(inside(polygon, (50, 60)), expected)


def test_polygons_side_by_side_share_no_pixel_and_leave_none_out() -> None:
    corners = [(0.0, 0.0), (7.0, 0.0), (7.0, 9.0), (0.0, 9.0)]  # on pixel centres
    middle = (3.0, 5.0)
    parts = [inside(np.array([one, two, middle]), (9, 7)) for one, two in pairwise([*corners, corners[0]])]
    assert np.array_equal(np.sum(parts, axis=0), np.ones((9, 7)))


def test_a_few_skipped_slices_are_filled_halfway_and_a_long_gap_stays() -> None:
    mask = np.zeros((12, 30, 30), dtype=bool)
    mask[1, 5:15, 5:15] = True
    mask[3, 5:25, 5:25] = True
    mask[8, 5:15, 5:15] = True
    assert fill_skipped(mask, 3) == 1
    assert (mask[1].sum(), mask[3].sum()) == (100, 400)
    assert 180 <= mask[2].sum() <= 260
    assert mask[2, 5:15, 5:15].all()
    assert not mask[4:8].any()
    assert not mask[0].any()
    assert not mask[9:].any()
