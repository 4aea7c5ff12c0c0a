"""Removes islands of a structure, which are nearly always wrong: small ones, and those far from its main part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import SettingError
from AutofocusCore.images.body import bounding_region
from AutofocusCore.io.json_values import is_number
from AutofocusCore.models.parts import LEAST_SHARE, MAIN_SHARE, NEAR_MM


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
