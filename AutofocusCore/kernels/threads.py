"""Plain threads for the native code: each takes the next chunk of voxels until none is left.

The C functions run without Python's lock. PyTorch's own threads are not used: two runtimes whose threads wait in a busy
loop for one another make two cores slower than one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count

import torch

from AutofocusCore.errors import SettingError

CHUNK = 1920
"""Voxels of a chunk: whole blocks of every C function, and about a millisecond's work."""

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


def in_chunks(total: int, work: Callable[[int, int, int], None], chunk: int = CHUNK) -> int:
    """Call ``work(worker, first, last)`` for chunks that cover ``range(total)``, from several threads at a time.

    Returns:
        The number of workers, which are counted from 0; the calling thread is the first of them.
    """
    chunk = chunk if total > chunk * threads() else max(60, total // threads() + 1)
    workers = max(1, min(threads(), -(-total // chunk)))
    upcoming = count(0, chunk)  # next() on it is atomic

    def take(worker: int) -> None:
        while (first := next(upcoming)) < total:
            work(worker, first, min(total, first + chunk))

    others = [_pool(workers - 1).submit(take, worker) for worker in range(1, workers)] if workers > 1 else []
    try:
        take(0)
    finally:
        for other in others:
            other.result()
    return workers
