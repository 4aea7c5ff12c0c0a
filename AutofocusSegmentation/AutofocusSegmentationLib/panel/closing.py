"""Closing the application during a run: the user is asked first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class CloseGuard(qt.QObject):
    """Event filter that notices that the main window is about to be closed."""

    def watch(self, running: Callable[[], bool], cancel: Callable[[], None]) -> None:
        """Install the filter.

        Args:
            running: whether a run is under way.
            cancel: ends it.
        """
        self._running, self._cancel = running, cancel
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
        if event.type() != qt.QEvent.Close or not self._running():
            return False
        question = _("A segmentation is running. Close all the same? The run ends, and nothing of it is kept.")
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Autofocus Segmentation")):
            self._cancel()
            return False
        event.ignore()
        return True
