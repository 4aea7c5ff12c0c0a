"""NRRD files (https://teem.sourceforge.net/nrrd/format.html), written with numpy alone.

In memory an array is (z, y, x), or (k, z, y, x) for k maps on one grid. In the file the axes are i, j, k and then the
list of maps, which ITK reads as a vector image and Slicer as a sequence:

    NRRD0004
    type: float
    dimension: 4
    space: left-posterior-superior
    sizes: 64 64 20 4
    space directions: (1,0,0) (0,1,0) (0,0,2.5) none      millimetres, LPS; none: that axis is not in space
    kinds: domain domain domain list
    endian: little
    encoding: raw                                         or gzip
    labels: "" "" "" "dilation rate"                      of the list, if it has a name
    units: "" "" "" "voxels"
    space origin: (-32,-32,10)
    any key:=any text

Writing without compression is as fast as the disk and does not hold Python's lock, so that an application stays
responsive.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import Staging

CHUNK = 16 * 1024**2  # bytes that are written at a time
NRRD_TYPES = {
    "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short",
    "i4": "int", "u4": "unsigned int", "f4": "float", "f8": "double",
}  # fmt: skip
"""NRRD's names of numpy's types, without byte order."""


@dataclass(frozen=True)
class ListAxis:
    """Name and unit of the axis of a 4-D file that lists maps: "dilation rate", "voxels"."""

    name: str
    unit: str


def grid_matrix(
    spacing: Sequence[float], origin: Sequence[float], direction: Sequence[float]
) -> npt.NDArray[np.float64]:
    """The 4×4 matrix of a grid from SimpleITK's spacing and origin in mm and nine direction cosines, row by row.

    It maps voxel indices (i, j, k, 1) to millimetres (x, y, z, 1), LPS; the array's index is [k, j, i].
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(np.asarray(direction, dtype=np.float64), (3, 3)) * np.asarray(spacing)
    matrix[:3, 3] = origin
    return matrix


def write_nrrd(
    path: str | os.PathLike[str],
    array: npt.NDArray[Any],
    index_to_lps: npt.ArrayLike,
    *,
    fields: Mapping[str, str] | None = None,
) -> Path:
    """Write an array without compression, atomically.

    Args:
        path: final name.
        array: (z, y, x) or (k, z, y, x), of integers of 8 to 32 bits or floats of 32 or 64; any strides.
        index_to_lps: 4×4, from (i, j, k, 1) to millimetres, LPS.
        fields: texts to keep in the header, by keys without ":=".

    Raises:
        InputError: another kind of array, or a matrix without an inverse.
        OutputError: the file system refused.
    """
    with Staging(lasting=False) as staging:
        write_nrrd_to(staging.aside(path), array, index_to_lps, fields=fields)
    return Path(path)


def write_nrrd_to(
    path: Path,
    array: npt.NDArray[Any],
    index_to_lps: npt.ArrayLike,
    *,
    fields: Mapping[str, str] | None = None,
    list_axis: ListAxis | None = None,
    compression: int | None = None,
) -> None:
    """Write an array to exactly this path, which is a temporary name.

    Args:
        path, array, index_to_lps, fields: as for `write_nrrd`.
        list_axis: name and unit of the first axis of a (k, z, y, x) array.
        compression: gzip's level, 1 to 9; None: raw.

    Raises:
        InputError: as `write_nrrd`.
        OSError: the file system refused.
    """
    matrix = np.asarray(index_to_lps, dtype=np.float64)
    header = _header(array, matrix, fields or {}, list_axis, "raw" if compression is None else "gzip")
    with path.open("wb", buffering=0) as stream:
        _write_all(stream, memoryview(header))
        if compression is None:
            for block in _blocks(array):
                _write_all(stream, block)
        else:  # without a name and a time, so that equal results are equal files
            with gzip.GzipFile("", "wb", compression, stream, mtime=0) as packed:
                for block in _blocks(array):
                    packed.write(block)


def _header(
    array: npt.NDArray[Any],
    matrix: npt.NDArray[np.float64],
    fields: Mapping[str, str],
    list_axis: ListAxis | None,
    encoding: str,
) -> bytes:
    kind = NRRD_TYPES.get(array.dtype.newbyteorder("=").str[1:]) if isinstance(array, np.ndarray) else None
    if kind is None:
        what = getattr(array, "dtype", type(array).__name__)
        raise InputError(
            f"An array of {what} cannot be written as NRRD", "convert it to integers of up to 32 bits or floats"
        )
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise InputError(f"An array of shape {array.shape} is not a volume", "give (z, y, x) or (k, z, y, x)")
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.det(matrix[:3, :3]) == 0:
        raise InputError(
            "The matrix of the volume's axes is invalid", "give 4×4 finite numbers with a determinant other than 0"
        )
    several = array.ndim == 4
    directions = [_vector(matrix[:3, axis]) for axis in range(3)]
    lines = [
        "NRRD0004",
        f"type: {kind}",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, reversed(array.shape)))}",
        f"space directions: {' '.join(directions)}{' none' * several}",
        f"kinds: domain domain domain{' list' * several}",
        f"endian: {sys.byteorder}",
        f"encoding: {encoding}",
    ]
    if list_axis is not None:
        lines += [f'labels: "" "" "" "{list_axis.name}"', f'units: "" "" "" "{list_axis.unit}"']
    lines.append(f"space origin: {_vector(matrix[:3, 3])}")
    for key, value in fields.items():
        if not key or key != key.strip() or key.startswith("#") or ":" in key or not key.isprintable():
            raise InputError(f"{key!r} is not a valid key of a NRRD header", "use a word")
        # Escape only what would be read as another character; pynrrd does not unescape texts.
        escaped = re.sub(r"\\(?=[\\n]|$)", r"\\\\", str(value).replace("\r", ""), flags=re.M)
        lines.append(f"{key}:=" + escaped.replace("\n", "\\n"))
    return ("\n".join(lines) + "\n\n").encode()


def _vector(values: npt.NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"  # repr: exact


def _blocks(array: npt.NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of the array in order; if its memory layout differs, it is copied, some planes at a time."""
    native = array.dtype.newbyteorder("=")
    if array.flags.c_contiguous and array.dtype.isnative:
        whole = array.reshape(-1).data.cast("B")
        for start in range(0, len(whole), CHUNK):
            yield whole[start : start + CHUNK]
        return
    thick = max(1, CHUNK // (array.shape[-2] * array.shape[-1] * native.itemsize))
    for volume in array if array.ndim == 4 else (array,):
        for start in range(0, len(volume), thick):
            planes = np.ascontiguousarray(volume[start : start + thick], dtype=native)
            yield planes.reshape(-1).data.cast("B")


def _write_all(stream: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[os.write(stream.fileno(), data) :]
