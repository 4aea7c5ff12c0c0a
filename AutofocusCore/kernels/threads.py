"""Plain threads for the native code: each takes the next chunk of voxels until none is left.

The C functions run without Python's lock. PyTorch's own threads are not used: two runtimes whose threads wait in a busy
loop for one another make two cores slower than one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels.library import chosen_set

CHUNK = 1920
"""Voxels of a chunk: whole blocks of every C function, and about a millisecond's work."""

BLOCK = 120
"""Voxels that the C functions take at a time, or a multiple of it: a chunk of another size ends in a smaller block."""
SMALLEST_CHUNK = 240

_chosen: int | None = None


def set_threads(number: int | None) -> None:
    """Use ``number`` threads from now on; None: as many as PyTorch does.

    Raises:
        SettingError: for a number under one.
    """
    global _chosen
    if number is not None and number < 1:
        raise SettingError(f"{number} threads cannot compute", "give a number of at least 1")
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
    """A context in which PyTorch's own operations take one thread, and the native code as many as before.

    For runs that are mostly native code: PyTorch's second thread would go on waiting in a busy loop for a while after
    each small operation, and take a core from the native code. Without native code nothing changes.
    """
    global _chosen
    before, of_torch = _chosen, torch.get_num_threads()
    if chosen_set() is None or of_torch == 1:
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


def in_chunks(total: int, work: Callable[[int, int, int], None], chunk: int = CHUNK) -> int:
    """Call ``work(worker, first, last)`` for chunks that cover ``range(total)``, from several threads at a time.

    Returns:
        The number of workers, which are counted from 0; the calling thread is the first of them.
    """
    chunks = cut(total, threads(), chunk)
    workers = max(1, min(threads(), len(chunks)))
    upcoming = iter(chunks)  # next() on it is atomic

    def take(worker: int) -> None:
        for first, last in upcoming:
            work(worker, first, last)

    others = [_pool(workers - 1).submit(take, worker) for worker in range(1, workers)] if workers > 1 else []
    try:
        take(0)
    finally:
        for other in others:
            other.result()
    return workers
