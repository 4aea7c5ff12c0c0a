"""Client of a worker process (protocol.py): starts it, sends requests, receives answers, notices its end."""

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

from AutofocusCore.io.python_process import module_command
from AutofocusCore.worker.environment import VARIABLES

QUIT_SECONDS = 5.0
KILL_SECONDS = 2.0
# The terminal's Ctrl-C must not reach the worker, only its parent; the worker ends when the parent ends. On POSIX it
# gets its own session, which also identifies the whole process tree; on Windows it gets no console window.
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
APART: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | NO_WINDOW}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


class WorkerProcess:
    """One worker process. Its answers arrive in a queue, which several workers may share, as (worker, message).

    A message of None means that the process has ended, with `exit_code`.

    Args:
        answers: queue for the messages.
        threads: number of threads it may use; None: all.
        memory_share: share of the free memory that its jobs may use, up to 1.
        folder: its private folder, empty or new, which it removes when it ends; None: it makes one.
        executable: the Python that runs it, or a launcher of one (Slicer's PythonSlicer); None: this one.
        environment: environment variables in addition to this process's own.
        log: file for the output of the process and its libraries; None: this process's stderr.

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
        command = module_command(executable or sys.executable, "AutofocusCore.worker")
        command += ["--memory-share", str(memory_share)]
        command += [] if threads is None else ["--threads", str(threads)]
        command += [] if folder is None else ["--folder", str(folder)]
        variables = {**VARIABLES, **os.environ, **(environment or {})}
        home = str(Path(__file__).resolve().parents[2])  # the folder of this package, installed or not
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
        """Send a request; ignored if the process has ended, which the queue reports."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write((json.dumps(request) + "\n").encode("ascii"))
            self.process.stdin.flush()

    @property
    def exit_code(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        return self.process.wait()

    def close(self) -> None:
        """Close its stdin. The process then stops its work, cleans up and ends."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()

    def end(self) -> None:
        """Close it and wait for its end; if it hangs, kill it and all processes that it started."""
        self.close()
        try:
            self.process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it and every process that it started, without clean-up.

        Its private folder stays until the next worker starts, unless the caller removes it. Returns when the process
        is gone, usually within milliseconds, and after some seconds at the latest.
        """
        # After a process has ended, the system may give its number to another one; not while a child of it lives and
        # keeps the pipe open.
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
                with contextlib.suppress(ValueError):  # not an answer of the protocol
                    message = json.loads(line)
                    if isinstance(message, dict):
                        self._answers.put((self, message))
        self._answers.put((self, None))


def _kill_tree(pid: int) -> None:
    """Kill a process that has its own session, and all of its children."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["taskkill", "/T", "/F", "/PID", str(pid)]
            subprocess.run(command, capture_output=True, creationflags=NO_WINDOW, timeout=KILL_SECONDS, check=False)
    else:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def how_it_ended(exit_code: int) -> str:
    """A description of an exit status; on POSIX, a process ended by a signal has a negative one."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"
