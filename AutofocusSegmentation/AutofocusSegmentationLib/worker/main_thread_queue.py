"""Background work whose results are handled on the main thread, the only one that may use Qt and the scene.

A timer of the panel empties the queue. Slicer's main thread holds Python's lock while it waits for events, and other
threads get it only while Python runs there. Therefore each emptying pauses for a moment while background work is going
on. Long steps of background work should release the lock (files, numpy).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

STEP_ASIDE = 0.002  # seconds in which the background gets Python's lock
BUDGET = 0.03  # seconds that one emptying may take before it lets the event loop go on


class MainThreadQueue:
    """Functions to be called on the main thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._running = 0
        self._lock = threading.Lock()

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` made on the main thread; from any thread."""
        self._waiting.put(call)

    def in_background(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Do `work` in a thread; then `done(its result)`, or `failed(what it raised)`, on the main thread."""

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                fault = error
                self.post(lambda: failed(fault))
            else:
                self.post(lambda: done(result))
            finally:
                with self._lock:
                    self._running -= 1

        with self._lock:
            self._running += 1
        threading.Thread(target=run, daemon=True, name="autofocus background").start()

    @property
    def busy(self) -> bool:
        """Whether work is under way or calls wait."""
        return self._running > 0 or not self._waiting.empty()

    def empty(self) -> None:
        """Make the calls that wait, as long as the budget lasts; on the main thread."""
        if self._running:
            time.sleep(STEP_ASIDE)
        until = time.monotonic() + BUDGET
        while time.monotonic() < until:
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                return
            call()
