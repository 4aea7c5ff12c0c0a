"""The panel's worker: real processes that are asked, cancelled, killed and started again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
from AutofocusSegmentationLib.worker.session import WorkerSession

from AutofocusCore.worker.client import WorkerProcess
from Testing.waiting import wait_until


class Heard:
    """The answers to one request."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    def callbacks(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"on_result": self.results.append, "on_error": self.errors.append}

    @property
    def any(self) -> bool:
        return bool(self.results or self.errors)


pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def main_thread() -> MainThreadQueue:
    return MainThreadQueue()


@pytest.fixture
def session(main_thread: MainThreadQueue) -> Iterator[WorkerSession]:
    session = WorkerSession(main_thread, on_log=lambda line: None)
    yield session
    session.close()


def wait(main_thread: MainThreadQueue, until: Callable[[], bool]) -> None:
    wait_until(until, meanwhile=main_thread.empty)


def test_asking_does_not_wait_for_the_answer(session: WorkerSession, main_thread: MainThreadQueue) -> None:
    heard = Heard()
    session.request("hello", **heard.callbacks())
    assert not heard.any
    wait(main_thread, lambda: heard.any)
    assert heard.results[0]["pid"] == session.pid


def test_the_process_stays_for_the_next_request(session: WorkerSession, main_thread: MainThreadQueue) -> None:
    first, second = Heard(), Heard()
    session.request("models", **first.callbacks())
    wait(main_thread, lambda: first.any)
    pid = session.pid
    session.request("models", **second.callbacks())
    wait(main_thread, lambda: second.any)
    assert session.pid == pid
    assert {model["name"] for model in second.results[0]["models"]} >= {"pelvis-phantom", "hippocampus-mr"}


def test_a_refused_request_comes_back_as_an_error_with_a_remedy(
    session: WorkerSession, main_thread: MainThreadQueue
) -> None:
    heard = Heard()
    session.request("card", model="no-such-model", **heard.callbacks())
    wait(main_thread, lambda: heard.any)
    assert heard.errors[0]["code"] == "model"
    assert heard.errors[0]["remedy"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="There is no SIGKILL on this system.")
def test_a_killed_process_answers_for_what_it_was_asked_and_the_next_request_works(
    session: WorkerSession, main_thread: MainThreadQueue
) -> None:
    first, orphan, next_one = Heard(), Heard(), Heard()
    session.request("hello", **first.callbacks())
    wait(main_thread, lambda: first.any)
    os.kill(first.results[0]["pid"], signal.SIGSTOP)
    session.request("models", **orphan.callbacks())
    os.kill(first.results[0]["pid"], signal.SIGKILL)
    wait(main_thread, lambda: orphan.any)
    assert orphan.errors[0]["code"] == "worker"
    assert "SIGKILL" in orphan.errors[0]["cause"]
    session.request("models", **next_one.callbacks())
    wait(main_thread, lambda: next_one.any)
    assert next_one.results


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="There is no SIGSTOP on this system.")
def test_cancelling_leaves_no_process_and_no_folder_even_of_one_that_hears_nothing(
    session: WorkerSession, main_thread: MainThreadQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, waiting = Heard(), Heard()
    session.request("hello", **first.callbacks())
    wait(main_thread, lambda: first.any)
    pid, folder = first.results[0]["pid"], session.folder
    os.kill(pid, signal.SIGSTOP)
    session.request("models", **waiting.callbacks())
    killing, kill = threading.Event(), WorkerProcess.kill

    def kill_later(process: WorkerProcess) -> None:
        killing.wait()
        kill(process)

    monkeypatch.setattr(WorkerProcess, "kill", kill_later)
    session.cancel()  # would wait for ever if the panel waited for the process
    wait(main_thread, lambda: waiting.any)
    assert waiting.errors[0]["code"] == "cancelled"
    killing.set()
    wait(main_thread, lambda: not psutil.pid_exists(pid) and not folder.exists())


def test_closing_calls_nobody_back(session: WorkerSession, main_thread: MainThreadQueue) -> None:
    heard = Heard()
    session.request("models", **heard.callbacks())
    session.close()
    main_thread.empty()
    assert not heard.any
