"""Observers of VTK objects that end with the widget that they serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Observations:
    """Stands for CTK's qvtkReconnect, by which the application's widgets observe nodes: Qt's end is also VTK's end.

    Args:
        widget: with whose destruction all observers go.
    """

    def __init__(self, widget: Any) -> None:
        self._tags: list[tuple[Any, int]] = []
        tags = self._tags  # and not this object, nor the widget, which Qt would disconnect before
        widget.destroyed.connect(lambda *_: _remove(tags))

    def add(self, caller: Any, event: Any, call: Callable[..., None]) -> None:
        """Have `call` called on an event of `caller`."""
        self._tags.append((caller, caller.AddObserver(event, call)))

    def observes(self, caller: Any) -> bool:
        """Whether there is an observer of `caller`."""
        return any(observed is caller for observed, _ in self._tags)

    def drop(self, caller: Any = None) -> None:
        """Remove the observers of `caller`; None: all."""
        dropped = [entry for entry in self._tags if caller is None or entry[0] is caller]
        self._tags[:] = [entry for entry in self._tags if entry not in dropped]
        _remove(dropped)


def _remove(tags: list[tuple[Any, int]]) -> None:
    while tags:
        caller, tag = tags.pop()
        caller.RemoveObserver(tag)
