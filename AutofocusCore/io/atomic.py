"""Atomic writing: a file is written under a temporary name and renamed when it is complete.

    with Staging() as staging:
        write(staging.aside("out.seg.nrrd"))      # .autofocus-part-<random>.seg.nrrd in the same folder
        write(staging.aside("volumes.csv"))
    # only here do both get their final names; after an error or Ctrl-C neither exists, and existing files of these
    # names are unchanged

A signal that arrives during the renaming, which takes milliseconds, takes effect after it.

The temporary name is recorded before the file exists, so that `discard_all`, which the command line calls last, finds
every file. Leftovers of a killed process are removed by the next one that writes into the same folder (temporary.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from AutofocusCore.errors import OutputError
from AutofocusCore.io.temporary import aside_name, remove_leftovers

SUFFIXES = (".seg.nrrd", ".seq.nrrd", ".nii.gz", ".mrk.json")  # two-part extensions

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # those that end a process, if the system has them

_noted: set[Path] = set()
_naming = threading.RLock()  # held during the renaming


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Extension in lower case, two-part ones whole: `A.Seg.NRRD` -> `.seg.nrrd`."""
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), Path(name).suffix)


def stem_of(path: str | os.PathLike[str]) -> str:
    """File name without its (two-part) extension."""
    name = Path(path).name
    return name[: len(name) - len(suffix_of(name))] or name


class Staging:
    """Files that get their final names together at the end of the `with` block, and are removed if it fails.

    Args:
        lasting: whether to flush the bytes to the disk before the renaming; not needed for temporary files.
    """

    def __init__(self, *, lasting: bool = True) -> None:
        self._lasting = lasting
        self._pairs: list[tuple[Path, Path]] = []
        self._folders: list[Path] = []
        self._swept: set[Path] = set()  # folders already searched for leftovers

    def __enter__(self) -> Staging:
        return self

    def aside(self, final: str | os.PathLike[str]) -> Path:
        """The temporary path to write to; it is renamed to `final` in the same folder."""
        final = Path(final)
        if final.parent not in self._swept:
            self._swept.add(final.parent)
            remove_leftovers(final.parent)
        part = aside_name(final, suffix_of(final))
        _noted.add(part)
        self._pairs.append((part, final))
        return part

    def folder(self, path: str | os.PathLike[str]) -> Path:
        """Make a folder (and its parents); if the block fails, new folders are removed."""
        path = Path(path)
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._folders += missing
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        return path

    @property
    def finals(self) -> list[Path]:
        """The final names, in the order of the calls of `aside`."""
        return [final for _, final in self._pairs]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                for part, _ in self._pairs if self._lasting else ():
                    with part.open("rb+") as stream:
                        os.fsync(stream.fileno())  # only this tells of bytes that cannot be stored (quota, network)
                with _naming, _signals_held():
                    _rename_all(self._pairs)
                _noted.difference_update(part for part, _ in self._pairs)
                return
            except BaseException as failure:
                self._discard()
                if isinstance(failure, OSError):
                    raise cannot_write(self._place_of(failure), failure) from failure
                raise
        self._discard()
        if isinstance(error, OSError):
            raise cannot_write(self._place_of(error), error) from error

    def _place_of(self, error: OSError) -> Path:
        """The final name of the file that caused an error: the one in the error, else the last one."""
        named = {str(part): final for part, final in self._pairs}
        if str(error.filename) in named:
            return named[str(error.filename)]
        return Path(error.filename) if error.filename else self._pairs[-1][1] if self._pairs else Path("the output")

    def _discard(self) -> None:
        for part, _ in self._pairs:
            _remove(part)
        for folder in self._folders:
            with contextlib.suppress(OSError):  # not empty, or never made
                folder.rmdir()


@contextlib.contextmanager
def joined(staging: Staging | None) -> Iterator[Staging]:
    """The caller's staging if there is one, else a new one that ends with this block."""
    if staging is not None:
        yield staging
    else:
        with Staging() as own:
            yield own


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a small text file atomically."""
    with Staging() as staging:
        staging.aside(path).write_text(text, encoding="utf-8", newline="")


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error for an operating system error while writing `path`."""
    reason = error.strerror or str(error)
    return OutputError(
        f"Cannot write {path}: {reason[:1].lower()}{reason[1:]}",
        "free space there or choose another place" if _is_full(error) else "choose a place that you may write to",
    )


def discard_all() -> None:
    """Remove every temporary file of this process; a renaming in progress is completed."""
    with _naming:
        for part in list(_noted):
            _remove(part)


def _rename_all(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename all files; if one fails, the others are undone and replaced files are restored."""
    for _, final in pairs:
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    kept: list[Path] = []  # second names of the existing files that are replaced
    try:
        for part, final in pairs:
            if part != pairs[-1][0]:  # nothing can fail after the last
                kept.append(aside_name(final, suffix_of(final)))
                _keep(final, kept[-1])
            part.replace(final)
    except BaseException:
        if pairs[-1][0].exists():
            _take_back(pairs, kept)
        raise
    for old in kept:
        _noted.add(old)
        _remove(old)


def _keep(final: Path, old: Path) -> None:
    """Give an existing file a second name (hard link; without links, rename it), to restore it if necessary."""
    if not os.path.lexists(final):
        return
    try:
        os.link(final, old, follow_symlinks=False)
    except (OSError, NotImplementedError):
        final.replace(old)


def _take_back(pairs: Sequence[tuple[Path, Path]], kept: Sequence[Path]) -> None:
    for (part, final), old in zip(pairs, kept, strict=False):  # as far as it went
        with contextlib.suppress(OSError):
            if os.path.lexists(old):
                old.replace(final)
                old.unlink(missing_ok=True)  # if both were names of one file, renaming did nothing
            elif not part.exists():
                final.unlink()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Delay the effect of signals to the end of the block; only the main thread receives signals and can hold them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    # A handler that is no Python function (None) could not be put back.
    before = {n: handler for n in numbers if (handler := signal.getsignal(n)) not in (None, signal.SIG_IGN)}
    came: list[int] = []
    try:
        for number in before:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink()
    if not part.exists():
        _noted.discard(part)


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)) or getattr(
        error, "winerror", None
    ) in (112, 39)
