"""Look into the headers that ITK reads too kindly: it turns a zero spacing into 1 and a truncated NIfTI into zeros.

Each check opens the file by itself, reads only what it needs, and says nothing about formats that ITK checks well.
What the MetaImage library would remark upon in lines of its own is found here first.
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

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import direction_error, spacing_error

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
    """The fields of a NIfTI-1 or Analyze header that say where the voxels are.

    `path` is the file that holds the header, `data` the one that holds the voxels: the same, or two of a pair. `sform`
    is None where the file has none.
    """

    path: Path
    data: Path
    order: str
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    offset: int
    sform: npt.NDArray[np.float64] | None

    @property
    def single_file(self) -> bool:
        """Whether header and voxels share a file."""
        return self.path == self.data

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

    @property
    def packed(self) -> bool:
        """Whether the voxels are gzipped; those of a pair are only where the name says so, too."""
        return (self.single_file or self.data.suffix.lower() == ".gz") and _is_gzip(self.data)

    def open_data(self) -> BinaryIO:
        """The file with the voxels, unpacked."""
        return open_maybe_gzip(self.data) if self.packed else self.data.open("rb")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_maybe_gzip(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where it is gzipped, whatever its name."""
    return gzip.open(path, "rb") if _is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def _nifti_parts(path: Path) -> tuple[Path, Path]:
    """The files of header and voxels, whichever of a pair (.hdr and .img) is named: found as ITK finds them."""
    found = re.search(r"\.(hdr|img)(\.gz)?$", path.name, re.IGNORECASE)
    if found is None:
        return path, path
    endings = [".hdr", ".hdr.gz", ".img", ".img.gz"]
    if found[1].isupper():
        endings = [ending.upper() for ending in endings]
    plain, packed, image, packed_image = (path.with_name(path.name[: found.start()] + ending) for ending in endings)
    header = path if found[1].lower() == "hdr" else packed if packed.exists() and not plain.exists() else plain
    return header, packed_image if packed_image.exists() and not image.exists() else image


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header of a NIfTI-1 file (.nii, .nii.gz) or pair (.hdr and .img, Analyze too), or None of anything else.

    Raises:
        InputError: the file breaks off within its header.
    """
    path, data = _nifti_parts(path)
    if not path.exists():
        return None
    try:
        with open_maybe_gzip(path) as file:
            raw = file.read(NIFTI_HEADER)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged(path) from None
    if len(raw) < NIFTI_HEADER:
        return None
    order = "<" if raw[:4] == struct.pack("<i", NIFTI_HEADER) else ">"
    nifti = raw[344:347] in (b"n+1", b"ni1")
    if struct.unpack(order + "i", raw[:4])[0] != NIFTI_HEADER or not (nifti or path != data):
        return None
    (offset,) = struct.unpack(order + "f", raw[108:112])
    offset = max(0, int(offset)) if math.isfinite(offset) else 0
    if raw[344:347] == b"n+1":
        data, offset = path, max(NIFTI_HEADER, offset)
    rows = np.array(struct.unpack(order + "12f", raw[280:328]), dtype=np.float64).reshape(3, 4)
    (sform_code,) = struct.unpack(order + "h", raw[254:256])
    return NiftiHeader(
        path=path,
        data=data,
        order=order,
        dim=struct.unpack(order + "8h", raw[40:56]),
        datatype=struct.unpack(order + "h", raw[70:72])[0],
        bitpix=struct.unpack(order + "h", raw[72:74])[0],
        pixdim=struct.unpack(order + "8f", raw[76:108]),
        offset=offset,
        sform=rows if nifti and sform_code > 0 else None,
    )


def check_header(path: Path, name: str) -> NiftiHeader | None:
    """Check what ITK would pass over in silence.

    Returns:
        The NIfTI header where the file is one.

    Raises:
        InputError: zero or negative spacing, singular directions, fewer bytes than the header promises, no file where
            the header says that the voxels are, or one that may not be read.
    """
    try:
        return _checked(path, name)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror})", "check its permissions and the drive") from None


def _checked(path: Path, name: str) -> NiftiHeader | None:
    nifti = read_nifti_header(path)
    if nifti is not None:
        _check_nifti(nifti, name)
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


def _without_voxels(name: str, data: Path) -> InputError:
    """The error for a header whose other file is not there."""
    part = data.name.encode(errors="replace").decode()
    return InputError(f"{name} is only a header: the file with its voxels, {part}, is missing", "copy both files")


def _check_nifti(header: NiftiHeader, name: str) -> None:
    spacing = header.pixdim[1:4]
    if header.dim[0] >= 3 and not all(math.isfinite(s) and s > 0 for s in spacing):
        raise spacing_error(name, list(spacing))
    if header.sform is not None:
        steps = header.sform[:, :3]
        norms = np.linalg.norm(steps, axis=0)
        if not np.all(np.isfinite(header.sform)) or norms.min() == 0 or abs(np.linalg.det(steps / norms)) < SINGULAR:
            raise direction_error(name)
    if not header.data.is_file():
        raise _without_voxels(name, header.data)
    length = header.data.stat().st_size
    if header.packed:
        length = 0
        try:
            with header.open_data() as file:
                while chunk := file.read(CHUNK):  # to the end, where the checksum is
                    length += len(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise damaged(header.data) from None
    if length < header.offset + header.data_bytes:
        raise damaged(header.data)


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
    end = re.search(rb"^[ \t]*ElementDataFile[ \t]*=[^\r\n]*\r?\n?", start, re.MULTILINE)
    header = (start[: end.end()] if end else start).decode(errors="surrogateescape")
    fields = dict(re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*$", header.replace("\r", ""), re.MULTILINE))
    for field in ("ElementSpacing", "ElementSize"):
        if field in fields:
            _check_numbers(fields[field].split(), name)
    where = fields.get("ElementDataFile", "LIST")
    if end is None or where.split()[:1] == ["LIST"] or "%" in where or not _is_true(fields.get("BinaryData", "True")):
        return  # many files, or numbers written out
    data, offset = (path, end.end()) if where.upper() == "LOCAL" else (path.parent / where, 0)
    if not data.is_file():
        raise _without_voxels(name, data)
    offset = _integers(fields.get("HeaderSize", "0")) or offset  # -1 is no such number: it says "at the end"
    wanted = _integers(fields.get("DimSize", "0")) * _integers(fields.get("ElementNumberOfChannels", "1"))
    wanted *= META_BYTES.get(fields.get("ElementType", ""), 0)
    packed = _is_true(fields.get("CompressedData", "False"))
    if (_unpacked_bytes(data, offset) if packed else data.stat().st_size - offset) < wanted:
        raise damaged(data)


def _integers(words: str) -> int:
    """The product of whole numbers, 0 where any word is not one."""
    return math.prod(int(word) if word.isdecimal() else 0 for word in words.split())


def _is_true(value: str) -> bool:
    """Whether MetaImage takes the value of a field as true."""
    return value[:1] in ("T", "t", "1")


def _unpacked_bytes(path: Path, offset: int) -> int:
    """How many bytes the compressed voxels of a MetaImage unpack to; -1 where they break off or are spoilt."""
    unpack, length = zlib.decompressobj(zlib.MAX_WBITS | 32), 0  # zlib's or gzip's
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while not unpack.eof:
                packed = unpack.unconsumed_tail or file.read(CHUNK)
                plain = unpack.decompress(packed, CHUNK)
                if not packed and not plain and not unpack.eof:
                    return -1
                length += len(plain)
    except zlib.error:
        return -1
    return length


def _check_numbers(words: list[str], name: str) -> None:
    try:
        spacing = [float(word) for word in words]
    except ValueError:
        raise spacing_error(name, " ".join(words)) from None
    if not all(math.isfinite(s) and s > 0 for s in spacing[:3]):
        raise spacing_error(name, spacing[:3])
