"""One process at a time writes into a folder: a lock that the system releases when its process ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import cannot_write, write_text

HELD, OWNER = ".held", "owner.json"
"""Names of the folder with the lock, where a folder has no better place for it, and of the file that tells whose."""


@contextlib.contextmanager
def hold(state: Path, cause: str, remedy: str) -> Iterator[None]:
    """Hold what a folder stands for until the block ends.

    Args:
        state: folder for the lock and the name of its owner; made if need be, and left behind unless the block fails.
        cause, remedy: of the error if another process holds it.

    Raises:
        OutputError: another process holds it, or the folder cannot be written to.
    """
    from filelock import Timeout

    from AutofocusCore.io.temporary import lock_file

    made = [folder for folder in (state, *state.parents) if not folder.exists()]
    lock = lock_file(state / "lock")
    try:
        state.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(NotImplementedError):  # a shared disk without locks
            lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(f"{cause}{_owner(state)}", remedy) from None
    except OSError as error:
        raise cannot_write(state, error) from error
    try:
        write_text(state / OWNER, json.dumps({"pid": os.getpid(), "computer": platform.node()}))
        yield
    except BaseException:
        if state in made:
            _remove_own(state)
        raise
    finally:
        lock.release()
        for folder in made:  # those that have content stay
            with contextlib.suppress(OSError):
                folder.rmdir()


def _remove_own(state: Path) -> None:
    """Remove the files of a folder that was made for something that then failed, as far as the system allows it."""
    for name in (OWNER, "lock"):
        with contextlib.suppress(OSError):
            (state / name).unlink()


def _owner(state: Path) -> str:
    try:
        owner = json.loads((state / OWNER).read_text(encoding="utf-8"))
        return f" (process {owner['pid']} on {owner['computer']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
