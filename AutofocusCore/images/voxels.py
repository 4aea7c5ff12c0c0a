"""Reads the voxels of NIfTI, NRRD and MetaImage files, from their position and compression as the header gives them.

The headers of these formats are read here (`nifti.py`, `nrrd.py`, `metaimage.py`) and not by ITK, since ITK's readers
crash on hostile headers, read damaged files as zeros, and look for the voxels in a file of another name.
For sound files the result equals ITK's; tests compare the two.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.files import check_unpacked, damaged, malformed, open_regular, unreadable
from AutofocusCore.images.geometry import Grid

Packing = Literal["raw", "gzip", "zlib", "bzip2", "text", "hex"]

CHUNK = 1 << 22
LONGEST_NUMBER = 40
"""Largest number of characters of a voxel that is stored as text."""
MOST_NUMBERS = 1 << 24
"""Largest number of voxels stored as text; each takes 32 bytes while it is read."""
SPARE_BYTES, SPARE = 1024, 0.01
"""Bytes, or share of the voxels', that may follow the last voxel: some programs pad.

With more, the header is wrong about the size or the type of voxels."""


@dataclass(frozen=True)
class Part:
    """A file, or the rest of one, with voxels: all of them, or some slices."""

    path: Path
    offset: int = 0
    packing: Packing = "raw"
    skip: int = 0
    """Bytes before the voxels, after decompression."""
    from_end: bool = False
    """Whether the voxels are the file's last bytes, whatever is before them."""
    among_others: bool = False
    """Whether the header selects the voxels from a file that may contain more."""


@dataclass(frozen=True)
class Stored:
    """An image as its header describes it, without its voxels.

    Attributes:
        name: its name in messages.
        parts: the files with the voxels, in order, of equal numbers of bytes.
        dtype: of a voxel, with its byte order.
        grid: size, spacing, origin and direction, which may be sheared.
        frames: how many volumes there are.
        interleaved: whether the values of all frames are stored voxel by voxel; else volume after volume.
        scale: (slope, intercept) that turn stored into real values.
        warnings: sentences for the user.
        modality: its DICOM modality, if the header gives it.
    """

    name: str
    parts: tuple[Part, ...]
    dtype: np.dtype[Any]
    grid: Grid
    frames: int = 1
    interleaved: bool = False
    scale: tuple[float, float] = (1.0, 0.0)
    warnings: tuple[str, ...] = ()
    modality: str | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of the voxels of one volume."""
        x, y, z = self.grid.size
        return x * y * z * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels of all volumes."""
        return self.frame_bytes * self.frames


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


def read_voxels(stored: Stored, frame: int) -> sitk.Image:
    """One volume of the image, with its real values and its grid.

    Raises:
        InputError: a part is missing, not a regular file, truncated, damaged, or a zip bomb.
    """
    if stored.interleaved and stored.frames > 1:
        values = _bytes_of(stored, 0, stored.nbytes).view(stored.dtype).reshape(-1, stored.frames)[:, frame]
    else:
        values = _bytes_of(stored, frame * stored.frame_bytes, stored.frame_bytes).view(stored.dtype)
    array = np.ascontiguousarray(values.reshape(stored.grid.shape), dtype=stored.dtype.newbyteorder("="))
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    slope, intercept = stored.scale
    if (slope, intercept) != (1.0, 0.0):
        kind = np.float64 if array.dtype.itemsize == 8 else np.float32
        with np.errstate(over="ignore", invalid="ignore"):
            array = (array * np.float64(slope) + np.float64(intercept)).astype(kind)
    image = sitk.GetImageFromArray(array)
    stored.grid.stamp(image)
    return image


def check_parts(stored: Stored) -> None:
    """Refuse parts that are missing or too small for the header, before memory is allocated.

    Raises:
        InputError: a part is missing or too small, or the parts are a zip bomb.
    """
    share = stored.nbytes // len(stored.parts)
    for part in stored.parts:
        try:
            with open_regular(part.path, f"{stored.name}, of which the voxels are in {_shown(part.path)},"):
                pass
            length = part.path.stat().st_size - (0 if part.from_end else part.offset)
            length -= part.skip if part.packing == "raw" else 0
        except FileNotFoundError:
            raise InputError(
                f"{stored.name} is only a header: the file with its voxels, {_shown(part.path)}, is missing",
                "copy both files",
            ) from None
        except OSError as error:
            raise unreadable(stored.name, error) from None
        if part.packing == "raw" and length < share:
            why = f"it has {max(0, length)} bytes of voxels, but its header describes {share}"
            raise damaged(part.path, why)
        if part.packing == "raw" and not part.from_end and not part.among_others and length > share + _spare(share):
            raise _too_many(stored.name, share)
        if part.packing in ("text", "hex") and length < share // stored.dtype.itemsize:
            raise damaged(part.path)
        if length <= 0:
            raise damaged(part.path)
        check_unpacked(part.path, share, stored.name)


def _bytes_of(stored: Stored, start: int, count: int) -> npt.NDArray[np.uint8]:
    """`count` bytes of the voxels from byte `start` on, over all parts; compressed parts are checked to their end."""
    check_parts(stored)
    result = np.empty(count, dtype=np.uint8)
    share = stored.nbytes // len(stored.parts)
    for index, part in enumerate(stored.parts):
        low, high = max(start, index * share), min(start + count, (index + 1) * share)
        if low < high:
            into = memoryview(result.data)[low - start : high - start]
            _fill(into, part, low - index * share, share, stored)
    return result


def _fill(into: memoryview, part: Part, start: int, share: int, stored: Stored) -> None:
    """The bytes of a part from its byte `start` on."""
    try:
        with open_regular(part.path) as file:
            if part.packing in ("text", "hex"):
                plain = _written_out(file, part, share, stored)
                into[:] = plain[start : start + len(into)]
                return
            offset = part.path.stat().st_size - share if part.from_end else part.offset
            file.seek(offset)
            if part.packing == "raw":
                file.seek(offset + part.skip + start)
                _read_all(file, into, part.path)
                return
            with _unpacked(file, part.packing) as stream:
                stream.seek(part.skip + start)
                _read_all(stream, into, part.path)
                _check_end(stream, part, share - start - len(into), share, stored.name)
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, ValueError):
        raise damaged(part.path) from None
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # how bz2 reports damaged data
            raise damaged(part.path) from None
        raise unreadable(stored.name, error) from None


def _unpacked(file: BinaryIO, packing: Packing) -> Any:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if packing == "bzip2":
        return bz2.BZ2File(file, "rb")
    return _Zlib(file)


class _Zlib:
    """A decompressed stream of zlib data (or gzip: MetaImage allows both)."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest = file, b""
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def __enter__(self) -> _Zlib:
        return self

    def __exit__(self, *error: object) -> None:
        self._rest = b""

    def seek(self, count: int) -> None:
        """Read over bytes at the beginning."""
        while count and (got := len(self.read(min(count, CHUNK)))):
            count -= got

    def read(self, count: int) -> bytes:
        while not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._file.read(CHUNK)
            if plain := self._unpack.decompress(packed, count):
                return plain
            if not packed and not self._unpack.eof:
                raise EOFError
        return b""


def _read_all(stream: _Readable, into: memoryview, path: Path) -> None:
    done = 0
    while done < len(into):
        plain = stream.read(min(len(into) - done, CHUNK))
        if not plain:
            raise damaged(path)
        into[done : done + len(plain)] = plain
        done += len(plain)


def _check_end(stream: _Readable, part: Part, promised: int, share: int, name: str) -> None:
    """Read to the end, where the checksum is, but not without limit.

    Args:
        stream: positioned after the wanted voxels.
        part: where they are from.
        promised: bytes of voxels that must follow.
        share: bytes of voxels of the whole part.
        name: the image's name in messages.
    """
    more = 0
    while got := len(stream.read(CHUNK)):
        more += got
        if more > promised + _spare(share) and not part.among_others:
            raise _too_many(name, share)
    if more < promised:
        raise EOFError


def _spare(share: int) -> int:
    return max(SPARE_BYTES, int(SPARE * share))


def _too_many(name: str, share: int) -> InputError:
    return malformed(name, f"its header describes {share} bytes of voxels, but there are more")


def _written_out(file: BinaryIO, part: Part, share: int, stored: Stored) -> memoryview:
    """Voxels stored as text (decimal or hexadecimal numbers), as bytes of the image's type."""
    file.seek(part.offset)
    count = share // stored.dtype.itemsize
    if part.packing == "hex":
        digits = b"".join(file.read(2 * share + share // 8 + CHUNK).split())
        if len(digits) < 2 * share:
            raise damaged(part.path)
        return memoryview(bytes.fromhex(digits[: 2 * share].decode("ascii")))
    if count > MOST_NUMBERS:
        raise InputError(f"{stored.name} has {count} voxels stored as text", "export it again in binary form")
    text = file.read(min(count * LONGEST_NUMBER, part.path.stat().st_size) + CHUNK)
    words = list(_words(text, count))
    if len(words) < count:
        raise damaged(part.path)
    values = np.array(words, dtype=np.float64)
    if stored.dtype.kind in "iu":
        limits = np.iinfo(stored.dtype)
        if not np.all(np.isfinite(values)) or values.min() < limits.min or values.max() > limits.max:
            raise malformed(stored.name, f"it has voxels that its type, {stored.dtype.name}, cannot hold")
    return memoryview(values.astype(stored.dtype).tobytes())


def _words(text: bytes, count: int) -> Iterator[float]:
    for word in text.replace(b",", b" ").split(maxsplit=count)[:count]:
        yield float(word)


def _shown(path: Path) -> str:
    return path.name.encode(errors="replace").decode()
