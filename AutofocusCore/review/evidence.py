"""Evidence for the review of a result: the probabilities of the run, calibrated, and properties of the scan.

The probabilities of a large CT take gigabytes. Everything else is computed from them plane by plane, so that at most
one more volume is in memory: the probability of one class, or the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.body import bounding_region
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import sample, to_image

Floats = npt.NDArray[np.float32]
Box = tuple[slice, slice, slice]

LEAST = 1e-6
"""Smaller probabilities are set to this, so that their logarithm is finite."""
NEAR_MM = 12.0
"""Doubtful voxels farther from a contour than this are not counted."""
Labels = npt.NDArray[np.uint8]

PERCENTILES = (5.0, 50.0, 95.0)
"""Percentiles of the normalised intensities within the patient; they show whether a scan is of another kind."""


@dataclass(frozen=True)
class Evidence:
    """Probabilities of a run and properties of the scan.

    Attributes:
        probabilities: (classes, D, H, W), background first, summing to 1.
        grid: where they are: the model's grid, cropped to what was predicted.
        scan: the grid of the first image.
        intensities: for each channel the `PERCENTILES` of its normalised values within the patient.
        labels: (D, H, W), the delivered ones: without stray parts and islands, within the region of interest. None: the
            most probable class of each voxel.
        outside: (D, H, W), true outside the region of interest; None: there is no such region.
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
    """The delivered labels on the grid of the probabilities: the most probable class, unless it was removed there.

    Taking the label of the scan's nearest voxel is not enough: where the voxels of both grids are of nearly the same
    size, whole slices are skipped or taken twice, and a structure's volume is wrong by up to a third.

    Args:
        scores: probabilities (classes, D, H, W).
        nearest: label of the scan's nearest voxel. A class that occurs neither there nor at a neighbour was removed.
    """
    found = np.empty(nearest.shape, dtype=np.uint8)
    for plane in range(len(found)):  # plane by plane: argmax takes eight bytes a voxel
        found[plane] = scores[:, plane].argmax(axis=0)
    kept, around = np.zeros(nearest.shape, dtype=bool), np.pad(nearest, 1)
    depth, height, width = nearest.shape
    for z, y, x in product(range(3), repeat=3):
        kept |= around[z : z + depth, y : y + height, x : x + width] == found
    found[~kept] = 0
    for label in np.unique(nearest):
        if not (found == label).any():  # a small structure that is the most probable class nowhere
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
    """The `PERCENTILES` of each channel of a normalised volume (C, D, H, W) within the patient; None: of all voxels."""
    found = []
    for channel in volume:
        values = channel[patient] if patient is not None and patient.any() else channel.ravel()
        found.append(tuple(float(v) for v in np.percentile(values[:: max(1, values.size // 200_000)], PERCENTILES)))
    return tuple(found)


def calibrated(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities after temperature scaling (Guo et al. 2017): softmax(log p / T); T > 1 makes them less sure.

    Args:
        probabilities: (classes, ...), summing to 1 over the classes.
        temperature: T.

    Returns:
        A new array, float32, of the same shape.
    """
    scaled = np.maximum(probabilities.astype(np.float32), LEAST)
    if temperature != 1.0:
        np.power(scaled, np.float32(1.0 / temperature), out=scaled)
    scaled /= scaled.sum(axis=0, keepdims=True)
    return scaled


def probability_of(label: int, probabilities: Floats, box: Box, temperature: float) -> Floats:
    """The calibrated probability of one class within a box, (d, h, w), computed plane by plane."""
    part = probabilities[:, box[0], box[1], box[2]]
    found = np.empty(part.shape[1:], dtype=np.float32)
    for plane in range(len(found)):
        found[plane] = calibrated(part[:, plane], temperature)[label]
    return found


def doubt_of(probabilities: Floats, temperature: float) -> Floats:
    """Entropy in bits of the calibrated probabilities, (D, H, W), computed plane by plane."""
    doubt = np.empty(probabilities.shape[1:], dtype=np.float32)
    for plane in range(len(doubt)):
        doubt[plane] = entropy_bits(calibrated(probabilities[:, plane], temperature))
    return doubt


def entropy_bits(probabilities: Floats) -> Floats:
    """Entropy of the classes in bits, (...): 0 where one is certain, 1 where two are equally likely."""
    total = np.zeros(probabilities.shape[1:], dtype=np.float32)
    for probability in probabilities:
        safe = np.maximum(probability, np.float32(LEAST))
        total -= probability * np.log2(safe)
    return np.maximum(total, 0.0)


@dataclass(frozen=True)
class Surroundings:
    """A contour and what lies round it, up to `NEAR_MM` and a little more.

    Attributes:
        box: place of these arrays in the evidence's grid.
        contour: (d, h, w), true inside the delivered contour.
        probability: of the structure, calibrated.
        distance: in mm from the surface, negative inside.
    """

    box: Box
    contour: npt.NDArray[np.bool_]
    probability: Floats
    distance: Floats


def surroundings(evidence: Evidence, label: int, temperature: float) -> Surroundings | None:
    """The surroundings of a structure's contour; None where it has no voxel.

    Args:
        evidence: of the run.
        label: of the structure.
        temperature: of the calibration.
    """
    whole, grid = evidence.delivered == label, evidence.grid
    if not whole.any():
        return None
    x, y, z = (int(np.ceil(NEAR_MM / edge)) for edge in grid.spacing)
    depth, height, width = (slice(*ends) for ends in bounding_region(whole, (z, y, x)))
    box = (depth, height, width)
    contour = np.ascontiguousarray(whole[box])
    image = sitk.GetImageFromArray(contour.astype(np.uint8))
    image.SetSpacing(grid.spacing)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    probability = probability_of(label, evidence.probabilities, box, temperature)
    return Surroundings(box, contour, probability, sitk.GetArrayFromImage(distance).astype(np.float32, copy=False))
