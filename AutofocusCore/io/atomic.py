"""Write aside, then rename: a file has its final name only when all of it is there.

    with Staging() as staging:
        write(staging.aside("out.seg.nrrd"))      # .autofocus-part-<random>.seg.nrrd in the same folder
        write(staging.aside("volumes.csv"))
    # here, and not before, both have their names; after an error or Ctrl-C neither is there, and what they would have
    # replaced is as it was

A signal that comes while files get their names, which takes no time, has its effect when all have them.

The aside name is noted before the file exists, so that `discard_all`, called last by the command line, misses nothing.
What a killed process left aside is removed by the next one that writes into the same folder (aside.py).
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
from AutofocusCore.io.aside import aside_name, remove_leftovers

SUFFIXES = (".seg.nrrd", ".seq.nrrd", ".nii.gz", ".mrk.json")  # two-part extensions, which writers look at as a whole

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # those that end a process, as far as the system has them

_noted: set[Path] = set()
_naming = threading.RLock()  # held while files get their names


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Extension in lower case, two-part ones whole: `A.Seg.NRRD` -> `.seg.nrrd`."""
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), Path(name).suffix)


def stem_of(path: str | os.PathLike[str]) -> str:
    """File name without its (two-part) extension."""
    name = Path(path).name
    return name[: len(name) - len(suffix_of(name))] or name


class Staging:
    """Files written aside that get their names together when the block ends well, and vanish when it does not.

    Args:
        lasting: whether the bytes are to be on the disk before a file has its name; not needed for files that are read
            at once and thrown away.
    """

    def __init__(self, *, lasting: bool = True) -> None:
        self._lasting = lasting
        self._pairs: list[tuple[Path, Path]] = []
        self._folders: list[Path] = []
        self._swept: set[Path] = set()  # folders that leftovers were sought in

    def __enter__(self) -> Staging:
        return self

    def aside(self, final: str | os.PathLike[str]) -> Path:
        """The path to write to; it becomes `final` (same folder, hence a rename on one file system)."""
        final = Path(final)
        if final.parent not in self._swept:
            self._swept.add(final.parent)
            remove_leftovers(final.parent)
        part = _new_name(final)
        _noted.add(part)
        self._pairs.append((part, final))
        return part

    def folder(self, path: str | os.PathLike[str]) -> Path:
        """Make a folder (and its parents) for what follows; folders made here vanish with a failure."""
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
        """The final names, in the order in which they were asked for."""
        return [final for _, final in self._pairs]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._commit()
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
        """The final name of the file that an error is about: the one it names, else the one written last."""
        named = {str(part): final for part, final in self._pairs}
        if str(error.filename) in named:
            return named[str(error.filename)]
        return Path(error.filename) if error.filename else self._pairs[-1][1] if self._pairs else Path("the output")

    def _commit(self) -> None:
        for part, _ in self._pairs if self._lasting else ():
            _flush_to_disk(part)
        with _naming, _signals_held():
            _rename_all(self._pairs)
        _noted.difference_update(part for part, _ in self._pairs)

    def _discard(self) -> None:
        for part, _ in self._pairs:
            _remove(part)
        for folder in self._folders:
            with contextlib.suppress(OSError):  # not empty, or never made
                folder.rmdir()


@contextlib.contextmanager
def joined(staging: Staging | None) -> Iterator[Staging]:
    """The caller's block if there is one, else one of our own, which ends here."""
    if staging is not None:
        yield staging
    else:
        with Staging() as own:
            yield own


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a small text file as a whole or not at all."""
    with Staging() as staging:
        staging.aside(path).write_text(text, encoding="utf-8", newline="")


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The sentence for an operating system error met while writing `path`."""
    reason = error.strerror or str(error)
    return OutputError(
        f"Cannot write {path}: {reason[:1].lower()}{reason[1:]}",
        "free space there or choose another place" if _is_full(error) else "choose a place that you may write to",
    )


def discard_all() -> None:
    """Remove every file of this process that is still aside; those that are getting their names just now get them."""
    with _naming:
        for part in list(_noted):
            _remove(part)


def _rename_all(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Give all files their names; if one cannot have it, none has, and what others had replaced comes back."""
    for _, final in pairs:
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    kept: list[Path] = []  # other names of the files that were there before, as far as there were any
    try:
        for part, final in pairs:
            if part != pairs[-1][0]:  # nothing can fail after the last
                kept.append(_new_name(final))
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
    """Give the file that is about to be replaced, if there is one, a second name; without links, another one."""
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
                _unlink(old)  # where both were names of one file, renaming did nothing
            elif not part.exists():
                final.unlink()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """What signals do, they do at the end of the block. Only the main thread gets any, and only it can hold them."""
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


def _new_name(final: Path) -> Path:
    return aside_name(final, suffix_of(final))


def _remove(part: Path) -> None:
    _unlink(part)
    if not part.exists():
        _noted.discard(part)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _flush_to_disk(part: Path) -> None:
    """A file system may accept bytes that it then cannot store (quota, network); only fsync says so."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)) or getattr(
        error, "winerror", None
    ) in (112, 39)
