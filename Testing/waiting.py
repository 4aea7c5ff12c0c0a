"""Waits for events, such as what other processes do. How long that takes depends on how busy the computer is.

A time limit only ends a test whose event never comes; no test measures anything by it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable

import psutil

SECONDS = 50.0
"""After which something counts as never happening; most of it takes milliseconds. A test has 60 seconds."""


def load() -> float:
    """How many times as much as its processors can do the computer has to do, by the last minute; at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if hasattr(os, "getloadavg") else 1.0


def patience(seconds: float = 60.0) -> float:
    """Seconds to wait for an event that comes within far less than these `seconds` on a quiet computer."""
    return seconds * load()


def wait_until(
    condition: Callable[[], object], seconds: float = SECONDS, *, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Return when a condition holds.

    Args:
        condition: what is waited for.
        seconds: within which it holds on a quiet computer.
        meanwhile: called between looks, such as what takes events out of a queue.

    Raises:
        AssertionError: it does not within `seconds`, or longer on a busy computer.
    """
    end = time.monotonic() + patience(seconds)
    while not condition():
        assert time.monotonic() < end, f"It did not happen in {seconds} s."
        meanwhile()
        time.sleep(0.01)


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of the processes that run.

    A process that has ended stays in the system's table until its parent asks how it ended. That of an orphan is
    process 1, which in a container may take long, or never ask.
    """
    running = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends at this moment
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def command_of(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended or belongs to someone else."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def environment_of(process: psutil.Process) -> dict[str, str]:
    """The environment in which a process was started; empty if it has ended or belongs to someone else."""
    with contextlib.suppress(psutil.Error):
        return process.environ()
    return {}
