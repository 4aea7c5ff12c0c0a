"""Work in the background comes back on the thread that empties the queue, and nowhere else."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from AutofocusSegmentationLib.worker import main_thread_queue
from AutofocusSegmentationLib.worker.main_thread_queue import BUDGET, MainThreadQueue

from Testing.waiting import wait_until


def empty_until_idle(main_thread: MainThreadQueue) -> None:
    wait_until(lambda: not main_thread.busy, meanwhile=main_thread.empty)


def test_work_is_done_elsewhere_and_its_result_comes_back_here() -> None:
    main_thread, threads = MainThreadQueue(), []

    def work() -> int:
        threads.append(threading.current_thread())
        return 42

    heard: list[tuple[int, threading.Thread]] = []
    main_thread.in_background(work, lambda result: heard.append((result, threading.current_thread())), heard.append)
    empty_until_idle(main_thread)
    assert heard == [(42, threading.current_thread())]
    assert threads[0] is not threading.current_thread()


def test_what_the_work_raises_comes_back_too() -> None:
    main_thread, faults = MainThreadQueue(), []
    fault = ValueError("no")

    def work() -> None:
        raise fault

    main_thread.in_background(work, lambda result: None, faults.append)
    empty_until_idle(main_thread)
    assert faults == [fault]


def test_calls_come_in_the_order_in_which_they_were_posted() -> None:
    main_thread, heard = MainThreadQueue(), []
    for number in range(5):
        main_thread.post(lambda number=number: heard.append(number))
    main_thread.empty()
    assert heard == [0, 1, 2, 3, 4]


def test_a_flood_of_slow_calls_does_not_hold_up_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    main_thread, now = MainThreadQueue(), [0.0]
    monkeypatch.setattr(main_thread_queue, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=None))

    def call() -> None:
        now[0] += 0.008

    for _ in range(100):
        main_thread.post(call)
    main_thread.empty()
    assert BUDGET <= now[0] < BUDGET + 0.008
    assert main_thread.busy
