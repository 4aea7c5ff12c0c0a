"""The panel's worker process: started when needed, kept for the next request, used without waiting.

Answers arrive as callbacks on the main thread (main_thread_queue.py). Every request is answered: by its result, by its
error, or, if the process ends, by the reason.
"""

from __future__ import annotations

import itertools
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AutofocusCore.io.temporary import PrivateFolder, remove_abandoned
from AutofocusCore.worker.client import WorkerProcess
from AutofocusSegmentationLib.worker.last_words import ErrorStream, why_it_ended
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue

Fields = dict[str, Any]
Answer = Callable[[Fields], None]

ENDED_CODE = "worker"
KILL_SECONDS = 1.0  # how long a cancelled job may take to end by itself
IDLE_SECONDS = 300.0  # after which an idle worker is ended, to free its memory


def ignore(fields: Fields) -> None:
    """Default callback: does nothing."""


@dataclass
class _Request:
    on_result: Answer
    on_error: Answer
    on_progress: Answer


class WorkerSession:
    """One worker at a time.

    Args:
        main_thread: queue that brings answers to the main thread.
        on_log: takes sentences for the log.
    """

    def __init__(self, main_thread: MainThreadQueue, *, on_log: Callable[[str], None] = print) -> None:
        self._main_thread = main_thread
        self._log = on_log
        self._process: WorkerProcess | None = None
        self._folder: PrivateFolder | None = None
        self._errors: ErrorStream | None = None
        self._last_lines: list[str] = []
        self._requests: dict[int, _Request] = {}
        self._ids = itertools.count(1)
        self._last_used = time.monotonic()
        self.idle_seconds = IDLE_SECONDS
        threading.Thread(target=remove_abandoned, daemon=True, name="removal of abandoned folders").start()

    @property
    def pid(self) -> int | None:
        """The process's number, if there is one."""
        return None if self._process is None else self._process.process.pid

    @property
    def folder(self) -> Path:
        """A folder for the exchange of volumes, private to the user; it lasts as long as the process."""
        self._start()
        if self._folder is None:
            raise OSError("the segmentation process could not be started")
        return self._folder.path()

    def request(
        self,
        name: str,
        *,
        on_result: Answer = ignore,
        on_error: Answer = ignore,
        on_progress: Answer = ignore,
        **fields: Any,
    ) -> int:
        """Send a request, to a new process if there is none. Returns its number."""
        self._start()
        self._last_used = time.monotonic()
        key = next(self._ids)
        self._requests[key] = _Request(on_result, on_error, on_progress)
        if self._process is None:
            self._fail(key, "The segmentation process could not be started", "look into the log for the reason")
            return key
        self._process.send({"id": key, "request": name, **fields})
        return key

    def forget(self, key: int | None) -> None:
        """Ignore the answer to this request."""
        if key is not None:
            self._requests.pop(key, None)

    def rest(self) -> None:
        """End a process that has been idle for `idle_seconds`, to free its memory; call this regularly."""
        if self._process is None or self._requests:
            self._last_used = time.monotonic()
        elif time.monotonic() - self._last_used > self.idle_seconds:
            self._log("The segmentation process was idle and was ended; the next click starts another one.")
            self._end(KILL_SECONDS)

    def cancel(self) -> None:
        """Cancel all requests and end the process. Returns at once.

        The process is asked to quit, so that it removes partial files. If it does not within a second, it is killed.
        """
        self._end(KILL_SECONDS)

    def close(self) -> None:
        """End the process and remove its folder; nothing is called back after this."""
        self._requests.clear()
        process = self._end(KILL_SECONDS)
        if process is not None:
            process.join(2 * KILL_SECONDS)

    def _start(self) -> None:
        if self._process is not None:
            return
        self._folder = PrivateFolder()
        folder = self._folder.path()
        self._errors, self._last_lines = ErrorStream(folder / ".stderr"), []
        answers: queue.Queue[Any] = _Forwarder(lambda pair: self._main_thread.post(lambda: self._hear(*pair)))
        try:
            self._process = WorkerProcess(
                answers, folder=folder / "worker", executable=python_executable(), log=self._errors.path
            )
        except OSError as error:
            self._log(f"The segmentation process could not be started: {error}")
            self._folder.remove()
            self._folder = None
            return
        self._log(f"The segmentation process {self.pid} is starting.")

    def _end(self, patience: float) -> threading.Thread | None:
        process, folder = self._process, self._folder
        self._process = self._folder = None
        keys = list(self._requests)
        for key in keys:
            self._fail(key, "Cancelled", "nothing was changed", code="cancelled")
        if process is None:
            return None

        def end() -> None:
            process.close()  # its stdin closes, so it stops its work and ends
            try:
                process.process.wait(patience)
            except Exception:
                process.kill()
            process.kill()  # and its child processes
            if folder is not None:
                folder.remove()

        thread = threading.Thread(target=end, daemon=True, name="end of the worker")
        thread.start()
        return thread

    def _hear(self, process: WorkerProcess, message: Fields | None) -> None:
        if process is not self._process:
            return  # a late answer of a process that was ended
        self._log_errors()
        if message is None:
            self._died(process)
            return
        request = self._requests.get(message.get("id"))
        if request is None:
            return
        if message.get("type") == "progress":
            request.on_progress(message)
            return
        del self._requests[message["id"]]
        (request.on_result if message.get("type") == "result" else request.on_error)(message)

    def _log_errors(self) -> None:
        """What the process wrote to its error stream goes to the log."""
        for line in self._errors.news() if self._errors is not None else ():
            self._log(f"  {line}")
            self._last_lines = [*self._last_lines[-9:], line]

    def _died(self, process: WorkerProcess) -> None:
        cause, remedy = why_it_ended(process.exit_code, self._last_lines)
        folder, self._process, self._folder = self._folder, None, None
        if folder is not None:
            threading.Thread(target=folder.remove, daemon=True, name="removal").start()
        self._log(f"{cause}.")
        for key in list(self._requests):
            self._fail(key, cause, remedy)

    def _fail(self, key: int, cause: str, remedy: str, code: str = ENDED_CODE) -> None:
        request = self._requests.pop(key, None)
        if request is not None:
            message = f"{cause}; {remedy}."
            fields = {"id": key, "type": "error", "code": code, "cause": cause, "remedy": remedy, "message": message}
            self._main_thread.post(lambda: request.on_error(fields))


class _Forwarder(queue.Queue):  # type: ignore[type-arg]
    """A queue that passes each item on at once and keeps none."""

    def __init__(self, forward: Callable[[Any], None]) -> None:
        super().__init__()
        self._forward = forward

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._forward(item)


def python_executable() -> str:
    """The Python that workers run in: PythonSlicer in the application, this very one elsewhere."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    name = Path(sys.executable or "").name.lower()
    if "python" in name:
        return sys.executable
    home = Path(sys.base_exec_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (home / "bin" / version, home / "bin" / "python3", home / "python.exe", home / "bin" / "python"):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    return sys.executable
