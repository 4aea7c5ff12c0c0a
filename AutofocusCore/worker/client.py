"""The parent's end of a worker process (protocol.py): start it, send requests, hear its answers and its end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from AutofocusCore.worker.environment import VARIABLES

QUIT_SECONDS = 5.0
KILL_SECONDS = 2.0
# Out of reach of the terminal's Ctrl-C, which is for the parent; the worker ends when the parent does. On POSIX a
# session of its own, by which the whole process tree is found again; on Windows without a console's window.
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
APART: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | NO_WINDOW}
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
        folder: its private folder, empty or new, which it removes when it ends; None: it makes its own.
        executable: the Python that runs it, or a launcher of one (Slicer's PythonSlicer); None: this one.
        environment: variables that it has beside, or instead of, this process's own.
        log: file that takes what it and its libraries print; None: this process's stderr.

    Raises:
        OSError: the executable cannot be started.
    """

    def __init__(
        self,
        answers: queue.Queue[tuple[WorkerProcess, dict[str, Any] | None]],
        *,
        threads: int | None = None,
        memory_share: float = 1.0,
        folder: Path | None = None,
        executable: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        command = [os.fspath(executable or sys.executable), "-m", "AutofocusCore.worker"]
        command += ["--memory-share", str(memory_share)]
        command += [] if threads is None else ["--threads", str(threads)]
        command += [] if folder is None else ["--folder", str(folder)]
        variables = {**VARIABLES, **os.environ, **(environment or {})}
        home = str(Path(__file__).resolve().parents[2])  # where this very package is, installed or not
        variables["PYTHONPATH"] = os.pathsep.join([home, *filter(None, [variables.get("PYTHONPATH")])])
        with contextlib.ExitStack() as stack:
            errors = None if log is None else stack.enter_context(Path(log).open("ab"))
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=variables, **APART
            )
        self._answers = answers
        self._listener = threading.Thread(target=self._listen, daemon=True, name=f"worker {self.process.pid}")
        self._listener.start()

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
        """Close it and wait for its end; one that hangs is killed, with all that it started."""
        self.close()
        try:
            self.process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and every process that it started, at once, whatever they are doing; they cannot clean up.

        Its private folder stays until the next worker starts, unless the caller removes it. Returns when the process
        is gone, usually within milliseconds, and after some seconds at the latest.
        """
        # Where the process itself has ended, its number may stand for another one by now, unless a child of it lives
        # and keeps the pipe open.
        if self.process.poll() is None or self._listener.is_alive():
            _kill_tree(self.process.pid)
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(KILL_SECONDS)
        self.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # what is no answer of ours is not for us
                    message = json.loads(line)
                    if isinstance(message, dict):
                        self._answers.put((self, message))
        self._answers.put((self, None))


def _kill_tree(pid: int) -> None:
    """End a process that was started apart, and all of its children."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["taskkill", "/T", "/F", "/PID", str(pid)]
            subprocess.run(command, capture_output=True, creationflags=NO_WINDOW, timeout=KILL_SECONDS, check=False)
    else:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def how_it_ended(exit_code: int) -> str:
    """Words for an exit status: a signal has a negative one on POSIX."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"
