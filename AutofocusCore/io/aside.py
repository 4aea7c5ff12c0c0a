"""Temporary names of files that are being written; they show whether the writing process still runs.

    .autofocus-part-<computer>-<process>-<random>.seg.nrrd

A file whose process on this computer has ended is a leftover. The next process that writes into the folder, or a batch
that continues, removes it. Files of other computers (a shared disk) and of unknown origin are leftovers after a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from pathlib import Path

PREFIX = ".autofocus-part-"
DAY = 24 * 3600
NAME = re.compile(re.escape(PREFIX) + r"([0-9a-f]{6})-([0-9]{1,10})-[0-9a-f]{16}(\..*)?")


def aside_name(final: Path, suffix: str = "") -> Path:
    """A new temporary name in the folder of `final`, so that renaming is one step."""
    return final.parent / f"{PREFIX}{_computer()}-{os.getpid()}-{secrets.token_hex(8)}{suffix}"


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
    if found and found[1] == _computer():
        return not _is_running(int(found[2]))
    try:
        return time.time() - path.lstat().st_mtime > DAY
    except OSError:
        return False


def _computer() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "replace")).hexdigest()[:6]


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
