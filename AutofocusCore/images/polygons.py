"""Contours on slices as voxels: a voxel belongs to a structure if its centre lies within an odd number of contours.

That is right for holes drawn as contours of their own, for those that a keyhole joins to the outer contour, and for
those that planning systems give as a second contour (DICOM PS3.3 C.8.8.6.3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid

FLAT = 0.1
"""Largest distance in voxels of a contour's points from their plane."""
SAME_PLANE = 0.02
"""Largest distance in voxels between contours of one plane."""


def fill(contours: Sequence[NDArray[np.float64]], grid: Grid) -> tuple[NDArray[np.bool_], list[str]]:
    """The voxels whose centres lie within the contours of a structure.

    Args:
        contours: closed polygons, (n, 3) points in mm, x, y, z. One that is given twice counts once.
        grid: where the voxels are.

    Returns:
        Mask (z, y, x), and warnings, each to follow the structure's name.

    Raises:
        InputError: a contour is not within a plane of voxels.
    """
    mask = np.zeros(grid.shape, dtype=bool)
    outside = 0
    planes: dict[int, dict[float, list[NDArray[np.float64]]]] = defaultdict(dict)
    for points in {points.tobytes(): points for points in contours}.values():
        index = grid.to_index(points)  # (n, 3), x, y, z
        depth = float(index[:, 2].mean())
        if np.abs(index[:, 2] - depth).max() > FLAT:
            raise InputError("Its contours do not lie in the slices of the series", "export both in the same planes")
        k = int(np.floor(depth + 0.5 + SAME_PLANE))  # halfway between two slices all go the same way
        if not 0 <= k < grid.size[2]:
            outside += 1
            continue
        near = next((other for other in planes[k] if abs(other - depth) <= SAME_PLANE), depth)
        planes[k].setdefault(near, []).append(index[:, :2])
    for k, drawn in planes.items():
        # Contours denser than the slices: only those nearest to the slice count, because several would cancel out.
        for polygon in drawn[min(drawn, key=lambda depth: abs(depth - k))]:
            mask[k] ^= inside(polygon, (grid.size[1], grid.size[0]))
    notes = [f"has {_count(outside, 'contour')} outside the series"] if outside else []
    if planes:
        skipped = max(planes) - min(planes) + 1 - len(planes)
        notes += [f"has no contours on {_count(skipped, 'slice')} between its first and last"] if skipped else []
    return mask, notes


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def fill_skipped(mask: NDArray[np.bool_], most: int) -> int:
    """Fill slices without contours between such with contours, halfway between these, in place.

    Args:
        mask: (z, y, x).
        most: a longer gap is one between two parts, and stays.

    Returns:
        Number of slices that were filled.
    """
    there = np.flatnonzero(mask.any(axis=(1, 2)))
    filled = 0
    for below, above in pairwise(there.tolist()):
        skipped = above - below - 1
        if not 0 < skipped <= most:
            continue
        low, high = _distance(mask[below]), _distance(mask[above])
        for k in range(below + 1, above):
            share = (k - below) / (above - below)
            mask[k] = (1 - share) * low + share * high <= 0
            filled += 1
    return filled


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance to the edge, halfway between voxels, in voxels; negative inside."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    found: NDArray[np.float32] = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, False))
    return found - 0.5  # ITK counts from the outermost voxels of the mask


def inside(polygon: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie within a closed polygon, by the rule of even and odd crossings.

    Args:
        polygon: (n, 2), x and y; pixel centres are whole numbers. A centre on a left or upper edge lies inside, on a
            right or lower one outside, so that polygons side by side share no pixel.
        shape: rows, columns.
    """
    rows, columns = shape
    first, last = polygon, np.roll(polygon, -1, axis=0)
    low, high = np.minimum(first[:, 1], last[:, 1]), np.maximum(first[:, 1], last[:, 1])
    starts = np.clip(np.ceil(low), 0, rows).astype(int)
    counts = np.maximum(np.clip(np.ceil(high), 0, rows).astype(int) - starts, 0)
    # One entry for each row that an edge crosses
    edge = np.repeat(np.arange(len(polygon)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + starts[edge]
    (x0, y0), (x1, y1) = first[edge].T, last[edge].T
    crossing = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
    turns = np.zeros((rows, columns + 1), dtype=np.uint32)
    np.add.at(turns, (row, np.clip(np.ceil(crossing), 0, columns).astype(int)), 1)
    result: NDArray[np.bool_] = np.cumsum(turns[:, :columns], axis=1) % 2 == 1
    return result
