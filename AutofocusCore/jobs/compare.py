"""Compares two results structure by structure: volumes, overlap and surface distances.

For one patient at two times, or two models on one scan. Distances run between the outermost voxels of both, in
millimetres, on the grid of the first: mean over both surfaces, and the 95th percentile of the larger direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.jobs.measure import measure

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.result import SegmentationResult

Mask = npt.NDArray[np.bool_]
SAME_GRID = 1e-3
MARGIN = 2


@dataclass(frozen=True)
class StructureChange:
    """One structure in both results; a value is None if it is not defined, for example because the structure is empty.

    Attributes:
        structure: its name.
        first_ml, second_ml: volumes.
        change_ml, change_percent: from the first to the second.
        dice: overlap.
        mean_distance_mm, hd95_mm: between the surfaces.
    """

    structure: str
    first_ml: float | None
    second_ml: float | None
    change_ml: float | None
    change_percent: float | None
    dice: float | None
    mean_distance_mm: float | None
    hd95_mm: float | None


@dataclass(frozen=True)
class Comparison:
    """Rows for the structures of either result, and sentences for the user."""

    rows: tuple[StructureChange, ...]
    warnings: tuple[str, ...]


def compare_results(first: SegmentationResult, second: SegmentationResult) -> Comparison:
    """Compare two results; structures are matched by name.

    Raises:
        InputError: they have no structure in common.
    """
    labels = {s.name.casefold(): s for s in first.structures}, {s.name.casefold(): s for s in second.structures}
    common = [name for name in labels[0] if name in labels[1]]
    if not common:
        raise InputError(
            f"{_name(first)} and {_name(second)} have no structure in common",
            f"compare results with the same names; the first has {', '.join(s.name for s in first.structures)}",
        )
    volumes = tuple(
        {m.structure.casefold(): m.volume_ml for m in measure(result.labels, result.structures)}
        for result in (first, second)
    )
    grid, other = first.grid, second.grid
    warnings: list[str] = []
    moved = second.labels
    if not grid.same_as(other, SAME_GRID):
        warnings.append(
            "The results lie on different grids: overlap and distances hold only if both scans are registered to each "
            "other. Volumes hold in any case."
        )
        moved = _on_grid_of(first.labels, second.labels)
    one, two = first.label_array, _array(moved)
    rows = []
    for name in [*labels[0], *(name for name in labels[1] if name not in labels[0])]:
        a, b = volumes[0].get(name), volumes[1].get(name)
        shown = (labels[0].get(name) or labels[1][name]).name
        dice = mean = hd95 = None
        if name in common:
            dice, mean, hd95 = _agreement(one == labels[0][name].label, two == labels[1][name].label, grid.spacing)
        change = None if a is None or b is None else b - a
        percent = None if change is None or not a else 100 * change / a
        rows.append(StructureChange(shown, _r(a), _r(b), _r(change), _r(percent, 1), _r(dice, 4), _r(mean), _r(hd95)))
    return Comparison(tuple(rows), tuple(warnings))


def _name(result: SegmentationResult) -> str:
    return Path(result.files[0]).name if result.files else "the result"


def _on_grid_of(reference: sitk.Image, labels: sitk.Image) -> sitk.Image:
    import SimpleITK as sitk

    return sitk.Resample(labels, reference, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkNearestNeighbor, 0)


def _agreement(
    first: Mask, second: Mask, spacing: tuple[float, float, float]
) -> tuple[float | None, float | None, float | None]:
    """Dice, mean surface distance and 95th percentile."""
    total = int(first.sum()) + int(second.sum())
    if not total:
        return None, None, None
    dice = 2 * int((first & second).sum()) / total
    if not first.any() or not second.any():
        return dice, None, None
    at = np.argwhere(first | second)
    low, high = np.maximum(at.min(axis=0) - MARGIN, 0), at.max(axis=0) + MARGIN + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    one, two = first[box], second[box]
    there = _distances(one, two, spacing)
    back = _distances(two, one, spacing)
    mean = float(np.concatenate([there, back]).mean())
    return dice, mean, float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _distances(start: Mask, end: Mask, spacing: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """Distances in mm from each outermost voxel of one mask to the nearest outermost voxel of the other."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(_outermost(end).astype(np.uint8))
    image.SetSpacing(spacing)
    away = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
    return np.maximum(away[_outermost(start)], 0).astype(np.float32)


def _outermost(mask: Mask) -> Mask:
    inner = np.pad(mask, 1)
    kept = inner.copy()
    for axis in range(3):
        kept &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    return mask & ~kept[1:-1, 1:-1, 1:-1]


def _array(labels: sitk.Image) -> npt.NDArray[np.uint8]:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(labels)


def _r(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
