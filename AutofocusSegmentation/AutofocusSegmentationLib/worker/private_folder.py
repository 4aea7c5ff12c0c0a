"""The folder through which volumes go to the worker and back: patients' images, so it goes when it is done with.

A lock file in it is held as long as the application lives. A folder whose lock nobody holds was left by an application
that crashed, and is removed at the next start.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

PREFIX = "autofocus-slicer-"
LOCK = ".in-use"  # a name that the worker, which removes its folder too, takes for one of ours


class PrivateFolder:
    """A new folder for this application alone, which only this user can look into."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock: int | None = _lock(self.path / LOCK, create=True)

    def remove(self) -> None:
        """Remove it with all that is in it. Takes time where there is much."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        shutil.rmtree(self.path, ignore_errors=True)


def remove_leftovers() -> int:
    """Remove the folders of this user that a crashed application has left; how many there were."""
    count = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
            continue
        lock = _lock(folder / LOCK, create=False)
        if lock is not None:
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
    return count


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _lock(path: Path, *, create: bool) -> int | None:
    """An open, locked file; None where another process holds it, or it is not there."""
    try:
        file = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except OSError:
        return None
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file
