"""What a run leaves behind for the review of its result: probabilities, and what the scan is like."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import sample, to_image

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

PERCENTILES = (5.0, 50.0, 95.0)
"""Of the intensities within the patient, after normalisation: what tells a scan of another kind."""


@dataclass(frozen=True)
class Evidence:
    """Probabilities of a run and what the scan is like.

    Attributes:
        probabilities: (classes, D, H, W), background first, summing to 1.
        grid: where they are: the model's grid, cropped to what was predicted.
        scan: the grid of the first image.
        intensities: for each channel the `PERCENTILES` of its normalised values within the patient.
        labels: (D, H, W), what was delivered: without stray parts and islands, within the region of interest. None: the
            most probable class of each voxel.
        outside: (D, H, W), what lies outside the region of interest, where nothing was asked for; None: nothing does.
    """

    probabilities: Floats
    grid: Grid
    scan: Grid
    intensities: tuple[tuple[float, ...], ...] = ()
    labels: Labels | None = None
    outside: npt.NDArray[np.bool_] | None = None

    @property
    def delivered(self) -> Labels:
        """The labels that are reviewed."""
        return self.probabilities.argmax(axis=0).astype(np.uint8) if self.labels is None else self.labels

    def holds(self, point: tuple[float, float, float]) -> bool:
        """Whether a point, (x, y, z) in mm, LPS, lies within the scan and the region of interest."""
        index = self.scan.to_index(point)
        if not bool(np.all(index >= -0.5) and np.all(index <= np.asarray(self.scan.size) - 0.5)):
            return False
        if self.outside is None:
            return True
        i, j, k = np.rint(self.grid.to_index(point)).astype(int).tolist()
        inside = all(0 <= at < size for at, size in zip((i, j, k), self.grid.size, strict=True))
        return inside and not self.outside[k, j, i]

    def is_cut(self, label: int) -> bool:
        """Whether the region of interest cuts a structure: its contour reaches what lies outside."""
        return self.outside is not None and reaches(self.delivered == label, self.outside)


def evidence_of(
    scores: Floats,
    grid: Grid,
    labels: Labels,
    scan: Grid,
    intensities: tuple[tuple[float, ...], ...] = (),
    outside: npt.NDArray[np.bool_] | None = None,
) -> Evidence:
    """The evidence of a run that has delivered labels.

    Args:
        scores: probabilities (classes, D, H, W); changed outside the region of interest, where they become background.
        grid: theirs.
        labels: delivered, (z, y, x) on the scan's grid.
        scan: that grid.
        intensities, outside: as in the evidence.
    """
    if outside is not None:
        scores[:, outside] = 0
        scores[0, outside] = 1
    found = _delivered_on(scores, sample(to_image(labels, scan), grid, 0.0, nearest=True).astype(np.uint8))
    return Evidence(scores, grid, scan, intensities, found, outside)


def _delivered_on(scores: Floats, nearest: Labels) -> Labels:
    """What was delivered, on the grid of the probabilities: the most probable class wherever it was not removed.

    The nearest voxel of the scan would not do: where voxels of both grids are of much the same size, whole slices are
    skipped or taken twice, and a structure's volume is wrong by up to a third.

    Args:
        scores: probabilities (classes, D, H, W).
        nearest: label of the scan's nearest voxel; a class that it has nowhere beside a voxel was removed there.
    """
    found = np.empty(nearest.shape, dtype=np.uint8)
    for plane in range(len(found)):  # of the indices, which take eight bytes, only a plane exists at a time
        found[plane] = scores[:, plane].argmax(axis=0)
    kept, around = np.zeros(nearest.shape, dtype=bool), np.pad(nearest, 1)
    depth, height, width = nearest.shape
    for z, y, x in product(range(3), repeat=3):
        kept |= around[z : z + depth, y : y + height, x : x + width] == found
    found[~kept] = 0
    for label in np.unique(nearest):
        if not (found == label).any():  # between the grid's voxels, and the most probable class of none of them
            found[nearest == label] = label
    return found


def reaches(mask: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    """Whether a voxel of one mask has a neighbour, by a face, in the other."""
    for axis in range(3):
        before, after = [slice(None)] * 3, [slice(None)] * 3
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        for one, two in ((before, after), (after, before)):
            if (mask[tuple(one)] & other[tuple(two)]).any():
                return True
    return False


def summarise_intensities(volume: Floats, patient: npt.NDArray[np.bool_] | None) -> tuple[tuple[float, ...], ...]:
    """The `PERCENTILES` of each channel of a normalised volume (C, D, H, W), within the patient where he is known."""
    found = []
    for channel in volume:
        values = channel[patient] if patient is not None and patient.any() else channel.ravel()
        found.append(tuple(float(v) for v in np.percentile(values[:: max(1, values.size // 200_000)], PERCENTILES)))
    return tuple(found)
