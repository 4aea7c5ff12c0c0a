"""Contours of an RTSTRUCT file on the grid of the series that they were drawn on, slice by slice.

A voxel belongs to a structure if its centre lies within an odd number of the contours of its slice. That is right for
holes drawn as contours of their own (CLOSEDPLANAR_XOR), for those that a keyhole joins to the outer contour, and for
those that planning systems give as a second CLOSED_PLANAR contour (DICOM PS3.3 C.8.8.6.3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pydicom
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from Training.preparing.found import Contours

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")
FLAT = 0.1
"""Largest distance in voxels of a contour's points from their plane."""
SAME_PLANE = 0.02
"""Largest distance in voxels between contours of one plane."""


def rasterise(
    contours: Contours, grid: Grid, structures: Mapping[int, str]
) -> tuple[NDArray[np.uint8], tuple[int, ...], list[str]]:
    """The labels that an RTSTRUCT file describes.

    Args:
        contours: the file, and the names of the structures in it.
        grid: of the series that they were drawn on.
        structures: names by label.

    Returns:
        Labels (z, y, x), where two structures overlap the later one's; the labels of structures that are unknown,
        having no contour, unless `contours.absent` has them; and remarks: structures that are missing, lie partly
        outside, or skip slices.

    Raises:
        InputError: the file is damaged, a name is ambiguous, or contours do not lie in the series' slices.
    """
    name = str(contours.path)
    try:
        header = pydicom.dcmread(contours.path, force=True)
        regions = {
            int(roi.ROINumber): str(roi.get("ROIName") or "").strip()
            for roi in header.StructureSetROISequence
            if not contours.frame or str(roi.get("ReferencedFrameOfReferenceUID") or contours.frame) == contours.frame
        }
        drawn = {int(roi.ReferencedROINumber): list(_closed(roi)) for roi in header.get("ROIContourSequence") or []}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError) as error:
        raise InputError(f"{name} is a damaged structure set ({type(error).__name__})", "export it again") from None

    labels = np.zeros(grid.shape, dtype=np.uint8)
    remarks, unknown = [], []
    for label, patterns in contours.names:
        number = _number_of(regions, patterns, structures[label], name)
        if number is None or not drawn.get(number):
            there = ", ".join(sorted(regions.values())) or "nothing"
            what = "it has" if number is None else "it has the name without a closed contour, and"
            meaning = "which counts as absent" if label in contours.absent else "which is unknown here"
            remarks.append(f"{name} has no {structures[label]}, {meaning} ({what} {there}).")
            unknown += [] if label in contours.absent else [label]
            continue
        mask, notes = fill(drawn[number], grid)
        remarks += [f"{structures[label]} {note}." for note in notes]
        covered = int(((labels > 0) & mask).sum())
        if covered:
            remarks.append(f"{structures[label]} overwrites {covered} voxels of earlier structures.")
        labels[mask] = label
        if not mask.any():
            remarks.append(f"{structures[label]} has no voxel in the series, and is unknown here.")
            unknown.append(label)
    return labels, tuple(unknown), remarks


def fill(contours: Sequence[NDArray[np.float64]], grid: Grid) -> tuple[NDArray[np.bool_], list[str]]:
    """The voxels whose centres lie within the contours of a structure.

    Args:
        contours: closed polygons, (n, 3) points in mm, x, y, z.
        grid: where the voxels are.

    Returns:
        Mask (z, y, x), and warnings, each to follow the structure's name.

    Raises:
        InputError: a contour is not within a plane of voxels.
    """
    mask = np.zeros(grid.shape, dtype=bool)
    outside = 0
    planes: dict[int, dict[float, list[NDArray[np.float64]]]] = defaultdict(dict)
    for points in contours:
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
            mask[k] ^= _inside(polygon, grid)
    notes = [f"has {outside} contours outside the series"] if outside else []
    if planes:
        skipped = max(planes) - min(planes) + 1 - len(planes)
        notes += [f"has no contours on {skipped} slices between its first and last"] if skipped else []
    return mask, notes


def _inside(polygon: NDArray[np.float64], grid: Grid) -> NDArray[np.bool_]:
    """The voxels (y, x) of a slice whose centres lie within a polygon of indices (n, 2), x, y."""
    result = np.zeros(grid.shape[1:], dtype=bool)
    low = np.maximum(np.ceil(polygon.min(axis=0)).astype(int), 0)
    high = np.minimum(np.floor(polygon.max(axis=0)).astype(int), np.array(grid.size[:2]) - 1)
    if (low > high).any():
        return result
    x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    inside = Polygon(polygon).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    result[low[1] : high[1] + 1, low[0] : high[0] + 1] = inside.reshape(x.shape)
    return result


def _closed(roi: Any) -> Iterator[NDArray[np.float64]]:
    """The closed contours of one item of the ROIContourSequence, as (n, 3) points in mm."""
    for contour in roi.get("ContourSequence") or []:
        if str(contour.get("ContourGeometricType") or "").strip().upper() not in CLOSED:
            continue
        points = np.asarray([float(value) for value in contour.ContourData], dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(points).all():
            raise ValueError("a coordinate is not a number")
        if len(points) >= 3:
            yield points


def _number_of(regions: Mapping[int, str], patterns: Sequence[str], structure: str, name: str) -> int | None:
    """The number of the region that the first fitting pattern matches; None if there is none."""
    for pattern in patterns:
        fitting = [n for n, given in regions.items() if fnmatchcase(given.casefold(), pattern.strip().casefold())]
        if len(fitting) > 1:
            shown = ", ".join(repr(regions[n]) for n in fitting)
            raise InputError(
                f"{name} has {shown}, which are all {structure} by the pattern {pattern!r}",
                "put a narrower pattern before it in the table of --structures",
            )
        if fitting:
            return fitting[0]
    return None
