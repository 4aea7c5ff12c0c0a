"""Chunks of voxels on plain threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import torch

from AutofocusCore.kernels import native_kernel, set_threads, threads, torch_on_one_thread
from AutofocusCore.kernels.threads import BLOCK, CHUNK, cut, in_chunks


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


def test_chunks_get_smaller_at_the_end_and_are_whole_blocks() -> None:
    sizes = [last - first for first, last in cut(20_000, 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == CHUNK
    assert all(size % BLOCK == 0 for size in sizes[:-1])
    assert sizes[-1] <= 2 * BLOCK


@pytest.mark.skipif(native_kernel() is None, reason="Without a kernel PyTorch keeps its threads.")
def test_pytorch_takes_one_thread_beside_the_kernel_and_gets_its_own_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        set_threads(None)
        with torch_on_one_thread():
            inside = torch.get_num_threads(), threads()
        assert inside == (1, 2)
        assert (torch.get_num_threads(), threads()) == (2, 2)
    finally:
        torch.set_num_threads(before)


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
