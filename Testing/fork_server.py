"""Python processes for tests that start with torch loaded, which takes a new interpreter one and a half seconds.

A server imports torch and the engine once and forks itself for each process, which then has its own pid, session,
pipes, signals and exit status, as one from `subprocess.Popen`. The workers that such a process starts are forked from
it and are its children. Only the start of all these is not real; `test_protocol.py` and the tests of the command line
cover that. Where forking is not possible, `start` falls back to `subprocess.Popen`.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from Testing.waiting import patience

ROOT = Path(__file__).resolve().parents[1]
POSSIBLE = hasattr(os, "fork") and sys.platform.startswith("linux")
PRELOADED = (
    "AutofocusCore.segmentation", "AutofocusCore.inference", "AutofocusCore.jobs.run", "AutofocusCore.models",
    "AutofocusCore.batch.run",
)  # fmt: skip
TRAINING = ["Training.train", "torch._dynamo"]
"""What a training run needs besides; PyTorch's optimizers load its compiler."""
LARGEST_MESSAGE = 1 << 20


class ForkedProcess:
    """The part of `subprocess.Popen` that the tests need. `python` is a module (-m) or code (-c), and its arguments.

    Its pipes carry bytes, or text if an `encoding` is given.
    """

    def __init__(self, server: ForkServer, python: list[str], **options: Any) -> None:
        ends: dict[str, int] = {}
        given: list[int] = []
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            wanted = options.get(name)
            if wanted == subprocess.PIPE:
                read, write = os.pipe()
                ends[name], own = (write, read) if number == 0 else (read, write)
                given.append(own)
            elif wanted == subprocess.DEVNULL:
                given.append(os.open(os.devnull, os.O_RDWR))
            else:
                given.append(os.dup(number if wanted is None else wanted.fileno()))
        encoding = options.get("encoding")
        kind = "" if encoding else "b"
        self.stdin = os.fdopen(ends["stdin"], f"w{kind}", encoding=encoding) if "stdin" in ends else None
        self.stdout = os.fdopen(ends["stdout"], f"r{kind}", encoding=encoding) if "stdout" in ends else None
        self.stderr = os.fdopen(ends["stderr"], f"r{kind}", encoding=encoding) if "stderr" in ends else None
        self._server = server
        self.returncode: int | None = None
        cwd = os.fspath(options.get("cwd") or Path.cwd())
        environment = options.get("env") or dict(os.environ)
        request = {"python": python, "env": environment, "cwd": cwd, "preload": options.get("preload", [])}
        self.pid = server.fork(request, given)
        for descriptor in given:
            os.close(descriptor)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ended.get(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._server.changed:
            if not self._server.changed.wait_for(lambda: self.pid in self._server.ended, timeout):
                raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """The rest of what it writes to stdout and stderr, when it has ended; stdin is closed."""
        if self.stdin is not None:
            self.stdin.close()
        with ThreadPoolExecutor(2) as readers:
            said = [None if pipe is None else readers.submit(pipe.read) for pipe in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        return tuple(None if text is None else text.result() for text in said)  # type: ignore[return-value]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The server, seen from the tests. It ends when this process does, as its channel closes."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        with theirs:
            command = [sys.executable, "-m", "Testing.fork_server", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
        self.ended: dict[int, int] = {}
        self.changed = threading.Condition()
        self._started: list[int] = []
        self._one_at_a_time = threading.Lock()
        threading.Thread(target=self._listen, daemon=True, name="fork server").start()

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        with self._one_at_a_time, self.changed:
            socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)
            assert self.changed.wait_for(lambda: self._started, patience()), "the fork server does not answer"
            return self._started.pop()

    def _listen(self) -> None:
        while data := self._channel.recv(LARGEST_MESSAGE):
            message = json.loads(data)
            with self.changed:
                if "started" in message:
                    self.ended.pop(message["started"], None)  # of an older process with the same number
                    self._started.append(message["started"])
                else:
                    self.ended[message["ended"]] = message["status"]
                self.changed.notify_all()


_server: ForkServer | None = None


def start(command: list[str], **options: Any) -> Any:
    """As `subprocess.Popen` of this Python; `command` is [sys.executable, "-m" or "-c", …].

    The option `preload` lists modules that the server imports before it forks, if it has not yet.
    """
    global _server
    if not POSSIBLE or command[0] != sys.executable:
        options.pop("preload", None)
        return subprocess.Popen(command, **options)
    if _server is None:
        _server = ForkServer()
    return ForkedProcess(_server, command[1:], **options)


def run(
    command: list[Any], *, cwd: Path, env: dict[str, str], encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of this Python, with its output as text."""
    words = [os.fsdecode(word) for word in command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start(words, cwd=cwd, env=env, encoding=encoding, **pipes)
    out, errors = process.communicate(timeout=patience())
    return subprocess.CompletedProcess(words, process.returncode, out, errors)


def _fork_workers() -> None:
    """Workers that this process starts are forks of it.

    `subprocess.Popen` makes pipes, session and process as always; the new process then runs the worker instead of
    executing a new Python.
    """
    from AutofocusCore.worker import client

    def popen(command: list[str], *, env: dict[str, str], **options: Any) -> Any:
        request = {"python": command[1:], "env": env, "cwd": str(Path.cwd())}
        return subprocess.Popen(command, env=env, preexec_fn=lambda: _become(request), **options)

    client.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": popen})  # type: ignore[assignment]


def _serve(channel: socket.socket) -> None:
    from importlib import import_module

    for module in PRELOADED:
        import_module(module)
    _fork_workers()
    while True:
        ready, _, _ = select.select([channel], [], [], 0.02)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                message = {"ended": found[0], "status": os.waitstatus_to_exitcode(found[1])}
                channel.send(json.dumps(message).encode())
        if not ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(channel, LARGEST_MESSAGE, 3)
        if not data:
            return
        request = json.loads(data)
        for module in request["preload"]:
            import_module(module)
        pid = os.fork()
        if pid == 0:
            channel.close()
            os.setsid()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            _become(request)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(json.dumps({"started": pid}).encode())


def _become(request: dict[str, Any]) -> None:
    """Run the module or code in this process, whose first three descriptors are its pipes, then end it."""
    status = 1
    try:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # New streams: a thread of the parent may have held the lock of the old ones.
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        stderr = {"encoding": "utf-8", "errors": "backslashreplace", "buffering": 1}
        sys.stderr = open(2, "w", closefd=False, **stderr)  # type: ignore[call-overload]  # noqa: SIM115
        tempfile.tempdir = None  # which the server may have found already
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        how, what, *arguments = request["python"]
        sys.argv = [what if how == "-m" else how, *arguments]
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
