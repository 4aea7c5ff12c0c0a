"""The slices of a DICOM series that a SEG or RTSTRUCT object refers to, with the labels on each.

A labelmap lies on one regular grid; a series need not (a tilted gantry, a missing slice, uneven distances). So each
slice takes the labels at its own plane, in millimetres, from the nearest voxel. Where grid and series are the same,
as for a result of this program, that is the labelmap itself, voxel for voxel.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.dicom import Series, choose_series
from AutofocusCore.images.duplicates import digests_of, without_duplicates
from AutofocusCore.images.series import choose, group
from AutofocusCore.images.slices import Slice, read_slices

ScanFiles = str | Path | Sequence[str]
"""DICOM folder, or a file that holds a whole volume; or all files of one volume, in any folders."""

SAME_COSINE = 1e-3
"""Direction cosines of the slices of one volume differ by no more than this."""
SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class Plane:
    """One slice of a series.

    Attributes:
        header: the file's, without pixels; a multi-frame file's is that of all its planes.
        frame: number of the frame in a multi-frame file, from 1; None in an ordinary file.
        position: (x, y, z) in mm, LPS, of the first pixel's centre.
        row, column: unit vectors in which the column index and the row index grow.
        spacing: mm between columns, mm between rows.
        shape: rows, columns.
    """

    header: Any
    frame: int | None
    position: npt.NDArray[np.float64]
    row: npt.NDArray[np.float64]
    column: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the plane."""
        return np.cross(self.row, self.column)

    def to_mm(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (n, 3), in mm, LPS, of pixel coordinates (n, 2): column, row; 0 is the centre of the first pixel."""
        along = pixels[:, :1] * self.spacing[0] * self.row + pixels[:, 1:] * self.spacing[1] * self.column
        return np.asarray(self.position + along, dtype=np.float64)


def read_planes(path: ScanFiles, series: str | int | None = None, frame: int | None = None) -> tuple[Plane, ...]:
    """The slices of a series, ordered along their normal.

    Args:
        path: DICOM folder, or a file that holds a whole volume; or a list of the files of one volume.
        series: which series of a folder: number, UID or description; needed where there are several.
        frame: which volume of a 4-D series, from 0; None: the only one.

    Raises:
        InputError: no such series; no positions; slices of mixed orientation or size; several volumes, none chosen.
    """
    if isinstance(path, (str, Path)):
        folder = Path(path)
        chosen = choose_series(folder, series)
    else:
        files = [Path(one) for one in path]
        folder = Path(os.path.commonpath([str(one.parent) for one in files]))
        chosen = choose(group(read_slices(files)), folder, series)
    name = f"The series {chosen.label} in {folder}"
    ordered = _one_volume(_ordered(chosen, name), frame, name)
    headers = {each: _header(each) for each in {one.path for one in ordered}}
    return tuple(_plane(one, headers[one.path]) for one in ordered)


def labels_on_planes(labels: sitk.Image, planes: tuple[Plane, ...]) -> npt.NDArray[np.uint8]:
    """Labels (slices, rows, columns) at the planes' pixels, from the nearest voxel; 0 beyond the labelmap.

    Raises:
        InputError: the labelmap has labels, and none of them lies on any of the planes.
    """
    rows, columns = planes[0].shape
    result = np.zeros((len(planes), rows, columns), dtype=np.uint8)
    for number, plane in enumerate(planes):
        direction = np.stack([plane.row, plane.column, plane.normal], axis=1)
        sampled = sitk.Resample(
            labels,
            [columns, rows, 1],
            sitk.Transform(3, sitk.sitkIdentity),
            sitk.sitkNearestNeighbor,
            plane.position.tolist(),
            [*plane.spacing, 1.0],
            direction.ravel().tolist(),
            0,
            sitk.sitkUInt8,
        )
        result[number] = sitk.GetArrayViewFromImage(sampled)[0]
    if not result.any() and sitk.GetArrayViewFromImage(labels).any():
        raise InputError(
            "The segmentation and the DICOM series do not overlap in space",
            "give the series that the segmentation was made from",
        )
    return result


def _header(path: Path) -> Any:
    """A file's header without pixels. Missing UIDs are taken from the file meta information."""
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    for name in ("SOPClassUID", "SOPInstanceUID"):
        in_preamble = header.file_meta.get(f"MediaStorage{name}")
        if not header.get(name) and in_preamble:
            setattr(header, name, in_preamble)
    if not header.get("SOPInstanceUID") or not header.get("SOPClassUID"):
        raise InputError(
            f"{path} has no SOP Class UID or SOP Instance UID, which a SEG or RTSTRUCT object must refer to",
            "export the series again from its source",
        )
    return header


def _ordered(series: Series, name: str) -> list[Slice]:
    slices = series.slices
    if any(one.position is None or one.cosines is None or one.spacing is None for one in slices):
        raise InputError(f"{name} does not say where its slices lie", "export it again as an original CT or MR series")
    first = slices[0]
    cosines = np.asarray(first.cosines, dtype=np.float64)
    for one in slices:
        if np.abs(np.asarray(one.cosines) - cosines).max() > SAME_COSINE:
            raise InputError(
                f"{name} mixes slices of different orientation ({first.path.name}, {one.path.name})",
                "give a series with one orientation",
            )
        if (one.rows, one.columns) != (first.rows, first.columns):
            raise InputError(
                f"{name} mixes slices of different size ({first.path.name}, {one.path.name})",
                "give a series of one size",
            )
    normal = np.cross(cosines[:3], cosines[3:])
    return sorted(slices, key=lambda one: (round(float(np.dot(one.position or 0, normal)), 2), one.order))


def _one_volume(ordered: list[Slice], frame: int | None, name: str) -> list[Slice]:
    """The slice of the wanted volume at each position; several at one position are the volumes of a 4-D series."""
    places: list[list[Slice]] = []
    for one in ordered:
        position = np.asarray(one.position)
        if places and np.abs(position - np.asarray(places[-1][0].position)).max() <= SAME_PLACE_MM:
            places[-1].append(one)
        else:
            places.append([one])
    places, _ = without_duplicates(places, digests_of)
    count = max(map(len, places))
    if count > 1 and frame is None:
        raise InputError(f"{name} holds {count} volumes", f"choose one, from 0 to {count - 1} (frame)")
    chosen = frame or 0
    if chosen >= min(map(len, places)):
        raise InputError(f"{name} has no volume {chosen} at every place", f"choose one from 0 to {count - 1} (frame)")
    return [slices[chosen] for slices in places]


def _plane(one: Slice, header: Any) -> Plane:
    cosines = np.asarray(one.cosines, dtype=np.float64)
    row = cosines[:3] / np.linalg.norm(cosines[:3])
    column = cosines[3:] - (cosines[3:] @ row) * row
    between_rows, between_columns = one.spacing or (1.0, 1.0)
    return Plane(
        header=header,
        frame=None if one.index is None else one.index + 1,
        position=np.asarray(one.position, dtype=np.float64),
        row=row,
        column=column / np.linalg.norm(column),
        spacing=(between_columns, between_rows),
        shape=(one.rows, one.columns),
    )
