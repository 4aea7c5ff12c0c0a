"""Makes sure that a batch process ends, because no user is there to close it.

Python threads may never run again once Slicer's main thread waits for events, or hangs in C++, with Python's lock held.
So the last guard is faulthandler, whose C thread needs no lock: it prints where the process hangs and ends it with
status 1.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

LEAVE_SECONDS = 20.0  # for the application to close by itself
GRACE_SECONDS = 60.0  # so that the guard with a message comes first


class Watchdog:
    """Ends the process when `beat` was not called for too long; use it with `with`.

    Args:
        seconds: time limit; None: no limit.
        say: prints the message.
    """

    def __init__(self, seconds: float | None, say: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._say = say
        self._last = time.monotonic()
        self._armed = 0.0
        self._over = threading.Event()

    def __enter__(self) -> Watchdog:
        self.beat()
        if self._seconds is not None:
            threading.Thread(target=self._watch, daemon=True, name="watchdog").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._seconds is not None:
            faulthandler.cancel_dump_traceback_later()

    def beat(self) -> None:
        """Restart the countdown."""
        self._last = time.monotonic()
        if self._seconds is not None and self._last - self._armed > 1.0:
            self._armed = self._last
            _guard(self._seconds + GRACE_SECONDS)

    def _watch(self) -> None:
        assert self._seconds is not None
        while not self._over.wait(min(1.0, self._seconds / 4)):
            if time.monotonic() - self._last > self._seconds:
                self._say(
                    f"Nothing has happened for {self._seconds / 60:g} minutes; finished cases are kept. Check the "
                    "computer, then start the same command again to go on, if it is slow with a larger --idle-timeout."
                )
                with contextlib.suppress(Exception):
                    sys.stderr.flush()
                os._exit(1)  # the workers end too, because their pipes close


def end_process(status: int) -> None:
    """End the process with this status: through Slicer's own exit if that works, otherwise at once."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    application = running_application()
    if application is None:
        sys.exit(status)
    try:
        import qt
        import slicer

        _guard(LEAVE_SECONDS + GRACE_SECONDS)
        # Where the event loop goes on all the same; the status is then the right one, unlike the guard's.
        qt.QTimer.singleShot(int(LEAVE_SECONDS * 1000), lambda: os._exit(status))
        slicer.util.exit(status)
    except BaseException:
        os._exit(status)
    return None


def running_application() -> Any:
    """Slicer's application object; None in a Python without it, such as PythonSlicer."""
    try:
        import slicer
    except ImportError:
        return None
    return getattr(slicer, "app", None)


def _guard(seconds: float) -> None:
    """Have C end the process after so long, unless this is called again."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=_REAL_STDERR)


def _real_stderr() -> Any:
    """The stderr of the operating system; Slicer replaces sys.stderr by its own object."""
    for stream in (sys.__stderr__, sys.stderr):
        try:
            stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue
        return stream
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  it stays open to the end


_REAL_STDERR = _real_stderr()
