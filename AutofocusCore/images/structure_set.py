"""Reads RT structure sets (RTSTRUCT): names and closed contours of structures, and the series they were drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images.series import list_series
from AutofocusCore.images.slices import modality_of

MODALITY = "RTSTRUCT"
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")


@dataclass(frozen=True)
class StructureSet:
    """What an RTSTRUCT file describes.

    Args:
        structures: names, and of each closed polygons (n, 3) in mm, LPS; none where it has none. Several structures
            may have one name.
        series: UIDs of the series that it refers to.
    """

    structures: tuple[tuple[str, tuple[NDArray[np.float64], ...]], ...]
    series: tuple[str, ...]


def is_structure_set(path: Path) -> bool:
    """Whether a file is an RTSTRUCT."""
    return modality_of(path) == MODALITY


def read_structure_set(path: Path) -> StructureSet:
    """Read an RTSTRUCT file.

    Raises:
        InputError: it is damaged.
    """
    import pydicom

    try:
        header = pydicom.dcmread(path, force=True)
        regions = header.StructureSetROISequence
        names = {int(roi.ROINumber): str(roi.get("ROIName") or "").strip() for roi in regions}
        contours: dict[int, tuple[NDArray[np.float64], ...]] = dict.fromkeys(names, ())
        for roi in header.get("ROIContourSequence") or []:
            contours[int(roi.ReferencedROINumber)] += tuple(closed_contours(roi))
        series = _series(header)
    except Exception as error:  # pydicom raises errors of many types for damaged files
        raise InputError(f"{path} is a damaged structure set ({type(error).__name__})", "export it again") from None
    return StructureSet(tuple((name, contours[number]) for number, name in names.items()), tuple(series))


def series_drawn_on(structures: StructureSet, folder: Path, name: str) -> str:
    """UID of the series in a DICOM folder that the structures were drawn on.

    Args:
        structures: the set.
        folder: of the series.
        name: of the structure set's file, for messages.

    Raises:
        InputError: it is none of those in the folder, or does not say which of several.
    """
    volumes = [series for series in list_series(folder) if series.can_be_volume]
    if structures.series:
        there = [series.uid for series in volumes if series.uid in structures.series]
        if len(there) == 1:
            return there[0]
        raise InputError(
            f"{name} was drawn on {'another series than those' if not there else 'several of the series'} in {folder}",
            "give the folder of the series that the contours were drawn on",
        )
    if len(volumes) == 1:
        return volumes[0].uid
    raise InputError(
        f"{name} was drawn on one of {len(volumes)} series in {folder}, and does not say which",
        "give a folder with that series alone",
    )


def _series(header: Any) -> dict[str, None]:
    """UIDs of the series that it refers to, each once."""
    series: dict[str, None] = {}
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            for one in study.get("RTReferencedSeriesSequence") or []:
                series[str(one.get("SeriesInstanceUID") or "")] = None
    series.pop("", None)
    return series


def closed_contours(roi: Any) -> Iterator[NDArray[np.float64]]:
    """The closed contours of one item of the ROIContourSequence, as (n, 3) points in mm.

    Raises:
        ValueError, AttributeError: it is damaged.
    """
    for contour in roi.get("ContourSequence") or []:
        if str(contour.get("ContourGeometricType") or "").strip().upper() not in CLOSED:
            continue
        points = np.asarray([float(value) for value in contour.ContourData], dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(points).all():
            raise ValueError("a coordinate is not a number")
        if len(points) >= 3:
            yield points
