"""Look into the headers that ITK reads too kindly: it turns a zero spacing into 1 and a truncated NIfTI into zeros.

Each check opens the file by itself, reads only what it needs, and says nothing about formats that ITK checks well.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .checks import direction_error, spacing_error

NIFTI_HEADER = 348
SINGULAR = 1e-6
PERPENDICULAR = 1e-4
"""ITK refuses, or passes over, an sform whose axes are off by more than about this."""
CHUNK = 1 << 22
META_BYTES = {"MET_UCHAR": 1, "MET_CHAR": 1, "MET_USHORT": 2, "MET_SHORT": 2, "MET_UINT": 4, "MET_INT": 4}
META_BYTES |= {"MET_FLOAT": 4, "MET_DOUBLE": 8, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8}

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of a NIfTI-1 header that say where the voxels are; `sform` is None where the file has none."""

    order: str
    single_file: bool
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    offset: int
    sform: npt.NDArray[np.float64] | None

    @property
    def data_bytes(self) -> int:
        """Bytes that the voxels take."""
        return math.prod(max(1, n) for n in self.dim[1 : 1 + self.dim[0]]) * self.bitpix // 8

    @property
    def sheared(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Matrix of voxel steps and origin in LPS mm where the sform's axes are not perpendicular, else None.

        ITK cannot express such a file, and takes the qform's approximation or refuses.
        """
        if self.sform is None:
            return None
        steps = self.sform[:, :3]
        unit = steps / np.linalg.norm(steps, axis=0)
        if np.max(np.abs(unit.T @ unit - np.eye(3))) <= PERPENDICULAR:
            return None
        return RAS_TO_LPS @ steps, RAS_TO_LPS @ self.sform[:, 3]


def open_maybe_gzip(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where it is gzipped, whatever its name."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header of a NIfTI-1 file (.nii, .nii.gz, .hdr), or None where it is something else.

    Raises:
        InputError: the file breaks off within its header.
    """
    try:
        with open_maybe_gzip(path) as file:
            raw = file.read(NIFTI_HEADER)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged(path) from None
    if len(raw) < NIFTI_HEADER:
        return None
    order = "<" if raw[:4] == struct.pack("<i", NIFTI_HEADER) else ">"
    if struct.unpack(order + "i", raw[:4])[0] != NIFTI_HEADER or raw[344:347] not in (b"n+1", b"ni1"):
        return None
    rows = np.array(struct.unpack(order + "12f", raw[280:328]), dtype=np.float64).reshape(3, 4)
    (sform_code,) = struct.unpack(order + "h", raw[254:256])
    return NiftiHeader(
        order=order,
        single_file=raw[344:347] == b"n+1",
        dim=struct.unpack(order + "8h", raw[40:56]),
        datatype=struct.unpack(order + "h", raw[70:72])[0],
        bitpix=struct.unpack(order + "h", raw[72:74])[0],
        pixdim=struct.unpack(order + "8f", raw[76:108]),
        offset=int(struct.unpack(order + "f", raw[108:112])[0]),
        sform=rows if sform_code > 0 else None,
    )


def check_header(path: Path, name: str) -> NiftiHeader | None:
    """Check what ITK would pass over in silence.

    Returns:
        The NIfTI header where the file is one.

    Raises:
        InputError: zero or negative spacing, singular directions, fewer bytes than the header promises.
    """
    nifti = read_nifti_header(path)
    if nifti is not None:
        _check_nifti(path, nifti, name)
        return nifti
    with path.open("rb") as file:
        start = file.read(1 << 16)
    if start[:4] == b"NRRD":
        _check_nrrd(start, name)
    elif path.suffix.lower() in (".mha", ".mhd"):
        _check_meta(path, start, name)
    return None


def damaged(path: Path) -> InputError:
    """The error for a file that breaks off or whose checksum is wrong."""
    return InputError(f"{path} is damaged or incomplete", "copy or download it again")


def _check_nifti(path: Path, header: NiftiHeader, name: str) -> None:
    spacing = header.pixdim[1:4]
    if header.dim[0] >= 3 and not all(math.isfinite(s) and s > 0 for s in spacing):
        raise spacing_error(name, list(spacing))
    if header.sform is not None:
        steps = header.sform[:, :3]
        norms = np.linalg.norm(steps, axis=0)
        if not np.all(np.isfinite(header.sform)) or norms.min() == 0 or abs(np.linalg.det(steps / norms)) < SINGULAR:
            raise direction_error(name)
    if not header.single_file:
        return
    wanted = header.offset + header.data_bytes
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if not packed:
        if path.stat().st_size < wanted:
            raise damaged(path)
        return
    try:
        length = 0
        with gzip.open(path, "rb") as file:
            while chunk := file.read(CHUNK):  # to the end, where the checksum is
                length += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged(path) from None
    if length < wanted:
        raise damaged(path)


def _check_nrrd(start: bytes, name: str) -> None:
    for line in start.split(b"\n\n")[0].replace(b"\r", b"").decode("latin-1").split("\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "spacings":
            _check_numbers([v for v in value.split() if v.lower() != "nan"], name)
        elif field.strip().lower() == "space directions":
            vectors = [[float(v) for v in group.split(",")] for group in re.findall(r"\(([^)]*)\)", value)]
            if any(not any(vector) for vector in vectors):
                raise spacing_error(name, [math.hypot(*vector) for vector in vectors])


def _check_meta(path: Path, start: bytes, name: str) -> None:
    fields = dict(re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*([^\r\n]*)", start.decode("latin-1"), re.MULTILINE))
    for field in ("ElementSpacing", "ElementSize"):
        if field in fields:
            _check_numbers(fields[field].split(), name)
    end = re.search(rb"ElementDataFile[ \t]*=[ \t]*LOCAL[ \t]*\r?\n", start)
    bytes_each = META_BYTES.get(fields.get("ElementType", "").strip())
    packed = fields.get("CompressedData", "False").strip().lower() != "false"
    if end is None or bytes_each is None or packed:
        return
    sizes = [int(n) for n in fields.get("DimSize", "").split() if n.isdigit()]
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    if path.stat().st_size < end.end() + math.prod(sizes) * channels * bytes_each:
        raise damaged(path)


def _check_numbers(words: list[str], name: str) -> None:
    try:
        spacing = [float(word) for word in words]
    except ValueError:
        raise spacing_error(name, " ".join(words)) from None
    if not all(math.isfinite(s) and s > 0 for s in spacing[:3]):
        raise spacing_error(name, spacing[:3])
