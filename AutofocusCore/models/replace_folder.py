"""Writes a folder that gets its final name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from AutofocusCore.errors import ModelError, ModelThereError
from AutofocusCore.io.atomic import cannot_write
from AutofocusCore.io.temporary import aside_name, remove_leftovers
from AutofocusCore.models.files import METADATA, folder_stamp

REPLACED = ".autofocus-replaced-"
THERE = (errno.ENOTEMPTY, errno.EEXIST)
"""Errors of a rename to a name that was taken, though another process may have moved that folder away since."""


def place_folder(files: Mapping[str, bytes], final: Path, *, replace: bool) -> Path:
    """Write the files (paths with "/") into a new folder beside `final`, then rename it.

    Several processes may do so at once for one `final`: one of their folders wins as a whole. With `replace`, an
    existing folder is moved away first, and restored if the rename fails.

    Raises:
        ModelError: `final` exists and may not be replaced, or is not a model.
        OutputError: it cannot be written.
    """
    part = aside_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final.parent)
        for name, data in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        _rename(part, final, replace=replace)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return final


def _rename(part: Path, final: Path, *, replace: bool) -> None:
    for _ in range(100):
        if final.exists() or final.is_symlink():
            _check_replaceable(final, replace=replace)
        try:
            # Every system refuses this if a folder with content has that name.
            part.rename(final)
            return
        except OSError as error:
            if not final.exists() and error.errno not in THERE:
                raise
        _check_replaceable(final, replace=replace)
        old = final.parent / f"{REPLACED}{secrets.token_hex(8)}-{final.name}"
        try:
            final.rename(old)
        except FileNotFoundError:  # another process has just moved it
            continue
        try:
            part.rename(final)
            return
        except OSError:
            # Another process was faster: try again. Or there is nothing: restore the old one.
            with contextlib.suppress(OSError):
                old.rename(final)
        finally:
            if final.exists():
                shutil.rmtree(old, ignore_errors=True)
        time.sleep(0.01)
    raise ModelError(f"Other processes keep writing {final}", "try again when they have finished")


def _check_replaceable(final: Path, *, replace: bool) -> None:
    """Refuse to replace what must stay. A folder that another process moves away meanwhile is not judged."""
    looked_at = folder_stamp(final, follow_symlinks=False)
    with contextlib.suppress(FileNotFoundError):
        if final.is_dir() and not any(final.iterdir()):
            return
    refused: ModelError | None = None
    if not replace:
        refused = ModelThereError(f"There is already a model at {final}", "remove it first, or ask to replace it")
    elif final.is_symlink() or not (final / METADATA).is_file():
        refused = ModelError(f"{final} exists and is not a model", "choose another folder")
    if refused is not None and looked_at is not None and folder_stamp(final, follow_symlinks=False) == looked_at:
        raise refused


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary folders of killed processes; restore a model that one of them had moved away."""
    remove_leftovers(folder)
    for left in folder.glob(f"{REPLACED}*"):
        final = folder / left.name[len(REPLACED) :].split("-", 1)[1]
        with contextlib.suppress(OSError):
            if final.exists():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.rename(final)
