"""Settings of a computing process that its libraries read when they are loaded: waiting threads, caches, memory.

Measured with `make soak` (500 volumes of random shapes) and on a busy machine; without them

* OpenMP's threads spin while they wait for each other: a hippocampus took up to 76 s where two processes shared two
  cores, and takes 6 to 8 s with threads that sleep;
* oneDNN keeps a compiled convolution for every shape that it has met, and the allocator keeps what was freed: a worker
  grew by 5 MiB with every new shape.

A program that uses `AutofocusCore` as a library sets these variables itself, before it imports torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys

VARIABLES = {
    "OMP_WAIT_POLICY": "PASSIVE",  # GNU's and LLVM's OpenMP
    "KMP_BLOCKTIME": "0",  # Intel's, which torch for Windows and macOS brings
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "64",  # torch's own table of oneDNN's convolutions
    "MALLOC_ARENA_MAX": "2",
}
M_ARENA_MAX = -8  # number of the option in glibc's mallopt, for processes that started without the variable


def prepare_process() -> None:
    """Set the variables that the user has not set; call it before torch is imported."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError, ValueError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, int(os.environ["MALLOC_ARENA_MAX"]))


def give_memory_back() -> None:
    """Return what a job has freed to the system; glibc would keep it for later."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
