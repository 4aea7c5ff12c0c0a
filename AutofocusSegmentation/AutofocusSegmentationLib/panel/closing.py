"""Closing the application during a run or a lesson: the user is asked first."""

from __future__ import annotations

from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _


class Job(Protocol):
    """Work that takes long."""

    @property
    def running(self) -> bool:
        """Whether it is under way."""

    def cancel(self) -> None:
        """End it."""


class CloseGuard(qt.QObject):
    """Event filter that notices that the main window is about to be closed."""

    def watch(self, *jobs: tuple[str, Job]) -> None:
        """Install the filter.

        Args:
            jobs: each kind of work, and the sentence that it is under way.
        """
        self._jobs = jobs
        self._window = slicer.util.mainWindow()
        if self._window is not None:
            self._window.installEventFilter(self)

    def stop(self) -> None:
        """Remove the filter."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802 (Qt's name)
        """Called by Qt before the window gets an event; True stops the event."""
        if event.type() != qt.QEvent.Close:
            return False
        under_way = [(sentence, job) for sentence, job in self._jobs if job.running]
        if not under_way:
            return False
        question = _("{sentence} Close all the same? It ends without a result.")
        question = question.format(sentence=" ".join(sentence for sentence, _job in under_way))
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Autofocus Segmentation")):
            for _sentence, job in under_way:
                job.cancel()
            return False
        event.ignore()
        return True
