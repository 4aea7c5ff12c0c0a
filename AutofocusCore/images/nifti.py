"""NIfTI-1, NIfTI-2 and Analyze: the header is checked field by field (https://nifti.nimh.nih.gov).

A single file (.nii, compressed or not, whatever its extension) or a pair (.hdr and .img). The .img file of a pair must
lie beside its header.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import check_components, direction_error, spacing_error
from AutofocusCore.images.files import GZIP, damaged, malformed, not_an_image, open_regular, starts_with, unreadable
from AutofocusCore.images.nifti_axes import Axes, resolve_axes
from AutofocusCore.images.voxels import Part, Stored

TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"
}  # fmt: skip
OTHER_TYPES = {128: 3, 2304: 4, 32: 2, 1792: 2, 2048: 2}
"""Colours and complex numbers, and how many values each has."""
FIRST, SECOND = 348, 540
"""Bytes of a header of NIfTI-1 and of NIfTI-2."""
LAYOUTS = {
    1: {
        "dim": ("8h", 40), "intent": ("h", 68), "datatype": ("h", 70), "bitpix": ("h", 72), "pixdim": ("8f", 76),
        "vox_offset": ("f", 108), "scl_slope": ("f", 112), "scl_inter": ("f", 116), "units": ("B", 123),
        "qform_code": ("h", 252), "sform_code": ("h", 254), "quatern": ("6f", 256), "sform": ("12f", 280),
    },
    2: {
        "dim": ("8q", 16), "intent": ("i", 504), "datatype": ("h", 12), "bitpix": ("h", 14), "pixdim": ("8d", 104),
        "vox_offset": ("q", 168), "scl_slope": ("d", 176), "scl_inter": ("d", 184), "units": ("i", 500),
        "qform_code": ("i", 344), "sform_code": ("i", 348), "quatern": ("6d", 352), "sform": ("12d", 400),
    },
}  # fmt: skip
"""Type and first byte of each field in the header of NIfTI-1 and of NIfTI-2."""
EXTENDER = 4
"""Bytes that follow it in a single file, and tell whether extensions come before the voxels."""
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per unit, by code: unknown, metre, millimetre, micrometre."""
ENDING = re.compile(r"\.(hdr|img)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Fields:
    """The fields of a header that are used, with their names in the standard."""

    version: int
    single: bool
    known: bool
    """Whether the magic word is there: an Analyze file has none."""
    order: str
    dim: tuple[int, ...]
    intent: int
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: float
    scl_slope: float
    scl_inter: float
    units: int
    qform_code: int
    sform_code: int
    quatern: tuple[float, ...]
    """b, c, d, and the offsets x, y, z."""
    sform: npt.NDArray[np.float64]


def describe(path: Path, name: str) -> Stored:
    """The image that the header describes.

    Args:
        path: the file that was named: a single file, or either part of a pair.
        name: what to call it.

    Raises:
        InputError: the header is damaged or contradicts itself, or the axes are; see `resolve_axes` for the latter.
    """
    header, data = parts_of(path)
    if not header.exists():
        raise InputError(f"{name} has no header: {header.name} is missing beside it", "copy both files")
    try:
        fields = read_fields(header, name)
    except OSError as error:
        raise unreadable(name, error) from None
    if fields.single:
        data = header
    elif header == data:
        raise malformed(name, "it is that of a pair (.hdr and .img), in a single file")
    size, frames = _size(fields, name)
    dtype = _dtype(fields, name)
    axes = _axes(fields, name)
    grid, warnings = resolve_axes(axes, size, name)
    scale, remark = _scale(fields, name)
    packed = (fields.single or data.suffix.lower() == ".gz") and data.is_file() and starts_with(data, 2) == GZIP
    part = Part(data, packing="gzip" if packed else "raw", skip=_offset(fields, name))
    return Stored(name, (part,), dtype, grid, frames, scale=scale, warnings=(*warnings, *remark))


def parts_of(path: Path) -> tuple[Path, Path]:
    """The header's file and the voxels' file, whichever of a pair is given; the same file twice if it is no pair."""
    found = ENDING.search(path.name)
    if found is None:
        return path, path
    endings = [".hdr", ".hdr.gz", ".img", ".img.gz"]
    if found[1].isupper():
        endings = [ending.upper() for ending in endings]
    plain, packed, image, packed_image = (path.with_name(path.name[: found.start()] + ending) for ending in endings)
    if found[1].lower() == "hdr":
        header, data = path, packed_image if packed_image.exists() and not image.exists() else image
    else:
        header, data = packed if packed.exists() and not plain.exists() else plain, path
    return header, data


def read_fields(path: Path, name: str) -> Fields:
    """The fields of a header.

    Raises:
        InputError: it breaks off, or its size or magic word is wrong.
    """
    try:
        with open_regular(path, name) as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            raw = gzip.GzipFile(fileobj=file, mode="rb").read(SECOND) if packed else file.read(SECOND)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged(path) from None
    for order in "<>":
        size = struct.unpack(order + "i", raw[:4])[0] if len(raw) >= 4 else 0
        if size in (FIRST, SECOND):
            if len(raw) < size:
                raise damaged(path)
            return _fields(raw, order, 1 if size == FIRST else 2, path, name)
    size = struct.unpack("<i", raw[:4])[0] if len(raw) >= 4 else 0
    if raw[344:348] in (b"n+1\0", b"ni1\0"):
        raise malformed(name, f"its first number, the length of the header, is {size} and not {FIRST}")
    if raw[4:8] in (b"n+2\0", b"ni2\0"):
        raise malformed(name, f"its first number, the length of the header, is {size} and not {SECOND}")
    raise not_an_image(path, raw, "NIfTI")


def _fields(raw: bytes, order: str, version: int, path: Path, name: str) -> Fields:
    magic = raw[344:348] if version == 1 else raw[4:8]
    words = (b"n+%d\0" % version, b"ni%d\0" % version)
    if magic not in words and (version == 2 or ENDING.search(path.name) is None):
        where = "end" if version == 1 else "beginning"
        raise malformed(name, f"the word n+{version} is missing at its {where}, where there is {magic!r}")
    found: dict[str, Any] = {}
    for field, (layout, at) in LAYOUTS[version].items():
        values = struct.unpack_from(order + layout, raw, at)
        found[field] = values if len(values) > 1 else values[0]
    found["units"] &= 0xFF
    found["vox_offset"] = float(found["vox_offset"])
    found["sform"] = np.array(found["sform"], dtype=np.float64).reshape(3, 4)
    return Fields(version=version, single=magic == words[0], known=magic in words, order=order, **found)


def _size(fields: Fields, name: str) -> tuple[tuple[int, int, int], int]:
    count, dim = fields.dim[0], fields.dim
    if not 1 <= count <= 7:
        raise malformed(name, f"it has {count} dimensions")
    if any(n < 1 for n in dim[1 : min(count, 3) + 1]) or any(n < 0 for n in dim[4 : count + 1]):
        raise malformed(name, f"its size is {' × '.join(map(str, dim[1 : count + 1]))}")
    x, y, z, frames, *more = [max(1, n) if i < count else 1 for i, n in enumerate(dim[1:])]
    if math.prod(more) > 1:
        check_components(math.prod(more), "a list of numbers", name)
    return (x, y, z), frames


def _dtype(fields: Fields, name: str) -> np.dtype[Any]:
    if fields.datatype in OTHER_TYPES:
        kind = "complex numbers" if OTHER_TYPES[fields.datatype] == 2 else "colours"
        check_components(OTHER_TYPES[fields.datatype], kind, name)
    if fields.datatype not in TYPES:
        raise malformed(name, f"its voxels are of the type {fields.datatype}, which is not used for images")
    dtype = np.dtype(fields.order + TYPES[fields.datatype])
    if fields.bitpix not in (0, 8 * dtype.itemsize):
        raise malformed(name, f"a voxel has {fields.bitpix} bits, but its type {dtype.name} has {8 * dtype.itemsize}")
    return dtype


def _offset(fields: Fields, name: str) -> int:
    offset = fields.vox_offset
    if not math.isfinite(offset) or offset < 0 or offset > 2**62:
        raise malformed(name, f"its voxels begin at byte {offset:g}")
    least = {1: FIRST, 2: SECOND}[fields.version] + EXTENDER if fields.single else 0
    if 0 < offset < least:
        raise malformed(name, f"its voxels begin at byte {offset:g}, within the header of {least} bytes")
    return max(int(offset), least)


def _scale(fields: Fields, name: str) -> tuple[tuple[float, float], tuple[str, ...]]:
    """(slope, intercept), and warnings. Many programs write NaN for "not set"; a slope of NaN or 0 is 1, as in ITK."""
    slope, inter = fields.scl_slope, fields.scl_inter
    if not fields.known:
        return (1.0, 0.0), ()  # Analyze has other fields in that place
    if math.isinf(slope) or math.isinf(inter):
        raise malformed(name, f"its values are to be scaled by {slope:g} and shifted by {inter:g}")
    unset = math.isnan(slope) or slope == 0
    inter = 0.0 if math.isnan(inter) else inter
    if unset and inter != 0:
        return (1.0, inter), (
            f"{name} gives no slope for its values ({slope:g}) but the intercept {inter:g}: the slope was taken as 1.",
        )
    return (1.0 if unset else slope, inter), ()


def _axes(fields: Fields, name: str) -> Axes:
    spacing = [float(s) for s in fields.pixdim[1:4]]
    if fields.dim[0] >= 3 and not all(math.isfinite(s) and s != 0 for s in spacing):
        raise spacing_error(name, spacing)
    if any(s < 0 for s in spacing[: min(3, fields.dim[0])]):
        raise spacing_error(name, spacing)
    unit = UNITS.get(fields.units & 7)
    if unit is None:
        raise malformed(name, f"its unit of length has the code {fields.units & 7}")
    sform = fields.sform if fields.known and fields.sform_code > 0 else None
    qform_code = fields.qform_code if fields.known else 0
    if sform is not None:
        norms = np.linalg.norm(sform[:, :3], axis=0)
        if not np.all(np.isfinite(sform)) or norms.min() == 0 or abs(np.linalg.det(sform[:, :3] / norms)) < 1e-6:
            raise direction_error(name)
    qfac = fields.pixdim[0]
    return Axes(
        spacing=np.array([s if s > 0 else 1.0 for s in spacing]) * unit,
        qform_code=max(0, qform_code),
        quatern=np.array(fields.quatern[:3]),
        qoffset=np.array(fields.quatern[3:]) * unit,
        qfac=-1.0 if qfac < 0 else 1.0,
        sform_code=max(0, fields.sform_code) if fields.known else 0,
        sform=None if sform is None else sform * unit,
        unit=("", "metres", "", "micrometres")[fields.units & 7] if fields.units & 7 < 4 else "",
    )
