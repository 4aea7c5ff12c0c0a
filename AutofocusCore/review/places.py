"""Places to check: connected doubtful regions near a structure's surface, by the volume that could change there.

A voxel's doubt is the chance that its label is wrong: 1 - p inside the contour and p outside, where p is the
probability of the structure. Smoothed over a few millimetres, doubt forms hills where the network is unsure; each hill
is a place. The half-sure voxels along every contour form only a low, even ridge, and no hill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.geometry import Grid
from AutofocusCore.review.evidence import NEAR_MM, Floats, Surroundings

SMOOTH_MM = 5.0
DOUBTFUL = 0.15
HILL = 0.1
"""Two hills are joined if the lower one rises above the saddle by less than this share of the highest hill."""
FEWEST_VOXELS = 4
"""Along each axis: the smoothing filter takes no fewer."""
SMALLEST_ML = 0.05
SAME_PLACE_MM = 8.0
MOST_PLACES = 20
MOST_OF_ONE = 6


@dataclass(frozen=True)
class Place:
    """A place to check.

    Attributes:
        structure: its name.
        label: its label.
        position_mm: (x, y, z) in mm, LPS, of the doubtful voxel at the top of the hill.
        volume_ml: expected volume of the voxels with a wrong label, in millilitres.
        inside_ml: part of it inside the contour, which may have to be removed.
        outside_ml: part of it outside, which may have to be added.
    """

    structure: str
    label: int
    position_mm: tuple[float, float, float]
    volume_ml: float
    inside_ml: float
    outside_ml: float


def in_order(found: Sequence[Place]) -> list[Place]:
    """The places of all structures, the largest first; of several close together only the largest."""
    found = sorted(found, key=lambda place: -place.volume_ml)
    kept: list[Place] = []
    for place in found:  # the border between two structures is doubtful for both
        here = np.asarray(place.position_mm)
        if all(np.linalg.norm(here - np.asarray(other.position_mm)) > SAME_PLACE_MM for other in kept):
            kept.append(place)
    return kept[:MOST_PLACES]


def places_of(near: Surroundings, grid: Grid, name: str, label: int) -> list[Place]:
    """The places of one structure, the largest first.

    Args:
        near: its contour and what lies round it.
        grid: of the evidence.
        name: of the structure.
        label: its label.
    """
    box, inside = near.box, near.contour
    doubt = np.where(inside, 1 - near.probability, near.probability)
    doubt[np.abs(near.distance) > NEAR_MM] = 0
    hills, height = _hills(doubt, grid)
    millilitres = grid.voxel_mm3 / 1000
    found = []
    hills[doubt < DOUBTFUL] = 0
    for hill in np.unique(hills[hills > 0]):
        region = hills == hill
        at = np.flatnonzero(region.ravel())
        k, j, i = np.unravel_index(int(at[np.argmax(height.ravel()[at])]), doubt.shape)
        lps = grid.to_mm([i + box[2].start, j + box[1].start, k + box[0].start]).tolist()
        within = float(doubt[region & inside].sum()) * millilitres
        beyond = float(doubt[region & ~inside].sum()) * millilitres
        if within + beyond >= SMALLEST_ML:
            position = (round(lps[0], 1), round(lps[1], 1), round(lps[2], 1))
            found.append(Place(name, label, position, round(within + beyond, 3), round(within, 3), round(beyond, 3)))
    return sorted(found, key=lambda place: -place.volume_ml)[:MOST_OF_ONE]


def _hills(doubt: Floats, grid: Grid) -> tuple[npt.NDArray[np.uint32], Floats]:
    """Number of the hill that each voxel belongs to (watersheds of the smoothed doubt), and the smoothed doubt."""
    thin = [max(0, FEWEST_VOXELS - size) for size in doubt.shape]
    image = sitk.GetImageFromArray(np.pad(doubt, [(0, more) for more in thin]))
    image.SetSpacing(grid.spacing)
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), SMOOTH_MM)
    height = sitk.GetArrayFromImage(smooth)
    hills = sitk.MorphologicalWatershed(-smooth, HILL * float(height.max()), markWatershedLine=False)
    own = tuple(slice(0, size) for size in doubt.shape)
    return sitk.GetArrayFromImage(hills)[own], height[own]
