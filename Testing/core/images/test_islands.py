"""Islands of structures: the largest part of a structure stays, wherever anatomy has one piece of it."""

from __future__ import annotations

import numpy as np

from AutofocusCore.images.islands import keep_largest


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
