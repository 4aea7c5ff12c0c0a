"""Work in the background comes back on the thread that empties the mailbox, and nowhere else."""

from __future__ import annotations

import threading
import time

from AutofocusSegmentationLib.worker.mailbox import BUDGET, Mailbox


def empty_until_idle(mailbox: Mailbox, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while mailbox.busy:
        assert time.monotonic() < until, "the background work never came back"
        mailbox.empty()
        time.sleep(0.001)


def test_work_is_done_elsewhere_and_its_result_comes_back_here() -> None:
    mailbox, threads = Mailbox(), []

    def work() -> int:
        threads.append(threading.current_thread())
        return 42

    heard: list[tuple[int, threading.Thread]] = []
    mailbox.in_background(work, lambda result: heard.append((result, threading.current_thread())), heard.append)
    empty_until_idle(mailbox)
    assert heard == [(42, threading.current_thread())]
    assert threads[0] is not threading.current_thread()


def test_what_the_work_raises_comes_back_too() -> None:
    mailbox, faults = Mailbox(), []
    fault = ValueError("no")

    def work() -> None:
        raise fault

    mailbox.in_background(work, lambda result: None, faults.append)
    empty_until_idle(mailbox)
    assert faults == [fault]


def test_calls_come_in_the_order_in_which_they_were_posted() -> None:
    mailbox, heard = Mailbox(), []
    for number in range(5):
        mailbox.post(lambda number=number: heard.append(number))
    mailbox.empty()
    assert heard == [0, 1, 2, 3, 4]


def test_a_flood_of_slow_calls_does_not_hold_up_the_caller() -> None:
    mailbox = Mailbox()
    for _ in range(100):
        mailbox.post(lambda: time.sleep(0.01))
    started = time.monotonic()
    mailbox.empty()
    assert time.monotonic() - started < BUDGET + 0.05
    assert mailbox.busy
