"""Islands of structures: stray parts go wherever anatomy has one piece, a gap loses nothing; small ones on request."""

from __future__ import annotations

import math

import numpy as np
import pytest

from AutofocusCore.errors import SettingError
from AutofocusCore.images.islands import check_smallest, keep_main_parts, remove_islands

CUBES = (1.0, 1.0, 1.0)


def test_stray_parts_go_and_the_voxels_removed_are_counted() -> None:
    labels = np.zeros((6, 8, 30), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[1:2, 6:8, 25:27] = 1
    labels[5, 0, 29] = 1
    labels[4:6, 4:6, 0:2] = 2
    labels[0, 7, 0] = 2
    before = labels.copy()
    assert keep_main_parts(labels, [1], CUBES) == {1: 5}
    assert np.array_equal(labels == 1, np.pad(np.ones((3, 3, 3), bool), ((1, 2), (1, 4), (1, 26))))
    assert np.array_equal(labels == 2, before == 2)  # which may be in pieces


def test_parts_that_touch_at_a_corner_are_one() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 2, 2] = 3
    assert keep_main_parts(labels, [3, 7], CUBES) == {}  # there is no 7
    assert (labels == 3).sum() == 3


@pytest.mark.parametrize("gap", [1, 7, 40])
def test_a_cord_with_a_gap_keeps_both_halves(gap: int) -> None:
    labels = np.zeros((140, 3, 3), np.uint8)
    labels[:55] = 2
    labels[55 : 55 + gap] = 0
    labels[55 + gap :] = 2
    before = labels.copy()
    assert keep_main_parts(labels, [2], (1.0, 1.0, 2.5)) == {}
    assert np.array_equal(labels, before)


def test_a_small_part_stays_where_it_is_near_in_millimetres() -> None:
    labels = np.zeros((40, 5, 5), np.uint8)
    labels[:20] = 1
    labels[23:25, 1:3, 1:3] = 1  # 4 slices beyond: 8 of 508 voxels
    near, far = labels.copy(), labels.copy()
    assert keep_main_parts(near, [1], (1.0, 1.0, 2.5)) == {}, "10 mm"
    assert keep_main_parts(far, [1], (1.0, 1.0, 2.6)) == {1: 8}, "10.4 mm"


def test_a_speck_goes_wherever_it_is() -> None:
    labels = np.zeros((20, 10, 10), np.uint8)
    labels[:10] = 1
    labels[12, 5, 5] = 1
    assert keep_main_parts(labels, [1], CUBES) == {1: 1}


@pytest.mark.parametrize("smallest", [1e18, 1e308, np.float64(1e300), 10**30])
def test_an_island_that_no_image_can_hold_leaves_nothing(smallest: float) -> None:
    labels = np.ones((6, 8, 10), np.uint8)
    check_smallest(smallest)
    assert remove_islands(labels, 1.0, smallest) == labels.size
    assert not labels.any()


@pytest.mark.parametrize("smallest", [math.inf, math.nan, -1, -1e-9, "5", None, True, 10**400, [1], np.float32(-2)])
def test_what_is_no_volume_of_an_island_is_refused(smallest: object) -> None:
    with pytest.raises(SettingError, match="smallest_island_mm3 is"):
        check_smallest(smallest)
