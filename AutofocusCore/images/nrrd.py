"""NRRD, with its voxels in the same file (.nrrd) or in others (.nhdr): the header is checked field by field.

The format: https://teem.sourceforge.net/nrrd/format.html. A fourth axis is a list of volumes, first or last, as in
Slicer's .seq.nrrd. `AutofocusCore.io.nrrd` writes such files.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import check_components, direction_error, spacing_error
from AutofocusCore.images.files import damaged, malformed, open_regular, refuse_packed
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.nifti_axes import no_orientation
from AutofocusCore.images.nrrd_types import TYPES
from AutofocusCore.images.patterns import listed, numbered
from AutofocusCore.images.voxels import Packing, Part, Stored

LONGEST_HEADER = 4 * 1024**2
MOST_LINES = 50_000
PACKINGS: dict[str, Packing] = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "txt": "text", "text": "text", "ascii": "text", "hex": "hex",
}  # fmt: skip
TO_LPS = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
TO_LPS |= {f"{space}-time": signs for space, signs in TO_LPS.items() if "-" in space}
TO_LPS |= {f"{space}t": signs for space, signs in TO_LPS.items() if "-" not in space}
NOT_PATIENT = ("scanner-xyz", "3d-right-handed", "3d-left-handed")
ALIASES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins"}
COLOURS = {
    "rgb-color", "rgba-color", "hsv-color", "xyz-color", "3-color", "4-color", "vector", "2-vector", "3-vector",
    "complex", "4-vector", "covariant-vector", "3-normal", "3-gradient", "quaternion", "matrix", "3d-matrix",
}  # fmt: skip
DOMAINS = ("domain", "space", "time", "none", "???", "")
UNIT = {"mm": 1.0, "um": 0.001, "µm": 0.001, "m": 1000.0, "cm": 10.0, "nm": 1e-6}


def describe(path: Path, name: str) -> Stored:
    """The image that the header describes.

    Raises:
        InputError: the header is damaged, contradicts itself, or does not describe a volume.
    """
    refuse_packed(path, name, "NRRD")
    fields, offset = _fields(path, name)
    dtype = _dtype(fields, name)
    sizes = _whole_numbers(fields, "sizes", name)
    count = _dimension(fields, name)
    if len(sizes) != count or min(sizes) < 1:
        raise malformed(name, f"its sizes are {fields.get('sizes')!r}, its dimension is {count}")
    axis, interleaved_by = _list_axis(fields, sizes, name)
    grid, warnings = _grid(fields, [n for a, n in enumerate(sizes) if a != axis], axis, name)
    frames = 1 if axis is None else sizes[axis]
    parts = _parts(fields, path, offset, math.prod(sizes) * dtype.itemsize, name)
    return Stored(name, parts, dtype, grid, frames, interleaved=interleaved_by, warnings=warnings)


def _fields(path: Path, name: str) -> tuple[dict[str, str], int]:
    """The format's own fields, by their names in lower case, and where the voxels begin."""
    fields: dict[str, str] = {}
    with open_regular(path, name) as file:
        first = file.readline(64)
        if not re.fullmatch(rb"NRRD\d{4}\s*", first):
            raise malformed(name, "its first line is not NRRD and a number")
        lines = 0
        while True:
            line = file.readline(LONGEST_HEADER)
            lines += 1
            if file.tell() > LONGEST_HEADER or lines > MOST_LINES:
                raise malformed(name, f"it is longer than {LONGEST_HEADER >> 20} MB or {MOST_LINES} lines")
            text = line.decode("utf-8", errors="replace").rstrip("\r\n")
            if not text:
                if not line and "data file" not in fields:
                    raise damaged(path)
                break
            if text.startswith("#") or re.match(r"[^:]+:=", text):
                continue
            key, colon, value = text.partition(":")
            key = " ".join(key.lower().split())
            key = ALIASES.get(key, key)
            if not colon:
                raise malformed(name, f"it has the line {text[:40]!r}")
            if key in fields:
                raise malformed(name, f"it gives its {key!r} twice")
            fields[key] = value.strip()
            if key == "data file" and fields[key].split()[:1] == ["LIST"]:
                fields[key] += "\n" + file.read(LONGEST_HEADER).decode("utf-8", errors="surrogateescape")
                break
        return fields, file.tell()


def _dtype(fields: dict[str, str], name: str) -> np.dtype[Any]:
    kind = TYPES.get(" ".join(fields.get("type", "").lower().split()))
    if kind is None:
        raise malformed(name, f"its voxels are of the type {fields.get('type')!r}, which is not used for images")
    endian = fields.get("endian", "little" if kind[1] == "1" else "").lower()
    if endian not in ("little", "big"):
        if PACKINGS.get(fields.get("encoding", "").lower()) == "text":
            endian = "little"
        else:
            raise malformed(name, f"the order of its bytes (endian) is {fields.get('endian')!r}")
    return np.dtype(("<" if endian == "little" else ">") + kind)


def _dimension(fields: dict[str, str], name: str) -> int:
    word = fields.get("dimension", "")
    if not word.isascii() or not word.isdecimal() or not 1 <= int(word[:6]) <= 16:
        raise malformed(name, f"its dimension is {word[:20]!r}")
    return int(word)


def _whole_numbers(fields: dict[str, str], field: str, name: str) -> list[int]:
    words = fields.get(field, "").split()
    if not words or len(words) > 16 or not all(w.isascii() and w.isdecimal() and len(w) < 12 for w in words):
        raise malformed(name, f"its {field} are {fields.get(field, '')[:60]!r}")
    return [int(word) for word in words]


def _list_axis(fields: dict[str, str], sizes: list[int], name: str) -> tuple[int | None, bool]:
    """Index of the axis that lists volumes, and whether it is the fastest; None for a single volume."""
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()]
    if kinds and len(kinds) != len(sizes):
        raise malformed(name, f"it has {len(sizes)} axes, but {len(kinds)} kinds")
    for kind, n in zip(kinds, sizes, strict=False):
        if n > 1 and (kind in COLOURS or (kind not in DOMAINS and kind not in ("list", "point", "stub", "scalar"))):
            check_components(n, kind, name)
    if len(sizes) > 4 and math.prod(sizes[4:]) > 1:
        raise InputError(f"{name} has {len(sizes)} dimensions", "give a volume of three, or a series of them")
    if len(sizes) < 4:
        if len(sizes) == 3 and "list" in kinds and kinds[0] == "list":
            raise InputError(f"{name} is a list of 2-D slices, not a volume", "give a volume")
        sizes += [1] * (3 - len(sizes))
        return None, False
    directions = _words(fields.get("space directions", ""))
    by_kind = [a for a, kind in enumerate(kinds[:4]) if kind in ("list", "time", "stub", "scalar", "point")]
    without = [a for a, word in enumerate(directions[:4]) if word.lower() == "none"]
    found = by_kind or without or [3]
    if found[0] not in (0, 3):
        raise malformed(
            name, f"its axis {found[0] + 1} of {len(sizes)} lists volumes; it must be the first or the last"
        )
    del sizes[4:]
    return found[0], found[0] == 0


def _words(text: str) -> list[str]:
    return re.findall(r"\([^()]*\)|[^\s()]+", text)


def _grid(fields: dict[str, str], sizes: list[int], listed_axis: int | None, name: str) -> tuple[Grid, tuple[str, ...]]:
    size = (sizes[0], sizes[1], sizes[2])
    words = _words(fields.get("space directions", ""))
    if listed_axis is not None and words:
        words = [word for a, word in enumerate(words) if a != listed_axis]
    words = [word for word in words if word.lower() != "none"]
    space = fields.get("space", "").lower()
    if fields.get("space directions") is not None and len(words) not in (2, 3):
        raise malformed(name, f"its space directions are {fields['space directions'][:60]!r}, which span no volume")
    if len(words) < 3:
        if space and len(sizes) >= 3 and sizes[2] > 1 and words:
            raise malformed(name, f"it has {len(words)} space directions")
        grid, remarks = _grid_without_space(fields, size, listed_axis, name)
        return grid, (*remarks, no_orientation(name))
    warnings: tuple[str, ...] = ()
    if space in TO_LPS:
        signs = TO_LPS[space]
    elif space.removesuffix("-time") in NOT_PATIENT or (not space and fields.get("space dimension") in ("3", "4")):
        signs, warnings = (1, 1, 1), (no_orientation(name),)
    else:
        raise malformed(name, f"its space is {fields.get('space')!r}, which does not have three dimensions")
    steps = np.array([_vector(word, name) for word in words[:3]]).T
    if not np.any(steps, axis=0).all():
        raise spacing_error(name, np.linalg.norm(steps, axis=0).tolist())
    lengths = np.linalg.norm(steps, axis=0)
    if not np.all(np.isfinite(lengths)) or abs(np.linalg.det(steps / lengths)) < 1e-6:
        raise direction_error(name)
    origin = _vector(fields["space origin"], name) if fields.get("space origin") else np.zeros(3)
    signed = np.diag(np.array(signs, dtype=np.float64)) * _unit(fields, name)
    return Grid.from_matrix(size, signed @ steps, signed @ origin), warnings


def _grid_without_space(
    fields: dict[str, str], size: tuple[int, int, int], listed_axis: int | None, name: str
) -> tuple[Grid, tuple[str, ...]]:
    """The grid from spacings and axis mins alone, as in ITK, and a warning if they are missing."""

    def numbers(field: str) -> npt.NDArray[np.float64]:
        words = fields[field].split() if field in fields else []
        words = [word for a, word in enumerate(words) if a != listed_axis]
        try:
            values = np.array([float(word) for word in words[:3]], dtype=np.float64)
        except ValueError:
            raise malformed(name, f"its {field} are {fields[field][:60]!r}") from None
        return np.append(values, [np.nan] * (3 - len(values)))

    spacing = numbers("spacings")
    unknown = np.isnan(spacing)
    spacing = np.where(unknown, 1.0, spacing)
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise spacing_error(name, spacing.tolist())
    lowest = numbers("axis mins")
    node = "node" in fields.get("centers", fields.get("centerings", "")).lower()
    origin = np.where(np.isnan(lowest), 0.0, lowest + (0 if node else 0.5) * spacing)
    if not np.all(np.isfinite(origin)):
        raise direction_error(name)
    remarks = (f"{name} does not give a voxel size: 1 mm was assumed.",) if unknown.any() else ()
    return Grid.from_matrix(size, np.diag(spacing), origin), remarks


def _vector(text: str, name: str) -> npt.NDArray[np.float64]:
    try:
        values = [float(word) for word in text.strip().strip("()").split(",")]
    except ValueError:
        values = []
    if len(values) not in (3, 4) or not all(math.isfinite(v) and abs(v) < 1e12 for v in values):
        raise malformed(name, f"{text[:40]!r} is not a point or direction in space")
    return np.array(values[:3])  # the fourth is time


def _unit(fields: dict[str, str], name: str) -> float:
    """Millimetres per unit of the space. ITK ignores the unit, and nearly all programs that write NRRD omit it."""
    words = [word.strip('"').lower() for word in fields.get("space units", "").split()]
    units = {UNIT.get(word, 1.0) for word in words}
    if len(units) > 1:
        raise malformed(name, f"its axes have different units: {fields['space units'][:40]}")
    return units.pop() if units else 1.0


def _parts(fields: dict[str, str], path: Path, offset: int, nbytes: int, name: str) -> tuple[Part, ...]:
    packing = PACKINGS.get(fields.get("encoding", "").lower())
    if packing is None:
        raise malformed(name, f"its encoding is {fields.get('encoding')!r}")
    where = fields.get("data file")
    line_skip, byte_skip = (_skip(fields, field, name) for field in ("line skip", "byte skip"))
    if where is None:
        files = [path]
    elif where.split()[:1] == ["LIST"]:
        files = listed(path, where.split("\n")[1:], name)
    else:
        files = numbered(path, where, name)
        offset = 0
    if where is not None:
        offset = 0
    if nbytes % len(files):
        raise malformed(name, f"its voxels cannot be divided among {len(files)} files")
    parts = []
    for file in files:
        if byte_skip == -1:
            if packing != "raw":
                raise malformed(name, "its voxels are compressed and begin before the end of the file (byte skip -1)")
            parts.append(Part(file, packing=packing, from_end=True))
            continue
        start = _after_lines(file, offset, line_skip, name) if line_skip else offset
        parts.append(Part(file, start, packing, byte_skip, among_others=byte_skip > 0 and where is not None))
    return tuple(parts)


def _skip(fields: dict[str, str], field: str, name: str) -> int:
    word = fields.get(field, "0")
    if word == "-1" and field == "byte skip":
        return -1
    if not word.isascii() or not word.isdecimal() or len(word) > 15:
        raise malformed(name, f"its {field} is {word[:20]!r}")
    return int(word)


def _after_lines(path: Path, offset: int, lines: int, name: str) -> int:
    if not path.is_file():
        return offset  # reading the voxels will report it as missing
    with open_regular(path, name) as file:
        file.seek(offset)
        for _ in range(min(lines, MOST_LINES)):
            if not file.readline(LONGEST_HEADER):
                raise damaged(path)
        return file.tell()
