"""Temporary files and folders, and the removal of those whose process has ended.

Temporary names of files that are being written; they show whether the writing process still runs.

    .autofocus-part-<computer>-<process>-<random>.seg.nrrd

A file whose process on this computer has ended is a leftover. The next process that writes into the folder, or a batch
that continues, removes it. Files of other computers (a shared disk) and of unknown origin are leftovers after a day.

Private temporary folders: only this user can open them, and they are removed when their process has ended.

Each folder is locked by its process, and the system releases the lock when that process dies. The next process that
starts can therefore tell an abandoned folder, with scans in it, from one in use, and removes it:

    <temporary files>/autofocus-<random>/.lock      locked as long as the process lives
                                        /.owner     written when it is locked; without it a folder is just being made
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFIX = ".autofocus-part-"
DAY = 24 * 3600
COMPUTER = hashlib.sha256(platform.node().encode("utf-8", "replace")).hexdigest()[:6]
NAME = re.compile(re.escape(PREFIX) + r"([0-9a-f]{6})-([0-9]{1,10})-[0-9a-f]{16}(\..*)?")
FOLDER_PREFIX = "autofocus-"
LOCK, OWNER = ".lock", ".owner"
LOCK_SECONDS = 10.0
KEPT_BY_TORCH = "TORCHINDUCTOR_CACHE_DIR"  # PyTorch notes a folder among the temporary files in this variable


def aside_name(final: Path, suffix: str = "") -> Path:
    """A new temporary name in the folder of `final`, so that renaming is one step."""
    return final.parent / f"{PREFIX}{COMPUTER}-{os.getpid()}-{secrets.token_hex(8)}{suffix}"


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Remove the leftovers in a folder, but not in its subfolders; returns the number of files and folders."""
    removed = 0
    try:
        entries = [Path(entry.path) for entry in os.scandir(folder) if entry.name.startswith(PREFIX)]
    except OSError:
        return 0
    for entry in entries:
        if is_leftover(entry):
            with contextlib.suppress(OSError):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink()
                removed += 1
    return removed


def is_leftover(path: Path) -> bool:
    """Whether the process that wrote the file (or folder) has ended."""
    found = NAME.fullmatch(path.name)
    if found and found[1] == COMPUTER:
        return not _is_running(int(found[2]))
    try:
        return time.time() - path.lstat().st_mtime > DAY
    except OSError:
        return False


def _is_running(process: int) -> bool:
    """Whether a process with this number runs; if that cannot be found out, true."""
    if process == os.getpid():
        return True
    if sys.platform == "win32":  # where signal 0 would be Ctrl-C
        return _is_running_on_windows(process)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # no process can have a number that overflows
        return False
    except OSError:  # it runs for another user
        return True
    return True


def _is_running_on_windows(process: int) -> bool:
    import ctypes

    query, still_active, code = 0x1000, 259, ctypes.c_ulong()
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  (the type checker knows it on Windows only)
    handle = kernel.OpenProcess(query, False, process)
    if not handle:
        return bool(kernel.GetLastError() == 5)  # access denied: it runs for another user
    try:
        return not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value == still_active
    finally:
        kernel.CloseHandle(handle)


class PrivateFolder:
    """A locked temporary folder, created at the first call of `path` and removed by `remove`.

    Args:
        given: a folder that the caller has made for this purpose, or a place for it; None: a new one among the
            system's temporary files. A given one is removed as well if it was new or empty, or if its name begins with
            "autofocus-"; of any other, only what was written since.
    """

    def __init__(self, given: Path | None = None) -> None:
        self._given = given
        self._folder: Path | None = None
        self._held: Any = None
        self._there_before: list[Path] = []
        self._guard = threading.Lock()

    def path(self) -> Path:
        """The folder."""
        with self._guard:
            if self._folder is not None:
                return self._folder
            if self._given is None:
                folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
            else:
                folder = self._given.absolute()
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._there_before = list(folder.iterdir())
            with contextlib.suppress(ImportError):  # filelock comes with torch; without torch no scans need protection
                self._held = lock_file(folder / LOCK)
                self._held.acquire(timeout=LOCK_SECONDS)
                (folder / OWNER).write_text(str(os.getpid()), encoding="ascii")
            self._folder = folder
            return folder

    def remove(self) -> None:
        """Remove it with its content."""
        with self._guard:
            folder = self._folder or self._given
            if self._held is not None:
                self._held.release(force=True)  # an open file could not be removed on Windows
                self._held = None
            if folder is None:
                return
            for entry in () if folder.name.startswith(FOLDER_PREFIX) else self._there_before:
                if entry.exists():  # a folder with other content was given by mistake
                    _remove_all_but(folder, self._there_before)
                    return
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def private_temporary_files() -> Iterator[None]:
    """Keep this process's temporary files in a private folder, which is removed at the end of the block.

    Folders that killed processes have left are removed at the beginning.
    """
    folder, before, noted = PrivateFolder(), tempfile.tempdir, os.environ.get(KEPT_BY_TORCH)
    with contextlib.suppress(OSError):  # then temporary files stay in the system's folder
        remove_abandoned()
        tempfile.tempdir = str(folder.path())
    try:
        yield
    finally:
        tempfile.tempdir = before
        if noted is None:
            os.environ.pop(KEPT_BY_TORCH, None)  # processes that are started later would make the folder again
        folder.remove()


def _remove_all_but(folder: Path, kept: list[Path]) -> None:
    for entry in folder.iterdir():
        if entry in kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def remove_abandoned(*places: Path) -> int:
    """Remove the private folders of this user's processes that have ended.

    Args:
        places: folders to look in, beside that of temporary files.

    Returns:
        How many were removed.
    """
    removed = 0
    for place in {Path(tempfile.gettempdir()), *places}:
        with contextlib.suppress(OSError):
            for folder in [entry for entry in place.iterdir() if entry.name.startswith(FOLDER_PREFIX)]:
                removed += _removed(folder)
    return removed


def _removed(folder: Path) -> bool:
    """Remove a folder of this user whose process has ended; whether that was so."""
    try:
        status = folder.lstat()
        own = stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
        if not own or not (folder / OWNER).is_file():
            return False  # another user's, being created, or of another program
        held = lock_file(folder / LOCK)
        held.acquire(timeout=0)
    except Exception:  # its process lives
        return False
    held.release(force=True)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def lock_file(path: Path) -> Any:
    """A lock that the system releases when its process ends; not yet acquired."""
    from filelock import FileLock

    logging.getLogger("filelock").setLevel(logging.INFO)  # Slicer would print debug messages
    return FileLock(str(path), thread_local=False)
