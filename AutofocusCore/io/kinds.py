"""Kind of a path (folder, file, pipe or device), without opening it and without an error if access is denied."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder, or a link to one."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is an ordinary file, or a link to one."""
    return stat.S_ISREG(_mode(path))


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether it is a pipe, a socket or a device, which could block a reader for ever."""
    mode = _mode(path)
    return mode != 0 and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode(path: str | os.PathLike[str]) -> int:
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return 0
