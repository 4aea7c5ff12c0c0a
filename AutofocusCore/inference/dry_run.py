"""What a forward pass will take, found out on tensors that have shapes but no values.

Every operation that PyTorch carries out is watched: what it allocates, for how long that lives, and how often a
convolution multiplies. The network runs on the device "meta", which computes nothing, so a volume of any size takes
no memory and hardly any time.
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
    """What a computation takes.

    Attributes:
        peak_bytes: the most that its tensors hold at a time, its input included, its weights not.
        work: multiplications of each of its steps.
    """

    peak_bytes: int
    work: tuple[int, ...]


class Watch(TorchDispatchMode):
    """Counts the bytes that are held, the most of them, and the multiplications of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.peak = 0
        self.multiplications = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Carry out an operation and take note of what it made."""
        result = function(*args, **(kwargs or {}))
        beside = 0
        if function.overloadpacket is torch.ops.aten.convolution:
            self.multiplications += result.numel() * args[1][0].numel()
            # Convolution libraries bring input and output into an order of their own.
            beside = _bytes(args[0]) + _bytes(result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.note(leaf)
        self.peak = max(self.peak, self.held + beside)
        return result

    def note(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, until nobody holds it any more."""
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, count: int) -> None:
        self.held -= count


def watch(steps: Callable[[Tensor], Iterator[object]], shape: Sequence[int], dtype: torch.dtype) -> Effort:
    """Run the steps of a network, which is on the device "meta", for an input of ``shape``.

    Args:
        steps: begins the computation for an input.
        shape: (B, C, ...).
        dtype: of the input.
    """
    work = []
    with torch.no_grad(), Watch() as watched:
        x = torch.empty(tuple(shape), dtype=dtype, device="meta")
        watched.note(x)
        running = iter(steps(x))
        del x
        while True:
            before = watched.multiplications
            done = next(running, running)
            work.append(watched.multiplications - before)
            if done is running:
                break
    return Effort(watched.peak, tuple(work))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
