"""Reads the files of a model from a folder or zip archive into memory, or refuses them.

Nothing is unpacked: names are checked before anything is read, sizes while reading.
"""

from __future__ import annotations

import io
import os
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from AutofocusCore.errors import ModelError
from AutofocusCore.models.parts import DEVICE_NAMES

WEIGHTS = "models/model.safetensors"
CHECKSUMS = "checksums.json"
METADATA = "configs/metadata.json"

MOST_FILES = 1000
MOST_BYTES = 512 * 1024**2
MOST_NAME = 200
HIGHEST_RATIO = 200  # unpacked size / packed size; text reaches 20, weights hardly more than 1
RATIO_COUNTS_FROM = 10 * 1024**2

DATA_SUFFIXES = {".json", ".md", ".txt", ".csv", ".png", ".jpg"}
DATA_NAMES = {"LICENSE", "NOTICE"}
PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ts", ".ckpt", ".tar", ".joblib", ".npy", ".npz"}
LITTER = {"thumbs.db", "desktop.ini", "__macosx"}

GET_ANOTHER = "get the model from its source again"
DO_NOT_USE = "do not use this model; get it from a source you trust"
MOST_READINGS = 10
"""How often a model is read again that other processes replace meanwhile."""


def read_files(path: str | os.PathLike[str], archive: bytes | None = None) -> dict[str, bytes]:
    """All files of the model in a folder or zip, by their path inside the model ("/" between folders).

    If another process replaces the model meanwhile, it is read again: files of two models would not fit together.

    Args:
        path: the folder or zip.
        archive: the bytes of the zip, if already read.

    Raises:
        ModelError: the model is missing, not readable or damaged, or has suspicious names or sizes.
    """
    path = Path(path)
    for _ in range(MOST_READINGS):
        before = folder_stamp(path)
        try:
            files = _read_once(path, archive)
        except ModelError:
            if folder_stamp(path) == before:
                raise
        else:
            if folder_stamp(path) == before:
                return files
    raise ModelError(f"Other processes keep writing {path}", "try again when they have finished")


def folder_stamp(path: Path, *, follow_symlinks: bool = True) -> tuple[int, int] | None:
    """What tells a folder from another one that has taken its name; None where there is none."""
    try:
        there = path.stat(follow_symlinks=follow_symlinks)
    except OSError:
        return None
    return there.st_dev, there.st_ino


def _read_once(path: Path, archive: bytes | None) -> dict[str, bytes]:
    try:
        if archive is not None:
            return _read_zip(path, io.BytesIO(archive))
        if path.is_dir():
            return _read_folder(path)
        if path.is_file():
            return _read_zip(path, path)
    except OSError as error:
        cause = f"The model {path} cannot be read: {error.strerror or error}"
        raise ModelError(cause, "check that it may be read, and that its disk is connected") from None
    raise ModelError(f"There is no model at {path}", "check the path, or list the models there are")


def read_archive(path: str | os.PathLike[str]) -> bytes:
    """Read the bytes of a model's zip, if it is not larger than `MOST_BYTES`.

    Raises:
        ModelError: it cannot be read, or is larger than any model.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}", "check the path") from None
    _check_amount(1, len(data))
    return data


def is_litter(name: str) -> bool:
    """Whether this is a file of the operating system or of a tool such as git, which is neither read nor copied.

    .DS_Store, .git, .gitattributes, .cache: no file of a model begins with a dot.
    """
    parts = name.casefold().split("/")
    return any(part in LITTER or (part[:1] == "." and part.strip(".")) for part in parts)


def check_name(name: str) -> None:
    """Refuse a name that leads out of the model, or that means different files on different systems."""
    parts = name.split("/")
    reason = ""
    if not name or len(name) > MOST_NAME:
        reason = f"is empty or longer than {MOST_NAME} characters"
    elif "\\" in name or ":" in name or not name.isprintable():
        reason = "holds a backslash, a colon or a control character"
    elif name.startswith("/") or ".." in parts:
        reason = "leads out of the model's folder"
    elif any(not p or p == "." or p[-1] in ". " or p[0] == " " or DEVICE_NAMES.fullmatch(p) for p in parts):
        reason = "is not a file name on every system"
    if reason:
        raise ModelError(f"The model holds a file named {name[:MOST_NAME]!r}, which {reason}", DO_NOT_USE)


def check_names(names: Iterable[str]) -> None:
    """Refuse unsafe names, names that differ only in case or accents' encoding, and unnecessary types of file."""
    names = list(names)
    seen: dict[str, str] = {}
    folders = {name.rsplit("/", depth)[0].casefold() for name in names for depth in range(1, name.count("/") + 1)}
    for name in names:
        check_name(name)
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen or key in folders:
            other = seen.get(key, f"{name}/")
            raise ModelError(f"The model holds {name!r} twice (the other is {other!r})", DO_NOT_USE)
        seen[key] = name
        last = name.rsplit("/", 1)[-1]
        suffix = Path(last).suffix.lower()
        if suffix in PICKLE_SUFFIXES:
            cause = f"The model holds {name!r}, a kind of file that can run code when it is loaded"
            raise ModelError(cause, "use a model whose weights are in models/model.safetensors alone")
        if name != WEIGHTS and suffix not in DATA_SUFFIXES and last not in DATA_NAMES:
            raise ModelError(f"The model holds {name!r}, which no model needs", DO_NOT_USE)


def _check_kind(names: Iterable[str], path: Path) -> None:
    """Report that this is not a model, instead of complaining about each file."""
    if not any(name == CHECKSUMS or name.startswith(("configs/", "models/")) for name in names):
        cause = f"{path} is not a model: it has no configs/metadata.json"
        raise ModelError(cause, "choose the folder or zip archive of a model")


def _check_amount(count: int, total: int) -> None:
    if count > MOST_FILES:
        raise ModelError(f"The model holds more than {MOST_FILES} files", DO_NOT_USE)
    if total > MOST_BYTES:
        raise ModelError(f"The model holds more than {MOST_BYTES // 1024**2} MiB", DO_NOT_USE)


def _read_folder(folder: Path) -> dict[str, bytes]:
    _check_kind((f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir()), folder)
    found: dict[str, Path] = {}
    total = 0
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not is_litter(name)]
        for name in (*folders, *files):
            entry = Path(place) / name
            inside = entry.relative_to(folder).as_posix()
            if is_litter(inside):
                continue
            mode = entry.lstat().st_mode
            if stat.S_ISLNK(mode) or getattr(entry, "is_junction", bool)():
                cause = f"The model {folder} holds the link {inside!r}"
                raise ModelError(cause, "copy the model with the files themselves instead of links to them")
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise ModelError(f"The model {folder} holds {inside!r}, which is not a plain file", DO_NOT_USE)
            found[inside] = entry
            total += entry.lstat().st_size
            _check_amount(len(found), total)
    check_names(found)
    return {name: found[name].read_bytes() for name in sorted(found)}


def _raise(error: OSError) -> None:
    raise error


def _read_zip(path: Path, source: Path | io.BytesIO) -> dict[str, bytes]:
    damaged = f"The archive {path} is damaged or not a zip archive"
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [info for info in archive.infolist() if not is_litter(info.filename)]
            for info in entries:
                _check_entry(info)
            infos = {info.orig_filename: info for info in entries if not info.is_dir()}
            if len(infos) < sum(not info.is_dir() for info in entries):
                raise ModelError(f"The archive {path} holds two files of one name", DO_NOT_USE)
            _check_amount(len(entries), sum(info.file_size for info in infos.values()))
            prefix = _top_folder(infos)
            inside = {name[len(prefix) :]: info for name, info in infos.items()}
            _check_kind(inside, path)
            check_names(inside)
            return {name: _read_entry(archive, inside[name]) for name in sorted(inside)}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        raise ModelError(f"{damaged} ({error})", GET_ANOTHER) from None


def _check_entry(info: zipfile.ZipInfo) -> None:
    # The name as stored: zipfile itself cuts it at a NUL and turns backslashes into slashes on Windows.
    check_name(info.orig_filename.removesuffix("/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ModelError(f"The archive holds {info.orig_filename!r}, a link or a device", DO_NOT_USE)
    if info.flag_bits & 0x1:
        raise ModelError("The archive is encrypted", "unpack it with its password and use the folder")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelError("The archive is packed in an unusual way", "pack it again as an ordinary zip archive")
    if info.file_size > RATIO_COUNTS_FROM and info.file_size > HIGHEST_RATIO * max(info.compress_size, 1):
        raise ModelError(f"The archive's {info.orig_filename!r} unpacks to implausibly many bytes", DO_NOT_USE)


def _top_folder(names: Iterable[str]) -> str:
    """The top folder that contains all files ("name/"), or "" if the model's files are at the top."""
    names = list(names)
    tops = {name.split("/", 1)[0] for name in names}
    if METADATA in names or CHECKSUMS in names or len(tops) != 1 or any("/" not in name for name in names):
        return ""
    return tops.pop() + "/"


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        data = stream.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ModelError(f"The archive's {info.orig_filename!r} has another size than the archive says", DO_NOT_USE)
    return data
