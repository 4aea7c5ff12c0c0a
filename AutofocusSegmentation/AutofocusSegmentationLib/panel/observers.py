"""Observers of the objects that a part of the panel follows, to be removed together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Observers:
    """Observers of any VTK objects."""

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    def add(self, caller: Any, event: Any, call: Callable[..., Any]) -> None:
        """Call back at each event of the caller."""
        self._tags.append((caller, caller.AddObserver(event, call)))

    def stop(self) -> None:
        """Remove them all."""
        for caller, tag in self._tags:
            caller.RemoveObserver(tag)
        self._tags = []
