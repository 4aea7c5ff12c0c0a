"""Progress of a run, and its cancellation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from AutofocusCore.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """Progress within one stage of a run.

    Attributes:
        stage: "read", "prepare", "predict", "resample" or "write".
        done, total: in steps of that stage.
        seconds_left: estimated time until the stage ends; None if there is no estimate yet.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None


TOO_EARLY = 0.03
"""Share of a stage's work before which its time is not estimated: first steps are slow, and little of the work."""

ProgressCallback = Callable[[Progress], None]
CancelledCallback = Callable[[], bool]


class Reporter:
    """Reports the progress of one stage, and raises :class:`Cancelled` if the caller wants to stop.

    Args:
        stage: its name.
        total: number of steps; their shares of the work may differ.
        progress, cancelled: the caller's functions, or None.
    """

    def __init__(
        self, stage: str, total: int, progress: ProgressCallback | None, cancelled: CancelledCallback | None
    ) -> None:
        self.stage = stage
        self.total = total
        self.progress = progress
        self.cancelled = cancelled
        self.done = 0
        self.work_done = 0.0
        self.started = time.monotonic()

    def follow(self, shares: Iterable[float]) -> None:
        """Run through ``shares``, which yields before each step its share of the whole work (0 to 1)."""
        last: float | None = None
        for share in shares:
            if last is not None:
                self.advance(last)
            self.check()
            last = share
        if last is not None:
            self.advance(last)

    def check(self) -> None:
        """Raise :class:`Cancelled` if the caller wants to stop."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled

    def advance(self, share: float) -> None:
        """Count and report one finished step with its ``share`` (0 to 1) of the stage's work."""
        self.done = min(self.done + 1, self.total)
        self.work_done += share
        if self.progress is not None:
            elapsed = time.monotonic() - self.started
            left = elapsed / self.work_done * max(1.0 - self.work_done, 0.0) if self.work_done >= TOO_EARLY else None
            self.progress(Progress(self.stage, self.done, self.total, left))
