"""Chunks of voxels on plain threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from AutofocusCore.kernels import set_threads
from AutofocusCore.kernels.threads import in_chunks


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    set_threads(2)
    yield
    set_threads(None)


def covered(total: int) -> list[int]:
    seen: list[int] = []
    in_chunks(total, lambda _, first, last: seen.extend(range(first, last)))
    return sorted(seen)


@pytest.mark.parametrize("total", [0, 1, 59, 61, 121, 5000])
def test_the_chunks_cover_every_voxel_once(total: int) -> None:
    assert covered(total) == list(range(total))


def test_a_failure_in_any_thread_reaches_the_caller() -> None:
    def fail(worker: int, first: int, last: int) -> None:
        raise MemoryError("no memory")

    with pytest.raises(MemoryError, match="no memory"):
        in_chunks(5000, fail)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system cannot fork a process.")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    covered(5000)  # the threads of this process are running
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if covered(5000) == list(range(5000)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
