from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Polygon

from AutofocusCore.io.contours import outlines

pytest.importorskip("contourpy")


def filled(mask: np.ndarray) -> np.ndarray:
    rows, columns = mask.shape
    centres = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    found = np.zeros(mask.shape, dtype=bool)
    for polygon in outlines(mask):
        inside = Polygon(np.concatenate([polygon, polygon[:1]]), closed=True).contains_points(centres)
        found ^= inside.reshape(mask.shape)
    return found


@given(arrays(bool, (9, 11)))
def test_filling_the_outlines_gives_any_mask_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(filled(mask), mask)


def test_a_square_has_one_outline_half_a_voxel_outside_its_outermost_centres() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:5, 3:7] = True
    (polygon,) = outlines(mask)
    assert (polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()) == ([2.5, 1.5], [6.5, 4.5])
    assert len(polygon) == 8, "an octagon: no vertex on the line between its neighbours"


def test_a_hole_makes_no_outline_of_its_own() -> None:
    mask = np.ones((9, 9), dtype=bool)
    mask[2:4, 2:4] = mask[5:7, 5:7] = False
    assert len(outlines(mask)) == 1
    np.testing.assert_array_equal(filled(mask), mask)


def test_an_empty_mask_has_no_outline() -> None:
    assert outlines(np.zeros((4, 4), dtype=bool)) == []


def test_a_mask_of_noise_with_thousands_of_holes_takes_no_minutes() -> None:
    mask = np.random.default_rng(0).random((200, 200)) < 0.75
    start = time.process_time()
    polygons = outlines(mask)
    assert time.process_time() - start < 20
    assert len(polygons) < 500
