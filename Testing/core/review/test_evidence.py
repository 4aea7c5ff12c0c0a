"""What a run leaves for its review, on the grid of the probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.labelling import label_image
from AutofocusCore.review.evidence import evidence_of

ALONG_AXES = (1, 0, 0, 0, 1, 0, 0, 0, 1)
GRID = Grid((24, 24, 12), (4.0, 4.0, 2.5), (0.0, 0.0, 0.0), ALONG_AXES)


def cord_and_far_part() -> npt.NDArray[np.float32]:
    """Probabilities of a cord, 10 mm thick, and of a small part far away from it."""
    z, y, x = np.meshgrid(*(np.arange(float(n)) for n in GRID.shape), indexing="ij")
    radius = 4 * np.hypot(x - 11.7, y - 12.4)
    cord = np.where(np.abs(z - 6) < 5, 1 / (1 + np.exp(radius - 5)), 0)
    cord[5:8, 2:4, 2:4] = 0.9
    return np.stack([1 - cord, cord]).astype(np.float32)


@pytest.mark.parametrize("spacing", [3.5, 3.9, 4.4, 5.0])
def test_a_thin_structure_keeps_its_volume_wherever_the_scans_voxels_lie(spacing: float) -> None:
    scores, volumes = cord_and_far_part(), []
    for origin in (0.0, 1.0, 1.9):
        scan = Grid((20, 20, 12), (spacing, spacing, 2.5), (origin, origin, 0.0), ALONG_AXES)
        labels, _ = label_image(scores, GRID, scan)
        volumes.append(int((evidence_of(scores, GRID, labels, scan).delivered == 1).sum()))
    assert volumes == [int((scores.argmax(axis=0) == 1).sum())] * 3


def test_a_part_that_was_removed_from_the_result_is_not_reviewed() -> None:
    scores = cord_and_far_part()
    scan = Grid((24, 24, 12), (3.9, 3.9, 2.5), (0.0, 0.0, 0.0), ALONG_AXES)
    labels, _ = label_image(scores, GRID, scan)
    labels[:, :8, :8] = 0
    found = evidence_of(scores, GRID, labels, scan).delivered
    assert not found[:, :7, :7].any()
    assert found[6, 12, 12] == 1


def test_a_structure_between_the_grids_voxels_is_still_there() -> None:
    scores = np.zeros((2, *GRID.shape), dtype=np.float32)
    scores[0] = 1
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[5, 6, 7] = 1
    found = evidence_of(scores, GRID, labels, GRID).delivered
    assert found.sum() == found[5, 6, 7] == 1
