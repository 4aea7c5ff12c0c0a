"""The header of a NRRD file (https://teem.sourceforge.net/nrrd/format.html), as far as volumes in space need it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError

LONGEST = 4 * 1024**2  # bytes of a header; Slicer's segmentations and our provenance have some thousand
NRRD_TYPES = {
    "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short",
    "i4": "int", "u4": "unsigned int", "f4": "float", "f8": "double",
}  # fmt: skip
"""The format's words for numpy's types, without byte order."""
SYNONYMS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",),
    "f8": ("double",),
}
TYPE_OF_WORD = {word: name for name, words in SYNONYMS.items() for word in words}
TO_LPS = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
SPELLINGS = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
EXPORT = "export the volume again as NRRD without compression"


@dataclass(frozen=True)
class Header:
    """What a header says: sizes in the file's order, fastest axis first."""

    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    list_axis: int | None
    index_to_lps: npt.NDArray[np.float64]
    fields: dict[str, str]

    @property
    def count(self) -> int:
        """Values in the file."""
        return math.prod(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self.count * self.dtype.itemsize


def read_header(stream: BinaryIO, path: Path) -> str:
    """The header's text; the stream then stands at the first voxel.

    Raises:
        InputError: no NRRD file, or one that ends within its header.
    """
    lines: list[bytes] = []
    length = 0
    while True:
        line = stream.readline(LONGEST)
        length += len(line)
        if not lines and not re.fullmatch(rb"NRRD000[1-5]\r?\n", line):
            raise InputError(f"{path} is not a NRRD file", EXPORT)
        if not line.endswith(b"\n") or length > LONGEST:
            raise InputError(f"{path} has no whole header", EXPORT)
        if line in (b"\n", b"\r\n"):
            return b"".join(lines).decode("utf-8", errors="replace")
        lines.append(line)


def parse_header(text: str, path: Path) -> Header:
    """What the text of a header says.

    Raises:
        InputError: it contradicts itself, or describes what is not read here.
    """
    standard, fields = _split(text, path)

    def refuse(cause: str) -> InputError:
        return InputError(f"{path} {cause}", EXPORT)

    def need(name: str) -> str:
        if name not in standard:
            raise refuse(f"has no {name!r} in its header")
        return standard[name]

    if "data file" in standard:
        raise refuse("keeps its voxels in another file")
    if need("encoding").lower() != "raw":
        raise refuse(f"is encoded as {standard['encoding']!r}, not raw")
    for skip in ("line skip", "byte skip"):
        if standard.get(skip, "0").strip() != "0":
            raise refuse(f"skips bytes before its voxels ({skip})")
    name = TYPE_OF_WORD.get(" ".join(need("type").lower().split()))
    if name is None:
        raise refuse(f"holds voxels of type {standard['type']!r}")
    endian = standard.get("endian", "little" if name[1:] == "1" else "").lower()
    if endian not in ("little", "big"):
        raise refuse("does not say in which order its bytes are")
    signs = TO_LPS.get(need("space").lower())
    if signs is None:
        raise refuse(f"lies in the space {standard['space']!r}, which is no patient's")
    try:
        sizes = tuple(int(word) for word in need("sizes").split())
        dimension = int(need("dimension"))
        vectors = _vectors(need("space directions"))
        (origin,) = _vectors(need("space origin"))
    except ValueError:
        raise refuse("has a damaged header") from None
    in_space = [axis for axis, vector in enumerate(vectors) if vector is not None]
    if dimension not in (3, 4) or len(sizes) != dimension or min(sizes) < 1:
        raise refuse(f"is no volume (sizes {standard['sizes']}, dimension {dimension})")
    if len(vectors) != dimension or len(in_space) != 3 or origin is None:
        raise refuse("does not say where its axes lie")
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([vectors[axis] for axis in in_space]).T
    matrix[:3, 3] = origin
    matrix[:3] *= np.array(signs, dtype=np.float64)[:, None]
    if not np.isfinite(matrix).all() or np.linalg.det(matrix[:3, :3]) == 0:
        raise refuse("has axes that span no volume")
    list_axis = None if dimension == 3 else next(axis for axis in range(4) if axis not in in_space)
    dtype = np.dtype(("<" if endian == "little" else ">") + name)
    return Header(dtype, sizes, list_axis, matrix, fields)


def _split(text: str, path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The format's own fields, by their names in lower case, and the keys that anybody may add."""
    standard: dict[str, str] = {}
    fields: dict[str, str] = {}
    for line in text.split("\n")[1:]:
        line = line.rstrip("\r")
        if not line or line.startswith("#"):
            continue
        own = re.match(r"([^:]+):=(.*)", line)
        known = re.match(r"([^:]+): ?(.*)", line)
        if own:
            fields[own[1]] = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), own[2])
        elif known:
            name = known[1].strip().lower()
            standard[SPELLINGS.get(name, name)] = known[2].strip()
        else:
            raise InputError(f"{path} has the line {line[:60]!r} in its header, which means nothing", EXPORT)
    return standard, fields


def _vectors(text: str) -> list[tuple[float, float, float] | None]:
    """`(1,0,0) none (0,1,0)`; ValueError for anything else."""
    words = re.findall(r"\([^()]*\)|[^\s()]+", text)
    result: list[tuple[float, float, float] | None] = []
    for word in words:
        if word == "none":
            result.append(None)
        elif word.startswith("("):
            x, y, z = (float(number) for number in word[1:-1].split(","))
            result.append((x, y, z))
        else:
            raise ValueError(word)
    return result
