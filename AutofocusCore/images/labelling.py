"""Labels on the image's own grid from probabilities on the model's grid, and the removal of their islands.

Islands of a structure are nearly always wrong: small ones, and those far from its main part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import SettingError
from AutofocusCore.images.body import bounding_region
from AutofocusCore.images.geometry import Grid, Region
from AutofocusCore.images.resampling import sample, to_image
from AutofocusCore.io.texts import is_number
from AutofocusCore.models.parts import LEAST_SHARE, MAIN_SHARE, NEAR_MM

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

SLAB_VOXELS = 8_000_000
"""Voxels of the image that are resampled at a time: 32 MB for each array."""


def count_steps(classes: int, grid: Grid, target: Grid) -> int:
    """Number of calls of `step` by `label_image`."""
    box = touched(grid, target)
    return classes * len(_slabs(target.crop(box))) if box is not None else 0


def label_image(
    probabilities: Floats,
    grid: Grid,
    target: Grid,
    *,
    keep: bool = False,
    step: Callable[[], None] | None = None,
) -> tuple[Labels, Floats | None]:
    """The most probable class of each voxel of the image, from the probabilities, resampled one class at a time.

    Memory in addition to the input, for any number of classes: one byte and one float for each voxel of the part of the
    image that the grid touches, plus a slab. Outside the grid everything is background.

    Args:
        probabilities: (classes, D, H, W) on the grid; they sum to one.
        grid: their grid.
        target: the image's grid.
        keep: whether to return the resampled probabilities too, (D', H', W', classes) on the target.
        step: called after each slab of each class; an error that it raises ends the work.

    Returns:
        Labels (D', H', W') on the target, and the probabilities or None.
    """
    labels = np.zeros(target.shape, dtype=np.uint8)
    kept = None
    if keep:
        kept = np.zeros((*target.shape, len(probabilities)), dtype=np.float32)
        kept[..., 0] = 1
    box = touched(grid, target)
    if box is None:
        return labels, kept
    inner = target.crop(box)
    where = tuple(slice(start, stop) for start, stop in box)
    part, best = labels[where], np.empty(inner.shape, dtype=np.float32)
    for index, probability in enumerate(probabilities):
        image = to_image(probability, grid)
        outside = 1.0 if index == 0 else 0.0
        for start, stop in _slabs(inner):
            slab = inner.crop(((start, stop), (0, inner.shape[1]), (0, inner.shape[2])))
            values = sample(image, slab, outside, smooth=False)
            if kept is not None:
                kept[where][start:stop, ..., index] = values
            if index == 0:
                best[start:stop] = values
            else:
                better = values > best[start:stop]
                best[start:stop][better] = values[better]
                part[start:stop][better] = index
            if step is not None:
                step()
    return labels, kept


def touched(grid: Grid, target: Grid) -> Region | None:
    """The part of the target that can lie within the grid, or None."""
    ends = [(-0.5, n - 0.5) for n in grid.size]
    index = target.to_index(grid.to_mm(np.array(list(product(*ends)))))[:, ::-1]  # (z, y, x)
    box = []
    for axis in range(3):
        start = max(0, int(np.floor(index[:, axis].min())))
        stop = min(target.shape[axis], int(np.ceil(index[:, axis].max())) + 1)
        if start >= stop:
            return None
        box.append((start, stop))
    return (box[0], box[1], box[2])


def _slabs(grid: Grid) -> list[tuple[int, int]]:
    planes, height, width = grid.shape
    thick = max(1, SLAB_VOXELS // (height * width))
    return [(start, min(start + thick, planes)) for start in range(0, planes, thick)]


def check_smallest(smallest_mm3: object) -> None:
    """Refuse a smallest volume that is not a finite number from 0.

    Raises:
        SettingError: not a number from 0 up.
    """
    if isinstance(smallest_mm3, np.generic):
        smallest_mm3 = smallest_mm3.item()
    if not is_number(smallest_mm3) or not smallest_mm3 >= 0:  # type: ignore[operator]
        raise SettingError(f"smallest_island_mm3 is {smallest_mm3!r}", "give a finite number of mm³, 0 or more")


def remove_islands(labels: npt.NDArray[np.uint8], voxel_mm3: float, smallest_mm3: float) -> int:
    """Turn each connected part of a structure that is smaller than the given volume into background, in place.

    Voxels that touch by a face, an edge or a corner are connected.

    Args:
        labels: labelmap (z, y, x); changed.
        voxel_mm3: volume of a voxel.
        smallest_mm3: smaller volumes are removed, in mm³.

    Returns:
        The number of removed voxels.
    """
    fewest = int(min(np.ceil(smallest_mm3 / voxel_mm3 - 1e-9), labels.size + 1))
    if fewest <= 1:
        return 0
    removed = 0
    for label in np.unique(labels):
        if label == 0:
            continue
        (z0, z1), (y0, y1), (x0, x1) = bounding_region(labels == label, (0, 0, 0))
        part = labels[z0:z1, y0:y1, x0:x1]
        own = part == label
        islands = sitk.ConnectedComponent(sitk.GetImageFromArray(own.astype(np.uint8)), True)
        kept = sitk.GetArrayFromImage(sitk.RelabelComponent(islands, fewest)) != 0
        gone = own & ~kept
        part[gone] = 0
        removed += int(np.count_nonzero(gone))
    return removed


def keep_main_parts(
    labels: npt.NDArray[np.uint8], connected: Iterable[int], spacing: tuple[float, float, float]
) -> dict[int, int]:
    """Turn the stray parts of some structures into background, in place.

    A stray part is smaller than a fifth of the structure's largest part and more than 10 mm away from it, or smaller
    than a hundredth. Others stay: the network may leave a gap in a spinal cord, whose far part belongs to it.
    Voxels that touch by a face, an edge or a corner are connected.

    Args:
        labels: labelmap (z, y, x); changed.
        connected: label values of structures that are one connected piece.
        spacing: edges of a voxel in mm, (x, y, z).

    Returns:
        The number of removed voxels by label, without zeros.
    """
    removed = {}
    for label in connected:
        own = labels == label
        if not own.any():
            continue
        (z0, z1), (y0, y1), (x0, x1) = bounding_region(own, (0, 0, 0))
        part, own = labels[z0:z1, y0:y1, x0:x1], own[z0:z1, y0:y1, x0:x1]
        islands = sitk.ConnectedComponent(sitk.GetImageFromArray(own.astype(np.uint8)), True)
        ranked = sitk.GetArrayFromImage(sitk.RelabelComponent(islands, sortByObjectSize=True))
        sizes = np.bincount(ranked.ravel())[1:]
        stays = np.zeros(len(sizes) + 1, dtype=bool)
        stays[1:] = sizes >= MAIN_SHARE * sizes[0]
        for number in np.flatnonzero((sizes >= LEAST_SHARE * sizes[0]) & ~stays[1:]) + 1:
            stays[number] = _gap_mm(ranked, int(number), spacing) <= NEAR_MM
        gone = own & ~stays[ranked]
        part[gone] = 0
        if gone.any():
            removed[label] = int(np.count_nonzero(gone))
    return removed


def _gap_mm(ranked: npt.NDArray[np.integer], number: int, spacing: tuple[float, float, float]) -> float:
    """Distance in mm between a part's voxels and those of the largest part, 1; infinite if beyond `NEAR_MM`."""
    x, y, z = (int(np.ceil(NEAR_MM / edge)) + 1 for edge in spacing)
    ends = bounding_region(ranked == number, (z, y, x))
    box = ranked[tuple(slice(*end) for end in ends)]
    if not (box == 1).any():
        return float("inf")
    image = sitk.GetImageFromArray((box == 1).astype(np.uint8))
    image.SetSpacing(spacing)
    away = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return float(sitk.GetArrayViewFromImage(away)[box == number].min())
