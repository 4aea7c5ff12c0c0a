"""What one `autofocus segment` passes through: `python -m Benchmarks.route [IMAGE …] [-m MODEL] [--names] [--calls]`.

It runs the command in this process, with attention maps, and prints how many files and functions of AutofocusCore were
passed, and how many returns there were: calls into a room that was left and is still waiting, so that a reader goes up
again.

Counted are functions as they are written: each file, qualified name and first line once, however often it is called, in
all threads. Not counted are comprehensions, lambdas, methods that dataclasses generate, and code that only runs when a
module is loaded. A return is counted once for each pair of functions, the nearest of AutofocusCore on the stack and the
one that is called.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import AutofocusCore

CORE = Path(AutofocusCore.__file__).resolve().parent
MODEL = "pelvis-phantom"
SIZE, SPACING = (48, 40, 32), (8.0, 8.0, 8.0)
"""Voxels (x, y, z) and their size (mm) of the phantom that is segmented if no image is given."""


@dataclass(frozen=True, order=True)
class Function:
    """A function of AutofocusCore: file relative to it, name (with its class from Python 3.11 on), first line."""

    file: str
    name: str
    line: int

    @property
    def room(self) -> str:
        """The folder, or the file where it lies in no folder."""
        return self.file.split("/", maxsplit=1)[0]


@dataclass
class Route:
    """What a run has passed.

    Attributes:
        calls: how often each function was called; a generator counts each time that it goes on.
        returns: pairs of functions, of which the second lies in a room that was left and is still waiting.
    """

    calls: Counter[Function] = field(default_factory=Counter)
    returns: set[tuple[Function, Function]] = field(default_factory=set)

    @property
    def files(self) -> dict[str, list[Function]]:
        """The functions of each file, in the order of the lines."""
        found: dict[str, list[Function]] = {}
        for function in sorted(self.calls, key=lambda one: (one.file, one.line)):
            found.setdefault(function.file, []).append(function)
        return found

    def summary(self) -> str:
        """The three counts in a line."""
        return f"{len(self.files)} files, {len(self.calls)} functions, {len(self.returns)} returns"


_known: dict[tuple[str, CodeType], Function | None] = {}


def _function(code: CodeType) -> Function | None:
    """The function of a code object; None if it is not counted."""
    key = code.co_filename, code  # equal code in two files counts as equal
    if key not in _known:
        path = Path(code.co_filename)
        written = bool(code.co_flags & inspect.CO_OPTIMIZED) and not code.co_name.startswith("<")
        if written and path.is_absolute() and path.is_relative_to(CORE):
            name = getattr(code, "co_qualname", code.co_name).replace("<locals>.", "")
            _known[key] = Function(path.relative_to(CORE).as_posix(), name, code.co_firstlineno)
        else:
            _known[key] = None
    return _known[key]


@contextlib.contextmanager
def counted() -> Iterator[Route]:
    """Count what runs inside the `with` block, in this thread and in those that it starts."""
    route = Route()

    def on_event(frame: FrameType, event: str, argument: Any) -> None:
        function = _function(frame.f_code) if event == "call" else None
        if function is None:
            return
        route.calls[function] += 1
        above = [found for one in _callers(frame) if (found := _function(one.f_code)) is not None]
        if above and above[0].room != function.room and any(one.room == function.room for one in above):
            route.returns.add((above[0], function))

    threading.setprofile(on_event)
    sys.setprofile(on_event)
    try:
        yield route
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # None is documented


def _callers(frame: FrameType) -> Iterator[FrameType]:
    caller = frame.f_back
    while caller is not None:
        yield caller
        caller = caller.f_back


def segment(images: Sequence[str], model: str, folder: Path) -> Route:
    """Count one `autofocus segment` with attention maps.

    Args:
        images: files, one for each channel; none: a phantom.
        model: name, folder or zip.
        folder: where the results go.

    Raises:
        RuntimeError: the command failed; its sentence is in the error.
    """
    from AutofocusCore.cli import main
    from AutofocusCore.phantom import make_phantom

    if not images:
        import SimpleITK as sitk

        images = [str(folder / "ct.nii.gz")]
        sitk.WriteImage(make_phantom(2018, size=SIZE, spacing=SPACING)[0], images[0])
    words = ["segment", *images, "-m", model, "-o", str(folder / "out.seg.nrrd"), "--attention", str(folder / "maps")]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), counted() as route:
        status = main(words)
    if status != 0:
        raise RuntimeError(printed.getvalue().strip())
    return route


def table(route: Route, *, names: bool = False, calls: bool = False) -> str:
    """For each room its files, with the number of functions passed.

    Args:
        route: what to show.
        names: list the functions of each file, too, and the returns.
        calls: list how often each function was called; with `names`.
    """
    files, lines = route.files, [route.summary()]
    for room in dict.fromkeys(function.room for functions in files.values() for function in functions):
        inside = {name: functions for name, functions in files.items() if functions[0].room == room}
        count = sum(map(len, inside.values()))
        lines.append(f"{room}: {len(inside)} files, {count} functions" if "/" in next(iter(inside)) else f"{room}:")
        for name, functions in inside.items():
            lines.append(f"  {len(functions):3d} {name}")
            if names or calls:
                shown = (f"{f.name} × {route.calls[f]}" if calls else f.name for f in functions)
                lines.append(f"        {', '.join(shown)}")
    if names:
        lines.append("returns:")
        lines += sorted(f"  {a.file} {a.name} → {b.file} {b.name}" for a, b in route.returns)
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and print the route."""
    parser = argparse.ArgumentParser(description="Count what one `autofocus segment` passes through.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="one for each channel; default: a phantom")
    parser.add_argument("-m", "--model", default=MODEL, help=f"default: {MODEL}")
    parser.add_argument("--names", action="store_true", help="name the functions and the returns")
    parser.add_argument("--calls", action="store_true", help="say how often each function was called")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        route = segment(args.images, args.model, Path(folder))
    print(table(route, names=args.names, calls=args.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
