"""Measures the run time and peak memory of a function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil
import torch

INTERVAL = 0.002
"""Seconds between two measurements of the process's memory."""


def measure(run: Callable[[], object], device: str) -> tuple[float, int]:
    """Seconds, and peak memory above the memory before, in bytes; on a GPU, the peak of the GPU's memory."""
    process, over = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not over.wait(INTERVAL):
            peak = max(peak, process.memory_info().rss)

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        started = time.perf_counter()
        run()
        synchronise(device)
        seconds = time.perf_counter() - started
    finally:
        over.set()
        watcher.join()
    return seconds, torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else peak - before


def synchronise(device: str) -> None:
    """Wait until a GPU has finished; the CPU always has."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
