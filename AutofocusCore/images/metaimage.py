"""MetaImage, with its voxels in the same file (.mha) or in another one (.mhd): the header is checked field by field.

The format: https://itk.org/Wiki/ITK/MetaIO/Documentation. Lines "Key = value" up to the key ElementDataFile.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import check_components, direction_error, spacing_error
from AutofocusCore.images.files import malformed, refuse_packed, starts_with
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.nifti_axes import no_orientation, sides_of
from AutofocusCore.images.patterns import listed, numbered
from AutofocusCore.images.voxels import Part, Stored

LONGEST_HEADER = 4 * 1024**2
MOST_LINES = 50_000
TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
KEY = re.compile(rb"^[ \t]*(\w+)[ \t]*[=:][ \t]*([^\r\n]*?)[ \t]*\r?$")
MATRIX = ("TransformMatrix", "Rotation", "Orientation")
ORIGIN = ("Offset", "Position", "Origin")
MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_NM": "NM", "MET_MOD_US": "US"}
OPPOSITE = str.maketrans("LRPASI", "RLAPIS")


def describe(path: Path, name: str) -> Stored:
    """The image that the header describes.

    Raises:
        InputError: the header is damaged, contradicts itself, or does not describe a volume.
    """
    refuse_packed(path, name, "MetaImage")
    fields, offset, lines_after = _fields(path, name)
    kind = fields.get("ObjectType", "Image")
    if kind.lower() != "image":
        raise malformed(name, f"it is that of a {kind[:40]!r} object, not of an image")
    count = _count(fields, "NDims", name)
    sizes = _sizes(fields, count, name)
    channels = _count(fields, "ElementNumberOfChannels", name) if "ElementNumberOfChannels" in fields else 1
    if channels > 1:
        check_components(channels, "vector", name)
    word = fields.get("ElementType", "")
    if word.endswith("_ARRAY"):
        check_components(2, word, name)
    if word not in TYPES:
        raise malformed(name, f"its voxels are of the type {word[:40]!r}, which is not used for images")
    big = _is_true(fields.get("ElementByteOrderMSB", fields.get("BinaryDataByteOrderMSB", "False")))
    dtype = np.dtype((">" if big else "<") + TYPES[word])
    grid, warnings = _grid(fields, count, sizes, name)
    nbytes = math.prod(sizes) * dtype.itemsize
    parts = _parts(fields, path, offset, lines_after, sizes, nbytes, name)
    slope, shift = fields.get("ElementToIntensityFunctionSlope"), fields.get("ElementToIntensityFunctionOffset")
    if (slope or "1", shift or "0") != ("1", "0") and (_as_float(slope), _as_float(shift)) not in ((1, 0), (1, None)):
        warnings += (
            f"{name} says that its values are to be scaled by {slope or 1} and shifted by {shift or 0}, which Slicer "
            "and ITK ignore: the stored values were used unchanged.",
        )
    frames = math.prod(sizes[3:])
    modality = MODALITIES.get(fields.get("Modality", ""))
    return Stored(name, parts, dtype, grid, frames, warnings=warnings, modality=modality)


def _fields(path: Path, name: str) -> tuple[dict[str, str], int, list[str]]:
    """The fields of the header, where the voxels begin, and the lines after it (a list of files)."""
    start = starts_with(path, LONGEST_HEADER)
    fields: dict[str, str] = {}
    at = 0
    for number in range(MOST_LINES):
        end = start.find(b"\n", at)
        line = start[at:] if end < 0 else start[at:end]
        at = len(start) if end < 0 else end + 1
        found = KEY.match(line)
        if found is not None:
            key, value = found[1].decode("ascii", errors="replace"), found[2].decode("utf-8", errors="surrogateescape")
            if key in fields and key != "Comment" and fields[key] != value:
                raise malformed(name, f"it gives {key!r} twice, and differently")
            fields[key] = value
            if key == "ElementDataFile":
                text = start[at:].decode("utf-8", errors="surrogateescape") if value.startswith("LIST") else ""
                return fields, at, text.split("\n")
        elif line.strip():
            raise malformed(name, f"its line {number + 1} is not of the form 'Key = value'")
        if at >= len(start):
            break
    raise malformed(name, "it does not say where its voxels are (ElementDataFile), or is damaged")


def _count(fields: dict[str, str], field: str, name: str) -> int:
    word = fields.get(field, "")
    if not re.fullmatch(r"[1-9]\d{0,2}", word) or int(word) > 100:
        raise malformed(name, f"{field} is {word[:20]!r}")
    return int(word)


def _sizes(fields: dict[str, str], count: int, name: str) -> list[int]:
    words = fields.get("DimSize", "").split()
    whole = all(re.fullmatch(r"[1-9]\d{0,10}", word) for word in words)
    if len(words) != count or not whole:
        raise malformed(name, f"it has {count} dimensions and the size {fields.get('DimSize', '')[:60]!r}")
    sizes = [int(word) for word in words] + [1] * (3 - count)
    if len(sizes) > 4 and math.prod(sizes[4:]) > 1:
        raise InputError(f"{name} has {count} dimensions", "give a volume of three, or a series of them")
    return sizes


def _numbers(fields: dict[str, str], names: tuple[str, ...], count: int, name: str) -> npt.NDArray[np.float64] | None:
    """The numbers of the first of these fields that is present; None if none is."""
    field = next((one for one in names if one in fields), None)
    if field is None:
        return None
    try:
        values = np.array([float(word) for word in fields[field].split()])
    except ValueError:
        values = np.array([])
    if len(values) != count:
        raise malformed(name, f"{field} is {fields[field][:60]!r}, which are not {count} numbers")
    return values


def _grid(fields: dict[str, str], count: int, sizes: list[int], name: str) -> tuple[Grid, tuple[str, ...]]:
    for field in ("ElementSpacing", "ElementSize"):
        _check_spacing(fields, field, count, name)
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"), count, name)
    matrix = _numbers(fields, MATRIX, count * count, name)
    origin = _numbers(fields, ORIGIN, count, name)
    used = min(count, 3)
    steps, where, lengths = np.eye(3), np.zeros(3), np.ones(3)
    if spacing is not None:
        lengths[:used] = spacing[:used]
    if origin is not None:
        where[:used] = origin[:used]
    if matrix is not None:
        steps[:used, :used] = matrix.reshape(count, count).T[:used, :used]  # the columns follow each other in the file
    if not np.all(np.isfinite(steps)) or not np.all(np.isfinite(where)) or np.abs(where).max() > 1e12:
        raise direction_error(name)
    norms = np.linalg.norm(steps, axis=0)
    if norms.min() == 0 or abs(np.linalg.det(steps / norms)) < 1e-6:
        raise direction_error(name)
    if np.abs(norms - 1).max() > 0.05:
        shown = " × ".join(f"{n:.3g}" for n in norms)
        raise malformed(name, f"the columns of its TransformMatrix have the lengths {shown} instead of 1")
    grid = Grid.from_matrix((sizes[0], sizes[1], sizes[2]), steps / norms * lengths, where)
    return grid, _remarks(fields, steps, matrix is not None, spacing is not None, name)


def _remarks(
    fields: dict[str, str], steps: npt.NDArray[np.float64], oriented: bool, sized: bool, name: str
) -> tuple[str, ...]:
    said = fields.get("AnatomicalOrientation", "").strip().upper()
    remarks: tuple[str, ...] = ()
    if not sized:
        remarks += (f"{name} does not give a voxel size: 1 mm was assumed.",)
    if not oriented:
        return (*remarks, no_orientation(name))
    sides = sides_of(steps)
    if re.fullmatch(r"[LRPASI]{3}", said) and said.translate(OPPOSITE) != sides and said != sides:
        remarks += (
            f"{name} gives two orientations: {sides} by its TransformMatrix, which was used, but "
            f"{said} by its AnatomicalOrientation.",
        )
    return remarks


def _check_spacing(fields: dict[str, str], field: str, count: int, name: str) -> None:
    if field not in fields:
        return
    try:
        values = [float(word) for word in fields[field].split()]
    except ValueError:
        raise spacing_error(name, fields[field][:60]) from None
    if len(values) != count:
        raise malformed(name, f"{field} is {fields[field][:60]!r}, which are not {count} numbers")
    if not all(math.isfinite(v) and v > 0 for v in values[:3]):
        raise spacing_error(name, values[:3])


def _parts(
    fields: dict[str, str], path: Path, offset: int, after: list[str], sizes: list[int], nbytes: int, name: str
) -> tuple[Part, ...]:
    where = fields["ElementDataFile"]
    packed = _is_true(fields.get("CompressedData", "False"))
    binary = _is_true(fields.get("BinaryData", "True"))
    skip = fields.get("HeaderSize", "0")
    if not re.fullmatch(r"-1|\d{1,15}", skip):
        raise malformed(name, f"HeaderSize is {skip[:20]!r}")
    if where.split()[:1] == ["LIST"]:
        across = where.split()[1] if len(where.split()) > 1 else str(len(sizes) - 1)
        if across not in ("2", "3", "2D", "3D"):
            raise malformed(name, f"ElementDataFile is {where[:40]!r}")
        files, offset = listed(path, after, name), 0
    elif where.upper() == "LOCAL":
        files = [path]
    else:
        files, offset = numbered(path, where, name), 0
    if nbytes % len(files):
        raise malformed(name, f"its voxels cannot be divided among {len(files)} files")
    if skip == "-1" and (packed or not binary):
        raise malformed(name, "its voxels are compressed and begin before the end of the file (HeaderSize -1)")
    chosen = skip not in ("0", "-1")
    offset = int(skip) if chosen else offset
    packing = "zlib" if packed else "raw" if binary else "text"
    return tuple(Part(file, offset, packing, from_end=skip == "-1", among_others=chosen) for file in files)  # type: ignore[arg-type]


def _is_true(value: str) -> bool:
    """Whether MetaImage takes the value of a field as true."""
    return value[:1] in ("T", "t", "1")


def _as_float(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return math.nan
