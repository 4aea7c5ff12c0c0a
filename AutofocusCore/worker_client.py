"""The parent's end of a worker process (worker.py): start it, send requests, hear its answers and its end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

QUIT_SECONDS = 5.0
# Out of reach of the terminal's Ctrl-C, which is for the parent; the worker ends when the parent does.
APART: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


class WorkerProcess:
    """One worker. Its answers arrive in a queue, which several workers may share, as (worker, message).

    A message of None says that the process has ended; `exit_code` then says how.

    Args:
        answers: where messages go.
        threads: how many threads it may use, None for all.
        memory_share: what share of the free memory its jobs take, up to 1.
        folder: its private folder, which the caller makes and removes; None: the worker makes its own.
    """

    def __init__(
        self,
        answers: queue.Queue[tuple[WorkerProcess, dict[str, Any] | None]],
        *,
        threads: int | None = None,
        memory_share: float = 1.0,
        folder: Path | None = None,
    ) -> None:
        command = [sys.executable, "-m", "AutofocusCore.worker", "--memory-share", str(memory_share)]
        command += [] if threads is None else ["--threads", str(threads)]
        command += [] if folder is None else ["--folder", str(folder)]
        home = str(Path(__file__).resolve().parents[1])  # where this very package is, installed or not
        paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            **APART,
        )
        self._answers = answers
        threading.Thread(target=self._listen, daemon=True, name=f"worker {self.process.pid}").start()

    def send(self, request: dict[str, Any]) -> None:
        """Send a request; nothing happens if the process has ended, of which the queue tells."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write((json.dumps(request) + "\n").encode("ascii"))
            self.process.stdin.flush()

    @property
    def exit_code(self) -> int:
        """Status with which the process ended; waits for that."""
        return self.process.wait()

    def close(self) -> None:
        """Close its stdin, upon which it cleans up and ends, whatever it is doing."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()

    def end(self) -> None:
        """Close it and wait for its end; one that hangs is killed."""
        self.close()
        try:
            self.process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # what is no answer of ours is not for us
                    message = json.loads(line)
                    if isinstance(message, dict):
                        self._answers.put((self, message))
        self._answers.put((self, None))


def how_it_ended(exit_code: int) -> str:
    """Words for an exit status: a signal has a negative one on POSIX."""
    import signal

    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"
