"""Memory and multiplications of a forward pass, measured on tensors that have shapes but no values.

The network runs on the device "meta", which computes nothing, so a volume of any size takes no memory and hardly any
time. A tracker sees every operation of PyTorch: what it allocates, how long that is in use, and how many
multiplications a convolution takes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Effort:
    """Memory and multiplications of a computation.

    Attributes:
        peak_bytes: the largest sum of its tensors at any time, with its input, without its weights.
        work: multiplications of each of its steps.
    """

    peak_bytes: int
    work: tuple[int, ...]


class MemoryTracker(TorchDispatchMode):
    """Tracks the bytes in use, their maximum, and the multiplications of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.peak = 0
        self.multiplications = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count the tensors that it made."""
        result = function(*args, **(kwargs or {}))
        temporary = 0
        if function.overloadpacket is torch.ops.aten.convolution:
            self.multiplications += result.numel() * args[1][0].numel()
            # Convolution libraries copy input and output into a memory layout of their own.
            temporary = _bytes(args[0]) + _bytes(result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        self.peak = max(self.peak, self.held + temporary)
        return result

    def count(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, until it is freed."""
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, count: int) -> None:
        self.held -= count


def measure_effort(steps: Callable[[Tensor], Iterator[object]], shape: Sequence[int], dtype: torch.dtype) -> Effort:
    """Memory and multiplications of a network on the device "meta", for an input of ``shape``.

    Args:
        steps: starts the computation for an input, and yields after each step.
        shape: (B, C, ...).
        dtype: of the input.
    """
    work = []
    with torch.no_grad(), MemoryTracker() as tracker:
        x = torch.empty(tuple(shape), dtype=dtype, device="meta")
        tracker.count(x)
        running = iter(steps(x))
        del x
        while True:
            before = tracker.multiplications
            done = next(running, running)
            work.append(tracker.multiplications - before)
            if done is running:
                break
    return Effort(tracker.peak, tuple(work))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
