"""Plain threads for the kernels: each takes the next chunk of voxels until none is left.

C functions and PyTorch's operations run without Python's lock. PyTorch's own threads are not used: they synchronise
after every operation and wait for one another in a busy loop. That takes the cores from the native code, and on a busy
computer each of thousands of small operations waits until the system has run all threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch

from AutofocusCore.errors import SettingError

CHUNK = 1920
"""Voxels of a chunk: whole blocks of every C function, and about a millisecond's work."""

BLOCK = 120
"""Voxels that the C functions take at a time, or a multiple of it: a chunk of another size ends in a smaller block."""
SMALLEST_CHUNK = 240

_chosen: int | None = None


def set_threads(number: int | None) -> None:
    """Use ``number`` threads from now on; None: as many as PyTorch does.

    Raises:
        SettingError: for anything but a whole number from one up.
    """
    global _chosen
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
        raise SettingError(f"{number!r} threads cannot compute", "give a whole number of at least 1, or None")
    _chosen = number


def threads() -> int:
    """The number of threads in use."""
    return torch.get_num_threads() if _chosen is None else _chosen


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="autofocus-kernel")


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads, and must start its own
    os.register_at_fork(after_in_child=_pool.cache_clear)


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """A context in which each operation of PyTorch takes one thread, and :func:`in_chunks` as many as before."""
    global _chosen
    before, of_torch = _chosen, torch.get_num_threads()
    if of_torch == 1:
        yield
        return
    _chosen = threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(of_torch)
        _chosen = before


def cut(total: int, workers: int, chunk: int = CHUNK) -> list[tuple[int, int]]:
    """Chunks that cover ``range(total)``, smaller ones at the end, so that all workers end at nearly the same time."""
    chunks, first = [], 0
    while first < total:
        size = min(chunk, max((total - first) // (2 * workers), SMALLEST_CHUNK))
        size = -(-size // BLOCK) * BLOCK
        chunks.append((first, min(total, first + size)))
        first += size
    return chunks


def in_chunks(total: int, work: Callable[[int, int, int], None], chunk: int = CHUNK, *, fixed: bool = False) -> int:
    """Call ``work(worker, first, last)`` for chunks that cover ``range(total)``, from several threads at a time.

    Args:
        fixed: each worker always gets the same chunks, not the next one when it is done. For work that adds to sums of
            its worker: they would otherwise be rounded differently in each run, as threads are faster or slower.

    Returns:
        The number of workers, which are counted from 0; the calling thread is the first of them.
    """
    chunks = cut(total, threads(), chunk)
    workers = max(1, min(threads(), len(chunks)))
    upcoming = iter(chunks)  # next() on it is atomic

    def take(worker: int) -> None:
        for first, last in chunks[worker::workers] if fixed else upcoming:
            work(worker, first, last)

    others = [_pool(workers - 1).submit(take, worker) for worker in range(1, workers)] if workers > 1 else []
    try:
        take(0)
    finally:
        for other in others:
            other.result()
    return workers


def in_torch_chunks(total: int, work: Callable[[int, int, int], None], chunk: int, *, fixed: bool = False) -> int:
    """:func:`in_chunks` for work in PyTorch, without gradients: each thread runs its operations alone."""
    inference = torch.is_inference_mode_enabled()  # a thread's own setting, as are its gradients and its threads

    def alone(worker: int, first: int, last: int) -> None:
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        with torch.inference_mode(inference), torch.no_grad():
            work(worker, first, last)

    with torch_on_one_thread():
        return in_chunks(total, alone, chunk, fixed=fixed)
