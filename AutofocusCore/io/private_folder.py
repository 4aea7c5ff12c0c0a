"""Private temporary folders: only this user can open them, and they are removed when their process has ended.

Each folder is locked by its process, and the system releases the lock when that process dies. The next process that
starts can therefore tell an abandoned folder, with scans in it, from one in use, and removes it:

    <temporary files>/autofocus-<random>/.lock      locked as long as the process lives
                                        /.owner     written when it is locked; without it a folder is just being made
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "autofocus-"
LOCK, OWNER = ".lock", ".owner"
LOCK_SECONDS = 10.0
KEPT_BY_TORCH = "TORCHINDUCTOR_CACHE_DIR"  # PyTorch notes a folder among the temporary files in this variable


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
            if self._folder is None:
                self._folder = self._made()
            return self._folder

    def remove(self) -> None:
        """Remove it with its content."""
        with self._guard:
            folder = self._folder or self._given
            if self._held is not None:
                self._held.release(force=True)  # an open file could not be removed on Windows
                self._held = None
            if folder is None:
                return
            for entry in () if folder.name.startswith(NAME) else self._there_before:
                if entry.exists():  # a folder with other content was given by mistake
                    _remove_all_but(folder, self._there_before)
                    return
            shutil.rmtree(folder, ignore_errors=True)

    def _made(self) -> Path:
        if self._given is None:
            folder = Path(tempfile.mkdtemp(prefix=NAME))
        else:
            folder = self._given.absolute()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._there_before = list(folder.iterdir())
        with contextlib.suppress(ImportError):  # filelock comes with torch; without torch there are no scans to protect
            self._held = _lock(folder)
            self._held.acquire(timeout=LOCK_SECONDS)
            (folder / OWNER).write_text(str(os.getpid()), encoding="ascii")
        return folder


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
            for folder in [entry for entry in place.iterdir() if entry.name.startswith(NAME)]:
                removed += _is_own_folder(folder) and _removed(folder)
    return removed


def _is_own_folder(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _removed(folder: Path) -> bool:
    if not (folder / OWNER).is_file():
        return False  # being created, or of another program
    try:
        held = _lock(folder)
        held.acquire(timeout=0)
    except Exception:  # its process lives
        return False
    held.release(force=True)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _lock(folder: Path) -> Any:
    from filelock import FileLock

    logging.getLogger("filelock").setLevel(logging.INFO)  # Slicer would print debug messages
    return FileLock(str(folder / LOCK), thread_local=False)
