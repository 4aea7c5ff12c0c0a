"""Single DICOM slices: what their headers say, and their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.headers import damaged
from AutofocusCore.io.names import check_name


@dataclass(frozen=True)
class Slice:
    """One plane of pixels: a file, or a frame of a multi-frame file. Positions in mm, LPS."""

    path: Path
    index: int | None
    series_uid: str
    number: int | None
    description: str
    modality: str
    key: str
    rows: int
    columns: int
    samples: int
    position: tuple[float, ...] | None
    cosines: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    rescale: tuple[float, float]
    order: tuple[float, ...]
    localizer: bool
    mosaic: bool


def is_dicom(path: Path) -> bool:
    """Whether a file starts like DICOM, with its preamble or, in old files, without."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or start[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")


def read_slices(files: Iterable[Path]) -> list[Slice]:
    """The slices of those files that are DICOM images; all other files are passed over."""
    import pydicom

    found: list[Slice] = []
    for path in files:
        if not is_dicom(path):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            if "Rows" in header and "Columns" in header:
                found.extend(_slices_of(path, header))
        except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError) as error:
            raise InputError(
                f"{path} is a damaged DICOM file ({type(error).__name__})", "copy it again, or take it out"
            ) from None
    return found


def pixels_of(slices: Sequence[Slice]) -> list[npt.NDArray[Any]]:
    """Rescaled pixels (y, x) of each slice, all of one type: 16-bit where that holds them, else float32.

    Raises:
        InputError: a file whose pixels cannot be decoded, by name.
    """
    raw: dict[Path, npt.NDArray[Any]] = {}
    planes = []
    for one in slices:
        try:
            if one.index is None:
                check_name(one.path)
                array = sitk.GetArrayFromImage(sitk.ReadImage(str(one.path)))  # rescaled by the reader
                planes.append(array.reshape(one.rows, one.columns))
                continue
            if one.path not in raw:
                raw[one.path] = _frames_of(one.path)
        except (RuntimeError, ValueError, OSError, AttributeError, NotImplementedError):
            raise damaged(one.path) from None
        slope, intercept = one.rescale
        plane = raw[one.path][one.index]
        planes.append(plane if (slope, intercept) == (1, 0) else plane.astype(np.float64) * slope + intercept)
    low, high = min(p.min() for p in planes), max(p.max() for p in planes)
    whole = all(np.issubdtype(p.dtype, np.integer) for p in planes)
    kind = np.int16 if whole and low >= -32768 and high <= 32767 else np.int32 if whole else np.float32
    return [p.astype(kind) for p in planes]


def _frames_of(path: Path) -> npt.NDArray[Any]:
    import pydicom

    array = pydicom.dcmread(path, force=True).pixel_array
    return array if array.ndim == 3 else array[None]


def _slices_of(path: Path, header: Any) -> list[Slice]:
    """One slice of an ordinary file, one for each frame of an enhanced one."""
    kinds = [str(k).upper() for k in _list(header, "ImageType")]
    number = header.get("SeriesNumber")
    description = str(header.get("SeriesDescription") or "").strip()
    uid = str(header.get("SeriesInstanceUID") or f"series {number} {description}".strip())
    shared: dict[str, Any] = {
        "path": path,
        "series_uid": uid,
        "number": int(number) if number is not None else None,
        "description": description,
        "modality": str(header.get("Modality") or ""),
        "rows": int(header.Rows),
        "columns": int(header.Columns),
        "samples": int(header.get("SamplesPerPixel") or 1),
        "localizer": "LOCALIZER" in kinds,
        "mosaic": "MOSAIC" in kinds,
    }
    instance = str(header.get("SOPInstanceUID") or path)
    frames = int(header.get("NumberOfFrames") or 1)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if frames == 1 and not per_frame:
        times = ("AcquisitionNumber", "TemporalPositionIdentifier", "EchoNumbers", "DiffusionBValue", "InstanceNumber")
        return [
            Slice(
                **shared,
                index=None,
                key=instance,
                position=_numbers(header, "ImagePositionPatient", 3),
                cosines=_numbers(header, "ImageOrientationPatient", 6),
                spacing=_numbers(header, "PixelSpacing", 2),
                rescale=(1.0, 0.0),
                order=tuple(_number(header, t) for t in times),
            )
        ]
    common = header.get("SharedFunctionalGroupsSequence") or [None]
    slices = []
    for index in range(frames):
        own = per_frame[index] if per_frame else None
        groups = [g for g in (own, common[0], header) if g is not None]
        content = _group(groups, "FrameContentSequence")
        pixel = _group(groups, "PixelValueTransformationSequence")
        slope = _number(pixel, "RescaleSlope") if "RescaleSlope" in pixel else 1.0
        slices.append(
            Slice(
                **shared,
                index=index,
                key=f"{instance} {index}",
                position=_numbers(_group(groups, "PlanePositionSequence"), "ImagePositionPatient", 3),
                cosines=_numbers(_group(groups, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
                spacing=_numbers(_group(groups, "PixelMeasuresSequence"), "PixelSpacing", 2),
                rescale=(slope, _number(pixel, "RescaleIntercept")),
                order=(_number(content, "TemporalPositionIndex"), float(index)),
            )
        )
    return slices


def _group(groups: Sequence[Any], name: str) -> Any:
    """The first item of a functional group, of the frame itself or shared by all, or the file's own fields."""
    return next((g[name].value[0] for g in groups if name in g and len(g[name].value)), groups[-1])


def _list(header: Any, name: str) -> list[Any]:
    value = header.get(name)
    return [] if value is None else [value] if isinstance(value, (str, int, float)) else list(value)


def _numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    value = _list(header, name)
    return tuple(float(v) for v in value) if len(value) == count else None


def _number(header: Any, name: str) -> float:
    value = _list(header, name)
    try:
        return float(value[0]) if value else 0.0
    except (TypeError, ValueError):
        return 0.0
