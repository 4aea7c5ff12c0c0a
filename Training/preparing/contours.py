"""Contours of an RTSTRUCT file on the grid of the series that they were drawn on, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import pydicom
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from AutofocusCore.images.polygons import fill
from AutofocusCore.images.structure_set import closed_contours
from Training.preparing.found import Contours


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
        drawn = {
            int(roi.ReferencedROINumber): list(closed_contours(roi)) for roi in header.get("ROIContourSequence") or []
        }
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
