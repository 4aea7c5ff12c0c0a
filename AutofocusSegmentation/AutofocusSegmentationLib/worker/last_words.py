"""A worker's error stream, and the cause and remedy derived from it when the process has ended."""

from __future__ import annotations

import signal
from pathlib import Path

MOST_BYTES = 64 * 1024


class ErrorStream:
    """The file that a worker's stderr goes to.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def news(self) -> list[str]:
        """The lines written since the last call."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._read)
                data = stream.read(MOST_BYTES)
        except OSError:
            return []
        self._read += len(data)
        return [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]


def why_it_ended(exit_code: int, lines: list[str]) -> tuple[str, str]:
    """Cause and remedy in words.

    Args:
        exit_code: of the process; negative for a signal, on POSIX.
        lines: the last lines of its stderr.
    """
    from AutofocusCore.worker.client import how_it_ended

    how = f"The segmentation process ended unexpectedly ({how_it_ended(exit_code)})"
    last = lines[-1].strip() if lines else ""
    killed = exit_code == -getattr(signal, "SIGKILL", 9)
    if killed or "MemoryError" in last or "std::bad_alloc" in last:
        return (
            f"{how}; most often the computer ran out of memory",
            "close other programs, choose a region of interest or a device with more memory, and click again",
        )
    if "ModuleNotFoundError" in last or "ImportError" in last:
        return f"{how}: {last}", "install this extension again, or the library that is missing, and click again"
    if last:
        return f"{how}: {last}", "click again; if it happens again, report it with the lines in the log below"
    return how, "click again; if it happens again, report it with the lines in the log below"
