"""Checks of a file before it is read: it exists, is a regular file, has a known format, and is no zip bomb.

A named pipe or a device would block a reader for ever, so the kind of a file is checked first.
"""

from __future__ import annotations

import re
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from AutofocusCore.errors import InputError
from AutofocusCore.io.texts import check_name

FORMATS = "NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha, .mhd) or a DICOM folder"
BOMB_BYTES = 256 * 1024**2
"""Files that unpack to no more than this are not checked."""
BOMB_RATIO = 400
"""Largest ratio of unpacked to packed size. Scans reach 3, masks 100; only a constant reaches more."""
MEMORY_ASKED_FROM = 1024**3
"""Free memory is checked only for volumes larger than this."""
ROOM = 3
"""Copies of a volume that are in memory at once while it is read, filled and cast."""

KINDS = [
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
]
GZIP = b"\x1f\x8b"
OLD_DICOM = (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")
"""First bytes of DICOM files of old, which have no preamble."""
METAIMAGE_KEY = re.compile(rb"^[ \t]*(?:ObjectType|NDims|Comment|ObjectSubType)[ \t]*[=:]")
WHAT = [
    (b"version https://git-lfs", "a pointer to a file in Git LFS", "fetch the file itself (git lfs pull)"),
    (b"\x89PNG", "a PNG picture", ""),
    (b"\xff\xd8\xff", "a JPEG picture", ""),
    (b"GIF8", "a GIF picture", ""),
    (b"BM", "a bitmap picture", ""),
    (b"%PDF", "a PDF document", ""),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"BZh", "a file packed with bzip2", "unpack it"),
    (b"\xfd7zXZ", "a file packed with xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a file packed with zstd", "unpack it"),
    (b"\x93NUMPY", "a NumPy array, which does not say where its voxels lie", ""),
    (b"MATLAB 5.0", "a MATLAB file", ""),
    (b"\x89HDF", "an HDF5 file", ""),
    (b"CDF\x01", "a NetCDF file", ""),
    (b"SIMPLE  =", "a FITS file", ""),
    (b"<!DOCTYPE", "a web page, perhaps that of a failed download", ""),
    (b"<html", "a web page, perhaps that of a failed download", ""),
    (b"<?xml", "an XML file", ""),
    (b"\x7fELF", "a program", ""),
    (b"MZ", "a program", ""),
    (b"\x00\x00\x00\x01\x00\x00\x01", "an MGH file of FreeSurfer", "convert it, for example with mri_convert"),
]
"""First bytes of other kinds of files, the name of the kind, and the remedy, if there is a special one."""


def check_there(path: Path) -> None:
    """Refuse what is not a regular file or a folder that may be read.

    Raises:
        InputError: missing, a pipe or device, empty, not readable, a name that is not valid Unicode.
    """
    check_name(path)
    try:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}", "check its name and place")
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            with open_regular(path) as file:
                if not file.read(1):
                    raise InputError(f"{path} is an empty file", "copy or download it again")
    except ValueError:  # a NUL in the name
        raise InputError(f"There is no file or folder {path!s}", "check its name and place") from None
    except OSError as error:
        raise unreadable(str(path), error) from None


def open_regular(path: Path, name: str | None = None) -> BinaryIO:
    """Open a regular file for reading bytes; pipes and devices, which could block, are refused.

    Raises:
        InputError: a pipe, a socket, a device, a folder.
        OSError: it cannot be opened.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((what for is_kind, what in KINDS if is_kind(mode)), "a folder" if path.is_dir() else "no file")
        raise InputError(f"{name or path} is {kind}, not an image file", f"give {FORMATS}")
    return path.open("rb")


def unreadable(name: str, error: OSError) -> InputError:
    """The error for a file that the system does not let us read."""
    return InputError(f"{name} cannot be read ({error.strerror or error})", "check its permissions and the drive")


def damaged(path: Path, why: str = "") -> InputError:
    """The error for a file that breaks off or whose checksum is wrong."""
    shown = path.name.encode(errors="replace").decode()
    where = path.with_name(shown) if shown != path.name else path
    return InputError(f"{where} is damaged or incomplete{why and f': {why}'}", "copy or download it again")


def malformed(name: str, why: str) -> InputError:
    """The error for a header that contradicts itself or makes no sense."""
    return InputError(f"{name} has a header that makes no sense: {why}", "export the image again from its source")


def starts_with(path: Path, count: int = 1 << 16) -> bytes:
    """The first bytes of a regular file, fewer where it has fewer."""
    with open_regular(path) as file:
        return file.read(count)


def first_bytes(path: Path, count: int = 1024) -> bytes:
    """The first bytes of a file, unpacked where it is gzipped; fewer where it is damaged."""
    start = starts_with(path)
    if start[:2] != GZIP:
        return start
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, count)
    except zlib.error:
        return b""


def format_of(path: Path, start: bytes) -> str | None:
    """The format of a file by its first bytes or its extension: "DICOM", "NIfTI", "NRRD", "MetaImage"; None: another.

    Args:
        path: the file.
        start: its first bytes, unpacked.
    """
    if start[128:132] == b"DICM" or start[:4] in OLD_DICOM:
        return "DICOM"
    if start[:4] == b"NRRD":
        return "NRRD"
    name = path.name.lower()
    first = METAIMAGE_KEY.match(start.lstrip()[:200].split(b"\n")[0])
    if first is not None or (name.endswith((".mha", ".mhd")) and b"NDims" in start[:4096]):
        return "MetaImage"
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return "NIfTI"
    return "NIfTI" if name.endswith((".nii", ".nii.gz", ".img", ".img.gz", ".hdr", ".hdr.gz")) else None


def refuse_packed(path: Path, name: str, kind: str) -> None:
    """Refuse a file of a format for which packing with gzip is not supported.

    Raises:
        InputError: it is packed.
    """
    if starts_with(path, 2) == GZIP:
        raise InputError(f"{name} is a {kind} file packed with gzip, which is supported for NIfTI only", "unpack it")


def not_an_image(path: Path, start: bytes, format_name: str = "") -> InputError:
    """The error for a file of an unsupported kind; it names the kind if it can be recognised.

    Args:
        path: the file.
        start: its first bytes.
        format_name: the format that its name promises.
    """
    what, remedy = _recognised(start)
    if what is None and start.strip(b"\0") == b"":
        what = "all zeros, as after a failed download or copy"
    if what is None and format_name:
        what = f"not in the format {format_name} of its file extension"
    cause = f"{path} is not an image that can be read" + (f": it is {what}" if what else "")
    return InputError(cause, remedy or f"give {FORMATS}")


def _recognised(start: bytes) -> tuple[str | None, str]:
    for magic, what, remedy in WHAT:
        if start[: len(magic)].lower() == magic.lower():
            return what, remedy
    if start[257:262] == b"ustar":
        return "a tar archive", "unpack it"
    if start[:2] == GZIP:
        return "packed with gzip, perhaps twice, and holds no NIfTI", "unpack it"
    text = start[:4096]
    if text and all(byte in b"\t\r\n" or byte >= 32 for byte in text) and b"\n" in text + b"\n":
        try:
            text[:4000].decode("utf-8", errors="strict")
        except UnicodeDecodeError as error:
            if error.start < 3990:
                return None, ""
        return "a text", ""
    return None, ""


def check_unpacked(path: Path, unpacked: int, name: str) -> None:
    """Refuse a file that would unpack to a thousand times its size, before it fills the memory.

    Args:
        path: the file as it lies on the disk; one with holes counts by what is really stored.
        unpacked: bytes that its header promises.
        name: what to call the image.

    Raises:
        InputError: a zip bomb, or a volume that does not fit into the memory.
    """
    info = path.stat()
    stored = info.st_size
    if hasattr(info, "st_blocks") and info.st_blocks:
        stored = min(stored, info.st_blocks * 512)
    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * max(stored, 1):
        raise InputError(
            f"{name} holds {size_text(stored)} that would unpack to {size_text(unpacked)}, which no scan does",
            "check where it comes from",
        )
    if unpacked >= MEMORY_ASKED_FROM:
        check_memory(unpacked, name)


def check_memory(nbytes: int, name: str) -> None:
    """Refuse a volume that does not fit into the free memory.

    Raises:
        InputError: it does not fit.
    """
    if nbytes < MEMORY_ASKED_FROM:
        return
    from AutofocusCore.inference.devices import memory

    available, _ = memory()
    if nbytes * ROOM > available:
        raise InputError(
            f"{name} is too large for the memory of this machine: its voxels take {size_text(nbytes)}, and "
            f"{size_text(available)} are free",
            "use a machine with more memory, or crop the image",
        )


def size_text(nbytes: int) -> str:
    """A number of bytes as text, such as "3.2 GB"."""
    value, unit = float(nbytes), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.3g} {unit}"
