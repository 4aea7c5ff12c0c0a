"""Ctrl-C and similar signals, at any moment: no partial file is left, and a sentence is printed instead of a traceback.

A signal raises KeyboardInterrupt in the main thread and is remembered as well, since a library may turn the exception
into another one (numpy, imported halfway, makes an ImportError of it) or swallow it (in a destructor).
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # those that the system has


class Signals:
    """Catches signals that ask a process to stop, until the `with` block or, without `restore`, the process ends."""

    def __init__(self, *, restore: bool = False) -> None:
        self.received = False
        self._restore = restore
        self._before: dict[int, Any] = {}
        self._closing = self._holding = False

    def __enter__(self) -> Signals:
        for name in NAMES:
            number = getattr(signal, name, None)
            # Signals that nohup or a shell's & ignore stay ignored.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                try:
                    self._before[number] = signal.signal(number, self._handle)
                except ValueError:  # not in the main thread: no signal arrives here anyway
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
            # If C code of a library met the KeyboardInterrupt, Python would send itself the signal again when it ends.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        if self._restore:
            sys.unraisablehook = self._unraisable
        for number, handler in self._before.items():
            signal.signal(number, handler if self._restore else signal.SIG_IGN)
        return None

    def close(self) -> None:
        """Ignore signals from now on: the remaining work is short and must be finished."""
        self._closing = True

    def hold(self) -> None:
        """Only remember signals until `release`, while files get their final names."""
        self._holding = True

    def release(self) -> None:
        """End `hold`; a signal that came meanwhile takes effect now."""
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
        if not (self._holding or _torch_is_loading()):
            raise KeyboardInterrupt

    def _hush(self, unraisable: Any) -> None:
        if not (self.received and isinstance(unraisable.exc_value, KeyboardInterrupt)):
            self._unraisable(unraisable)


def _torch_is_loading() -> bool:
    """Whether torch is being imported: its C++ code would abort the process at a KeyboardInterrupt.

    The signal is remembered then, and takes effect where the run next asks `cancelled`.
    """
    return bool(getattr(getattr(sys.modules.get("torch"), "__spec__", None), "_initializing", False))


INTERRUPTED = "autofocus: The run was interrupted; nothing was written, start it again when you like."
