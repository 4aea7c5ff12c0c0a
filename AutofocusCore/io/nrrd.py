"""Volumes that pass from one process to another: NRRD files without compression, with numpy alone.

Writing and reading are as fast as the disk (gzip and ITK's copies are not), and neither holds Python's lock meanwhile,
so that an application goes on drawing. In memory an array is (z, y, x), or (k, z, y, x) for k maps on one grid. In the
file the axes are i, j, k and then the list of maps, which ITK reads as a vector image and Slicer as a sequence:

    NRRD0004
    type: float
    dimension: 4
    space: left-posterior-superior
    sizes: 64 64 20 4
    space directions: (1,0,0) (0,1,0) (0,0,2.5) none      millimetres, LPS; none: that axis is not in space
    kinds: domain domain domain list
    endian: little
    encoding: raw
    space origin: (-32,-32,10)
    any key:=any text
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.io.aside import aside_name
from AutofocusCore.io.atomic import cannot_write
from AutofocusCore.io.nrrd_header import NRRD_TYPES, parse_header, read_header

CHUNK = 16 * 1024**2  # bytes that are written at a time
EXPORT_AGAIN = "export the volume again"


@dataclass(frozen=True)
class Nrrd:
    """A volume, or k maps on one grid.

    Attributes:
        array: (z, y, x) or (k, z, y, x), in the machine's own byte order.
        index_to_lps: 4×4, from voxel indices (i, j, k, 1) to millimetres (x, y, z, 1), LPS; array index is [k, j, i].
        fields: the file's own keys and texts.
    """

    array: npt.NDArray[Any]
    index_to_lps: npt.NDArray[np.float64]
    fields: dict[str, str]


def grid_matrix(
    spacing: Sequence[float], origin: Sequence[float], direction: Sequence[float]
) -> npt.NDArray[np.float64]:
    """The 4×4 matrix of a grid in SimpleITK's words: spacing and origin in mm, nine direction cosines, row by row."""
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
    """Write an array; the file has its name only when all of it is there.

    Args:
        path: final name.
        array: (z, y, x) or (k, z, y, x), of integers of 8 to 32 bits or floats of 32 or 64; any strides.
        index_to_lps: 4×4, from (i, j, k, 1) to millimetres, LPS.
        fields: texts to keep in the header, by keys without ":=".

    Raises:
        InputError: another kind of array, or a matrix that places no volume.
        OutputError: the file system refused.
    """
    path = Path(path)
    header = _header(array, np.asarray(index_to_lps, dtype=np.float64), fields or {})
    part = aside_name(path, ".nrrd")
    try:
        with part.open("wb", buffering=0) as stream:
            _write_all(stream.fileno(), memoryview(header))
            for block in _blocks(array):
                _write_all(stream.fileno(), block)
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise
    return path


def read_nrrd(path: str | os.PathLike[str]) -> Nrrd:
    """Read a volume that `write_nrrd`, or Slicer without compression, wrote.

    Raises:
        InputError: missing, cut short, or another kind of file: compressed, with its data elsewhere, 2-D, of a type or
            space that is not used here.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            text = read_header(stream, path)
            offset, size = stream.tell(), os.fstat(stream.fileno()).st_size
        header = parse_header(text, path)
        if size - offset != header.nbytes:
            short = "is cut short" if size - offset < header.nbytes else "has bytes too many"
            raise InputError(f"{path} {short}: {size - offset} bytes of voxels, not {header.nbytes}", EXPORT_AGAIN)
        array: npt.NDArray[Any] = np.fromfile(path, header.dtype, count=header.count, offset=offset)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})", "check its name and place") from None
    if array.size != header.count:  # somebody cut it while it was read
        raise InputError(f"{path} is cut short", EXPORT_AGAIN)
    if not header.dtype.isnative:
        array = array.byteswap(inplace=True).view(header.dtype.newbyteorder("="))
    array = array.reshape(header.sizes[::-1])
    if header.list_axis is not None:  # of the file; the array's axes are the other way round
        array = np.moveaxis(array, len(header.sizes) - 1 - header.list_axis, 0)
    return Nrrd(array, header.index_to_lps, header.fields)


def _header(array: npt.NDArray[Any], matrix: npt.NDArray[np.float64], fields: Mapping[str, str]) -> bytes:
    kind = NRRD_TYPES.get(array.dtype.newbyteorder("=").str[1:]) if isinstance(array, np.ndarray) else None
    if kind is None:
        what = getattr(array, "dtype", type(array).__name__)
        raise InputError(
            f"An array of {what} cannot be written as NRRD", "convert it to integers of up to 32 bits or floats"
        )
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise InputError(f"An array of shape {array.shape} is no volume", "give (z, y, x) or (k, z, y, x)")
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.det(matrix[:3, :3]) == 0:
        raise InputError(
            "The matrix of the volume's axes places no volume", "give 4×4 finite numbers with a determinant"
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
        "encoding: raw",
        f"space origin: {_vector(matrix[:3, 3])}",
    ]
    for key, value in fields.items():
        if not key or key != key.strip() or key.startswith("#") or ":" in key or not key.isprintable():
            raise InputError(f"{key!r} is no key for a NRRD header", "use a word")
        escaped = str(value).replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n")
        lines.append(f"{key}:={escaped}")
    return ("\n".join(lines) + "\n\n").encode()


def _vector(values: npt.NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"  # repr: not a bit is lost


def _blocks(array: npt.NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of the array in order; what is not laid out so is copied, some planes at a time."""
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


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
