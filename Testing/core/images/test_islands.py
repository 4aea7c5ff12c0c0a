"""Islands of structures: the largest part stays wherever anatomy has one piece, and small ones go on request."""

from __future__ import annotations

import math

import numpy as np
import pytest

from AutofocusCore.errors import SettingError
from AutofocusCore.images.islands import check_smallest, keep_largest, remove_islands


def test_the_largest_part_stays_and_the_voxels_removed_are_counted() -> None:
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[1:3, 6:8, 6:8] = 1
    labels[5, 0, 9] = 1
    labels[4:6, 4:6, 0:2] = 2
    labels[0, 7, 0] = 2
    before = labels.copy()
    assert keep_largest(labels, [1]) == {1: 9}
    assert np.array_equal(labels == 1, np.pad(np.ones((3, 3, 3), bool), ((1, 2), (1, 4), (1, 6))))
    assert np.array_equal(labels == 2, before == 2)  # which may be in pieces


def test_parts_that_touch_at_a_corner_are_one() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 2, 2] = 3
    assert keep_largest(labels, [3, 7]) == {}  # there is no 7
    assert (labels == 3).sum() == 3


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
