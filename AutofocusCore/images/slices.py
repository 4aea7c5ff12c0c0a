"""Headers of single DICOM slices. Their pixels are read by `pixels`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusCore.images.files import BOMB_BYTES, BOMB_RATIO, damaged, format_of, open_regular, size_text, starts_with

MOST_FRAMES = 100_000
VOLUMES = ("CT", "MR", "PT", "NM", "OT", "")
"""Modalities in which the frames of a file are slices; in others they may be time points."""
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


@dataclass(frozen=True)
class Slice:
    """One plane of pixels: a file, or a frame of a multi-frame file. Positions in mm, LPS.

    `index` is that of the frame, None in an ordinary file. `guessed` says that only the first frame's position is in
    the header, and how far apart they are.
    """

    path: Path
    index: int | None
    series_uid: str
    number: int | None
    description: str
    modality: str
    key: str
    rows: int
    columns: int
    grey: bool
    position: tuple[float, ...] | None
    cosines: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    order: tuple[float, ...]
    localizer: bool
    mosaic: bool
    inverted: bool = False
    guessed: bool = False

    @property
    def placed(self) -> bool:
        """Whether it has a position."""
        return self.position is not None and self.cosines is not None and self.spacing is not None


def is_dicom(path: Path) -> bool:
    """Whether a file starts like DICOM, with its preamble or, in old files, without."""
    try:
        return format_of(path, starts_with(path, 132)) == "DICOM"
    except (OSError, InputError):
        return False


def read_dataset(path: Path, *, pixels: bool) -> Any:
    """A file's data set, with its pixels or without.

    Raises:
        InputError: it is damaged, or a zip bomb.
    """
    import pydicom

    try:
        _check_deflated(path)
        return pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
    except InputError:
        raise
    except Exception as error:
        raise _damaged(path, error) from None


def read_slices(files: Iterable[Path]) -> list[Slice]:
    """The slices of those files that are DICOM images; other files are ignored.

    Raises:
        InputError: a DICOM file is damaged.
    """
    found: list[Slice] = []
    for path in files:
        if not is_dicom(path):
            continue
        header = read_dataset(path, pixels=False)
        try:
            if "Rows" in header and "Columns" in header:
                found.extend(_slices_of(path, header))
        except InputError:
            raise
        except Exception as error:
            raise _damaged(path, error) from None
    return found


def series_uid_of(path: Path) -> str | None:
    """Series UID of a DICOM file, without reading the rest of its header; None if it has none."""
    return _early(path, "SeriesInstanceUID", 0x0020000E)


def modality_of(path: Path) -> str | None:
    """Modality of a DICOM file, without reading the rest of its header; None if it has none."""
    return _early(path, "Modality", 0x00080060)


def _early(path: Path, name: str, tag: int) -> str | None:
    """The text of an attribute near the beginning of a DICOM file."""
    from pydicom.filereader import read_partial

    if not is_dicom(path):
        return None
    try:
        with open_regular(path) as file:
            header = read_partial(file, stop_when=lambda one, vr, length: one > tag, force=True)
        return str(header.get(name) or "").strip() or None
    except Exception:
        return None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is a damaged DICOM file ({type(error).__name__})", "copy it again, or take it out")


def _check_deflated(path: Path) -> None:
    """Refuse a file whose deflated data set would fill the memory."""
    from pydicom.filereader import read_file_meta_info

    with open_regular(path) as file:
        if file.read(132)[128:] != b"DICM":
            return
    meta = read_file_meta_info(path)
    if str(meta.get("TransferSyntaxUID", "")) != DEFLATED:
        return
    with open_regular(path) as file:
        start = file.read(1 << 16)
        uid = start.find(DEFLATED.encode())
        file.seek(uid if uid > 0 else 0)
        whole, length = file.read(), 0
    begin = 144 + int(meta.get("FileMetaInformationGroupLength") or 0) - max(uid, 0)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = whole[max(begin, 0) :]
    while packed:
        length += len(unpack.decompress(packed, 1 << 22))
        packed = unpack.unconsumed_tail
        if length > max(BOMB_BYTES, BOMB_RATIO * len(whole)):
            raise InputError(
                f"{path} holds {size_text(len(whole))} that would unpack to more than {size_text(length)}, which no "
                "scan does",
                "check where it comes from",
            )


def _slices_of(path: Path, header: Any) -> list[Slice]:
    """One slice of an ordinary file, one for each frame of an enhanced one."""
    kinds = [str(k).upper() for k in _list(header, "ImageType")]
    number = header.get("SeriesNumber")
    description = str(header.get("SeriesDescription") or "").strip()
    uid = str(header.get("SeriesInstanceUID") or f"series {number} {description}".strip())
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2").upper()
    shared: dict[str, Any] = {
        "path": path,
        "series_uid": uid,
        "number": int(number) if number not in (None, "") else None,
        "description": description,
        "modality": str(header.get("Modality") or ""),
        "rows": int(header.Rows),
        "columns": int(header.Columns),
        "grey": int(header.get("SamplesPerPixel") or 1) == 1 and photometric.startswith("MONOCHROME"),
        "localizer": "LOCALIZER" in kinds,
        "mosaic": "MOSAIC" in kinds,
        "inverted": photometric == "MONOCHROME1",
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
                order=tuple(_number(header, t) for t in times),
            )
        ]
    _check_frames(path, header, frames, per_frame)
    common = header.get("SharedFunctionalGroupsSequence") or [None]
    slices: list[Slice] = []
    for index in range(frames):
        if slices and not per_frame:  # all alike
            slices.append(replace(slices[0], index=index, key=f"{instance} {index}", order=(0.0, float(index))))
            continue
        own = per_frame[index] if per_frame else None
        groups = [g for g in (own, common[0], header) if g is not None]
        slices.append(
            Slice(
                **shared,
                index=index,
                key=f"{instance} {index}",
                position=_numbers(functional_group(groups, "PlanePositionSequence"), "ImagePositionPatient", 3),
                cosines=_numbers(functional_group(groups, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
                spacing=_numbers(functional_group(groups, "PixelMeasuresSequence"), "PixelSpacing", 2),
                order=(
                    _number(functional_group(groups, "FrameContentSequence"), "TemporalPositionIndex"),
                    float(index),
                ),
            )
        )
    return _spread(slices, header)


def _check_frames(path: Path, header: Any, frames: int, per_frame: Any) -> None:
    if not 1 <= frames <= MOST_FRAMES:
        raise InputError(
            f"{path} has {frames} frames by its header, more than any scan", "export it again from its source"
        )
    syntax = str(header.file_meta.get("TransferSyntaxUID", "")) if hasattr(header, "file_meta") else ""
    plain = syntax in ("", *NATIVE)
    least = int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated") or 8) // 8 if plain else 8
    if syntax != DEFLATED and frames * least > path.stat().st_size:
        raise damaged(path, f"its header says {frames} frames, which its {size_text(path.stat().st_size)} cannot hold")
    if per_frame and len(per_frame) != frames:
        raise InputError(
            f"{path} has {frames} frames by its header, which describes {len(per_frame)}",
            "export it again from its source",
        )


def _spread(slices: list[Slice], header: Any) -> list[Slice]:
    """Frames at equal distances from the first one, whose position is the only one in the header.

    Dental cone-beam scanners write such files; ITK reads them in the same way.
    """
    first = slices[0]
    if first.modality not in VOLUMES or not first.placed or len({s.position for s in slices}) > 1 or len(slices) < 2:
        return slices
    if "PerFrameFunctionalGroupsSequence" in header:
        return slices
    offsets = _list(header, "GridFrameOffsetVector")
    apart = next((v for v in (_number(header, t) for t in ("SpacingBetweenSlices", "SliceThickness")) if v > 0), 0.0)
    if len(offsets) == len(slices):
        steps = np.array([float(v) - float(offsets[0]) for v in offsets])
    elif apart:
        steps = np.array([i * apart for i in range(len(slices))])
    else:
        return slices
    normal = np.cross(first.cosines[:3], first.cosines[3:])  # type: ignore[index]
    places = np.asarray(first.position) + steps[:, None] * normal / (np.linalg.norm(normal) or 1.0)
    return [replace(s, position=tuple(p.tolist()), guessed=True) for s, p in zip(slices, places, strict=True)]


def functional_group(groups: Sequence[Any], name: str) -> Any:
    """The first item of a functional group, of the frame itself or shared by all, or the file's own fields."""
    return next((g[name].value[0] for g in groups if name in g and len(g[name].value)), groups[-1])


def _list(header: Any, name: str) -> list[Any]:
    value = header.get(name)
    return [] if value is None else [value] if isinstance(value, (str, int, float)) else list(value)


def _numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    value = _list(header, name)
    numbers = tuple(float(v) for v in value) if len(value) == count else None
    return numbers if numbers is None or np.all(np.isfinite(numbers)) else None


def _number(header: Any, name: str) -> float:
    try:
        value = _list(header, name)
        return float(value[0]) if value and np.isfinite(float(value[0])) else 0.0
    except (TypeError, ValueError):
        return 0.0
