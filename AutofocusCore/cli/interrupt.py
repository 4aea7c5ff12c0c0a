"""Ctrl-C and its relatives, at any moment: nothing half-written is left, and a sentence takes a traceback's place.

A signal raises KeyboardInterrupt in the main thread and is remembered as well, since a library may turn the exception
into another one (numpy, imported halfway, makes an ImportError of it) or swallow it (in a destructor).
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # as far as the system has them


class Signals:
    """Catches the signals that ask a process to stop, from `with` to its end or, unless `restore`, the process's."""

    def __init__(self, *, restore: bool = False) -> None:
        self.received = False
        self._restore = restore
        self._before: dict[int, Any] = {}
        self._closing = self._holding = False

    def __enter__(self) -> Signals:
        for name in NAMES:
            number = getattr(signal, name, None)
            # What nohup or a shell's & chose to ignore stays ignored.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                try:
                    self._before[number] = signal.signal(number, self._handle)
                except ValueError:  # not in the main thread, where no signal arrives anyway
                    break
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._hush
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.close()
        if self.received and isinstance(error, Exception | KeyboardInterrupt):
            # Only before `run` took over or after it let go.
            from AutofocusCore.io.atomic import discard_all

            discard_all()
            print(INTERRUPTED, file=sys.stderr, flush=True)
        if self.received and not self._restore:
            # Python, where a library's C code met the KeyboardInterrupt, would at its end repeat the signal on itself.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        if self._restore:
            sys.unraisablehook = self._unraisable
        for number, handler in self._before.items():
            signal.signal(number, handler if self._restore else signal.SIG_IGN)
        return None

    def close(self) -> None:
        """From now on signals change nothing: what is left to do takes no time and must be done."""
        self._closing = True

    def hold(self) -> None:
        """Until `release` a signal is only remembered: files get their names, and what is said of them must be true."""
        self._holding = True

    def release(self) -> None:
        """Go on as before; a signal that came meanwhile has its effect now."""
        self._holding = False
        if self.received:
            raise KeyboardInterrupt

    def cancelled(self) -> bool:
        """Whether a signal came, for code that polls."""
        return self.received

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._closing:
            return
        self.received = True
        if not self._holding:
            raise KeyboardInterrupt

    def _hush(self, unraisable: Any) -> None:
        if not (self.received and isinstance(unraisable.exc_value, KeyboardInterrupt)):
            self._unraisable(unraisable)


INTERRUPTED = "autofocus: The run was interrupted; nothing was written, start it again when you like."
