"""Finds the patient's body in a CT or MR, without table and air, and the box around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.geometry import Grid, Region
from AutofocusCore.images.intensity import AIR_HU, recognise

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

COARSE_MM = 3.0
"""Voxel size in which the body is searched: fine enough, and fast."""
TABLE_MM = 9.0
"""Objects thinner than twice this (table, mattress, mask) are removed."""
AIR_TO_TISSUE_HU = 500.0
DARK = 0.1
"""MR values below this share of the bright tissue's value are background."""
SHARE_KEPT = 0.5
CUT_OUT = 0.9
"""If more than this share of the air has one and the same value, the scan had been cut out along the patient before."""
WIDE_MM = 150.0
"""A sheet is wider than this, or than most of the field of view, along two axes."""
MOST = 0.8
MARGIN_MM = 6.0


def body_mask(values: Floats, grid: Grid) -> Mask:
    """The largest compact object: in CT voxels above -500 HU, in other images voxels that are not dark.

    Holes (lungs, bowel gas, sinuses) are filled slice by slice; thin objects beside the body are removed by opening. If
    a CT was cut out along the patient before (its air has one single value), the body may be in pieces: all are kept.

    Args:
        values: the image (z, y, x), not yet normalised.
        grid: its grid, for the spacing and for the axis from feet to head.

    Returns:
        Mask (z, y, x); all true if no body is found, for example in an image inside the body.
    """
    step = [max(1, round(COARSE_MM / s)) for s in reversed(grid.spacing)]  # (z, y, x)
    coarse = values[:: step[0], :: step[1], :: step[2]]
    seen = recognise(values)
    sheets = TABLE_MM
    if seen.air is None:
        sheets = 0.0  # MR shows no table, and opening would tear dark tissue
        dense = coarse > coarse.min() + DARK * (np.percentile(coarse, 99) - coarse.min())
    else:
        dense = coarse > seen.air + AIR_TO_TISSUE_HU + (24 if seen.air > AIR_HU else 0)
    if dense.mean() > 0.95 or not dense.any():
        return np.ones(values.shape, dtype=bool)
    spacing = [s * n for s, n in zip(reversed(grid.spacing), step, strict=True)]
    body = _largest(dense, spacing, sheets)
    if seen.air is not None and np.mean(coarse[~dense] == coarse.min()) > CUT_OUT:
        body |= _pieces(dense & ~body, spacing, sheets)
    rows = np.abs(np.asarray(grid.direction).reshape(3, 3)[2])
    body = _filled(body, 2 - int(np.argmax(rows)))  # across the axis that is closest to the one from feet to head
    fine = body
    for axis in range(3):
        fine = np.repeat(fine, step[axis], axis=axis)
    return np.ascontiguousarray(fine[: values.shape[0], : values.shape[1], : values.shape[2]])


def bounding_region(mask: Mask, margins: tuple[int, int, int]) -> Region:
    """The box around a mask's true voxels, wider by the margins (z, y, x) but within the array.

    Raises:
        ValueError: the mask is empty.
    """
    ends = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if not len(found):
            raise ValueError("the mask is empty")
        ends.append((max(0, int(found[0]) - margins[axis]), min(mask.shape[axis], int(found[-1]) + 1 + margins[axis])))
    return (ends[0], ends[1], ends[2])


def margins_of(grid: Grid, millimetres: float = MARGIN_MM) -> tuple[int, int, int]:
    """The number of voxels (z, y, x) for at least this length in millimetres."""
    x, y, z = (int(np.ceil(millimetres / s)) for s in grid.spacing)
    return (z, y, x)


def _largest(dense: Mask, spacing: list[float], sheets: float) -> Mask:
    """The largest object after removing thin ones, with the surface that opening removed."""
    sizes = zip(reversed(spacing), reversed(dense.shape), strict=True)
    radius = [min(round(sheets / s), n // 8) for s, n in sizes]  # (x, y, z)
    image = sitk.GetImageFromArray(dense.astype(np.uint8))
    largest = sitk.GetArrayFromImage(_first_part(image))
    if any(radius):
        core = _first_part(sitk.BinaryErode(image, radius, sitk.sitkBall, 0.0, 1.0))
        core = _first_part(sitk.BinaryDilate(core, [r + 1 for r in radius], sitk.sitkBall) & image)
        # Opening may tear a thin wall, for example between bowel gas and skin: repair it before filling holes.
        core = core | (sitk.BinaryMorphologicalClosing(core, radius, sitk.sitkBall) & image)
        compact = sitk.GetArrayFromImage(core)
        # An object that consists of thin sheets, like an empty skull, is kept as it is.
        if compact.sum() > SHARE_KEPT * largest.sum():
            largest = compact
    return largest.astype(bool)


def _pieces(rest: Mask, spacing: list[float], sheets: float) -> Mask:
    """The other objects without sheets: those that are compact, or wide along one axis at most."""
    image = sitk.GetImageFromArray(rest.astype(np.uint8))
    parts = sitk.ConnectedComponent(image)
    radius = [min(round(sheets / s), n // 8) for s, n in zip(reversed(spacing), reversed(rest.shape), strict=True)]
    numbers = sitk.GetArrayFromImage(parts)
    core = sitk.GetArrayFromImage(sitk.BinaryErode(image, radius, sitk.sitkBall, 0.0, 1.0)) > 0
    compact = set(np.unique(numbers[core]).tolist())
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(parts)
    field = [n * s for n, s in zip(image.GetSize(), reversed(spacing), strict=True)]
    kept = []
    for number in shapes.GetLabels():
        extents = [n * s for n, s in zip(shapes.GetBoundingBox(number)[3:], reversed(spacing), strict=True)]
        wide = sum(extent >= min(WIDE_MM, MOST * whole) for extent, whole in zip(extents, field, strict=True))
        if number in compact or wide < 2:
            kept.append(number)
    return np.isin(numbers, kept)


def _first_part(image: sitk.Image) -> sitk.Image:
    return sitk.RelabelComponent(sitk.ConnectedComponent(image), sortByObjectSize=True) == 1


def _filled(mask: Mask, axis: int) -> Mask:
    """Holes filled in each slice across the axis."""
    result = np.empty_like(mask)
    for k in range(mask.shape[axis]):
        at: list[slice | int] = [slice(None)] * 3
        at[axis] = k
        plane = sitk.GetImageFromArray(np.ascontiguousarray(mask[tuple(at)]).astype(np.uint8))
        result[tuple(at)] = sitk.GetArrayFromImage(sitk.BinaryFillhole(plane)) != 0
    return result
