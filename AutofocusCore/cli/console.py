"""Output on the terminal: progress on stderr, results on stdout."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from AutofocusCore.io.texts import one_line, plain_text

STAGES = {
    "read": "Reading",
    "prepare": "Preparing",
    "predict": "Computing",
    "resample": "Resampling",
    "write": "Writing",
    "cases": "Cases",
    "before": "Before",
    "keep": "Keeping",
    "teach": "Teaching",
    "after": "After",
}
LINE_EVERY_S = 10.0
NUMBER = re.compile(r"\s*-?[\d,]*(\.\d*)?[\s%]*")
"""A cell that is aligned right; an empty one, too."""


class ProgressDisplay:
    """Progress: bars on a terminal; otherwise (in a log file) a line per stage and every ten seconds; or nothing."""

    def __init__(self, *, quiet: bool = False, prefix: str = "") -> None:
        self.prefix = prefix
        self._quiet = quiet
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._stage = ""
        self._said_at = 0.0

    def __enter__(self) -> ProgressDisplay:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bars = Progress(
                TextColumn("{task.description:<12}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}", style="dim"),
                console=Console(stderr=True),
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, stage: str, done: int, total: int, seconds_left: float | None = None) -> None:
        """Show that `done` of `total` steps of a stage are finished."""
        if self._quiet:
            return
        name = one_line(self.prefix + STAGES.get(stage, stage))
        left = "" if seconds_left is None or done >= total else f"{readable_seconds(seconds_left)} left"
        if self._bars is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(name, left="")
            self._bars.update(self._tasks[stage], description=name, completed=done, total=total, left=left)
        elif name != self._stage or time.monotonic() - self._said_at >= LINE_EVERY_S:
            self._said_at = time.monotonic()
            steps = f" {done} of {total}" if total > 1 and done else ""
            print(f"{name}{steps}{', ' if left else ''}{left}", file=sys.stderr, flush=True)
        self._stage = name

    @property
    def on_terminal(self) -> bool:
        """Whether bars are shown."""
        return self._bars is not None

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        text = one_line(text)
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, file=sys.stderr, flush=True)


def readable_seconds(seconds: float) -> str:
    """7 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def readable_bytes(count: float) -> str:
    """In GiB, with one decimal."""
    return f"{count / 2**30:.1f} GiB"


def warn(text: str) -> None:
    """Print a warning on stderr, also with --quiet."""
    print(f"autofocus: warning: {one_line(text)}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, in ASCII, which every console can show."""
    print(json.dumps(value, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns of numbers, except the first, are aligned right."""
    table = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    numeric = [i > 0 and all(NUMBER.fullmatch(row[i]) for row in rows) for i in range(len(header))]
    for row in table:
        cells = [cell.rjust(w) if n else cell.ljust(w) for cell, w, n in zip(row, widths, numeric, strict=True)]
        say("  ".join(cells).rstrip())


def say(text: str = "") -> None:
    """Print a line on stdout; characters that the console lacks become question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    print(plain_text(text).encode(encoding, "replace").decode(encoding))
