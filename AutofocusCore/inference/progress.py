"""What a run says of itself while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from AutofocusCore.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """How far a stage of the work is.

    Attributes:
        stage: "read", "prepare", "predict", "resample" or "write".
        done, total: in steps of that stage.
        seconds_left: an estimate for that stage, or None while there is none.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None


ProgressCallback = Callable[[Progress], None]
CancelledCallback = Callable[[], bool]


class Reporter:
    """Counts the work of one stage, reports it, and raises :class:`Cancelled` when asked to stop.

    Args:
        stage: its name.
        total: steps, counted by ``units`` of unequal work.
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
        """Run ``shares``, which yields before each step the share of the work that the step is."""
        last: float | None = None
        for share in shares:
            if last is not None:
                self.advance(last)
            self.check()
            last = share
        if last is not None:
            self.advance(last)

    def check(self) -> None:
        """Stop here if the caller wants that."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled

    def advance(self, share: float) -> None:
        """One step more, which was ``share`` (0 to 1) of the stage's work."""
        self.done = min(self.done + 1, self.total)
        self.work_done += share
        if self.progress is not None:
            elapsed = time.monotonic() - self.started
            left = elapsed / self.work_done * max(1.0 - self.work_done, 0.0) if self.work_done > 0 else None
            self.progress(Progress(self.stage, self.done, self.total, left))
