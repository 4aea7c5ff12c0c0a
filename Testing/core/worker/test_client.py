"""The parent's end of a worker: how it is started, and that no process is left when it is ended."""

from __future__ import annotations

import math
import os
import queue
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from AutofocusCore.worker import client as worker_client
from AutofocusCore.worker.client import WorkerProcess
from Testing.waiting import alive, patience, wait_until

Start = Callable[..., WorkerProcess]
HANGS = 60.0  # seconds after which a process counts as hanging; it takes milliseconds


@pytest.fixture
def answers() -> Any:
    return queue.Queue()


@pytest.fixture
def start(answers: Any) -> Iterator[Start]:
    """Start workers that end with the test."""
    started: list[WorkerProcess] = []

    def begin(**options: Any) -> WorkerProcess:
        started.append(WorkerProcess(answers, threads=1, **options))
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()


def ask(worker: WorkerProcess, answers: Any, request: str) -> dict[str, Any]:
    worker.send({"id": request, "request": request})
    who, message = answers.get(timeout=patience())
    assert who is worker
    assert message is not None
    assert message["id"] == request, message
    return dict(message)


def tree_of(worker: WorkerProcess) -> list[psutil.Process]:
    root = psutil.Process(worker.process.pid)
    return [root, *root.children(recursive=True)]


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """A program that starts Python as a process of its own and waits for it, as Slicer's PythonSlicer does."""
    if os.name != "posix":
        pytest.skip("The launcher of this test is a shell script.")
    script = tmp_path / "launch python"
    script.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def test_a_launcher_an_environment_and_a_log_are_used(
    start: Start, answers: Any, launcher: Path, tmp_path: Path
) -> None:
    # A start-up file that says what the environment is, on stderr, and is noisy on stdout.
    code = "import os, sys; print('noise', flush=True); print(os.environ['GREETING'], file=sys.stderr, flush=True)"
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    log = tmp_path / "worker.log"
    environment = {"GREETING": "good evening", "PYTHONPATH": str(tmp_path)}
    worker = start(executable=launcher, environment=environment, log=log)
    hello = ask(worker, answers, "hello")
    assert hello["pid"] != worker.process.pid
    assert hello["pid"] in [process.pid for process in tree_of(worker)]
    worker.end()
    assert worker.exit_code == 0
    assert answers.get(timeout=HANGS) == (worker, None)
    assert "good evening" in log.read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="Only POSIX can stop a process.")
@pytest.mark.parametrize("launched", [False, True])
def test_a_worker_that_hears_nothing_is_gone_at_once_with_all_it_started(
    start: Start, answers: Any, launcher: Path, launched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_client.KILL_SECONDS == 2
    monkeypatch.setattr(worker_client, "KILL_SECONDS", HANGS)
    monkeypatch.setattr(worker_client, "QUIT_SECONDS", math.inf)  # it is not given time to end by itself
    worker = start(executable=launcher if launched else None)
    hello = ask(worker, answers, "hello")
    os.kill(hello["pid"], signal.SIGSTOP)
    processes = tree_of(worker)
    assert len(processes) == 1 + launched
    worker.kill()
    assert worker.process.returncode is not None, "it returns when the process is gone"
    wait_until(lambda: not alive(processes))
    assert answers.get(timeout=HANGS) == (worker, None)
    worker.kill()  # again: nothing happens, nor to any other process that has the number now


@pytest.mark.skipif(os.name != "posix", reason="Only POSIX can stop a process.")
def test_what_a_launcher_that_was_killed_has_left_behind_is_ended_too(
    start: Start, answers: Any, launcher: Path
) -> None:
    worker = start(executable=launcher)
    hello = ask(worker, answers, "hello")
    os.kill(hello["pid"], signal.SIGSTOP)
    worker.process.kill()
    worker.process.wait()
    python = psutil.Process(hello["pid"])
    assert alive([python])
    worker.kill()
    wait_until(lambda: not alive([python]))


@pytest.mark.skipif(os.name != "posix", reason="Only POSIX can stop a process.")
def test_ending_politely_falls_back_to_killing(
    start: Start, answers: Any, launcher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_client, "QUIT_SECONDS", 0.2)
    worker = start(executable=launcher)
    os.kill(ask(worker, answers, "hello")["pid"], signal.SIGSTOP)
    processes, waits, wait = tree_of(worker), [], worker.process.wait

    def noted(seconds: float | None = None) -> int:
        waits.append(seconds)
        return wait(seconds)

    monkeypatch.setattr(worker.process, "wait", noted)
    worker.end()
    assert waits == [worker_client.QUIT_SECONDS, worker_client.KILL_SECONDS]
    wait_until(lambda: not alive(processes))


def test_an_executable_that_is_not_there_is_an_error_at_once(tmp_path: Path, answers: Any) -> None:
    with pytest.raises(OSError, match="PythonSlicer"):
        WorkerProcess(answers, executable=tmp_path / "PythonSlicer")
