"""One convolution over blended inputs in place of K: layers whose branches share one BatchNorm, ``norm="fused"``.

With shared weights and one scale for all rates, the weighted sum may be drawn into the convolution, tap by tap t:

    sum_k share_k(x) sum_t W_t F(x + r_k t)  =  sum_t W_t [ sum_k share_k(x) F(x + r_k t) ]

The brackets, 27 blended features for each voxel, are filled in by a compiled loop, some thousand voxels at a time so
that they stay in the processor's cache; what is left is one matrix product, with K times fewer multiplications.
PyTorch has no operation that blends fast enough for this to pay, so the loop is numba's; without numba, or on other
devices, the K convolutions are computed one by one.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from AutofocusCore.inference.autofocus import Autofocus
from AutofocusCore.inference.boxes import Box, Window, place, shape_of

TAPS = 27
CHUNK = 512  # voxels that are blended at a time
EFFORT = 10  # multiplications of a matrix product that take as long as one of the blending
MOST_RATES, FEWEST_CHANNELS = 4, 16  # of the compiled loop


@dataclass(frozen=True, kw_only=True)
class BlendedAutofocus(Autofocus):
    """An autofocus layer as one matrix product for each voxel, over 27 features that are blended by attention.

    Args:
        weight: (27 C + K, O) of :func:`product_weight`.
    """

    weight: Tensor

    def blend(self, window: Window, box: Box, attention: Tensor, out: Tensor) -> None:
        blend = compiled_loop()
        source, size, threads = window.tensor, shape_of(box), torch.get_num_threads()
        features, (*steps, channel_step) = _flat(source[0].permute(1, 2, 3, 0))
        assert channel_step == 1, "channels lie together"
        shares, share_steps = _flat(_padded(attention[0]))
        rates = (*self.rates, *(MOST_RATES - len(self.rates)) * (1,))
        corner = tuple(start - low for (start, _), (low, _) in zip(box, window.box, strict=True))
        room = self.weight.new_empty((_chunk(box), len(self.weight)))
        flat_room, (length, _) = _flat(room)

        def fill(executor: Executor | None, first: int, last: int) -> None:
            edges = np.linspace(first, last, threads + 1).astype(int).tolist()
            parts = [
                (
                    features, (*steps, source.shape[1]), tuple(source.shape[2:]), corner, shares, share_steps, rates,
                    size, start, stop, flat_room[(start - first) * size[2] * length :], length,
                )
                for start, stop in itertools.pairwise(edges)
                if start < stop
            ]  # fmt: skip
            if executor is None:
                blend(*parts[0])
            else:
                list(executor.map(lambda part: blend(*part), parts))

        with nullcontext() if threads == 1 else ThreadPoolExecutor(threads) as executor:
            for first, last, piece in _chunks(box):
                fill(executor, first, last)
                inputs = room[: (last - first) * size[2]]
                inputs[:, -len(self.rates) :] = place(piece, attention, box)[0].flatten(1).t()
                target = place(piece, out, box)[0].permute(1, 2, 3, 0)
                if target.is_contiguous():
                    torch.mm(inputs, self.weight, out=target.view(len(inputs), -1))
                else:
                    target.copy_(torch.mm(inputs, self.weight).view(target.shape))

    def blending_workspace(self, box: Box, itemsize: int) -> int:
        return _chunk(box) * sum(self.weight.shape) * itemsize

    def blending_multiplications(self) -> int:
        return self.weight.numel() + EFFORT * len(self.weight) * len(self.rates)


@functools.cache
def compiled_loop() -> Any:
    """The function that blends, to be compiled at its first call; None where numba is not there or does not work."""
    try:
        from AutofocusCore.inference.blending_kernel import blend
    except Exception as error:  # numba refuses in many ways: versions of NumPy, folders that it cannot write to
        logging.getLogger(__name__).info("Inputs are not blended first: %s", error)
        return None
    return blend


def can_blend(weight: Tensor, rates: Sequence[int]) -> bool:
    """Whether the inputs of a convolution (O, C, 3, 3, 3) at these rates can be blended first."""
    return weight.shape[1] >= FEWEST_CHANNELS and len(rates) <= MOST_RATES and compiled_loop() is not None


def pays_off(device: str, dtype: torch.dtype) -> bool:
    """Whether inputs are blended first where they can be: on the CPU, as measured by ``make bench``."""
    return device == "cpu" and dtype in (torch.float32, torch.bfloat16)


def product_weight(weight: Tensor, biases: Tensor) -> Tensor:
    """The weight (27 C + K, O) of the matrix product.

    Args:
        weight: (O, C, 3, 3, 3), folded.
        biases: (K, O), of each rate: weighed by attention as the features are, their shares being further inputs.
    """
    return torch.cat([weight.permute(2, 3, 4, 1, 0).reshape(-1, weight.shape[0]), biases])


def _padded(attention: Tensor) -> Tensor:
    """Shares (4, d, h, w); rates that are not there have none."""
    missing = MOST_RATES - len(attention)
    return torch.cat([attention, attention.new_zeros((missing, *attention.shape[1:]))]) if missing else attention


def _flat(tensor: Tensor) -> tuple[NDArray[Any], tuple[int, ...]]:
    """The memory of a tensor from its first value on, as one axis, and its strides; bfloat16 as its 16 bits."""
    span = 1 + sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride(), strict=True))
    line = tensor.as_strided((span,), (1,))
    if tensor.dtype == torch.bfloat16:
        return line.view(torch.int16).numpy().view(np.uint16), tensor.stride()
    return line.numpy(), tensor.stride()


def _chunk(box: Box) -> int:
    """Voxels of the largest chunk of a box: whole rows of one plane, one or more for each thread."""
    _, height, width = shape_of(box)
    return min(height, max(torch.get_num_threads(), CHUNK // width)) * width


def _chunks(box: Box) -> Iterator[tuple[int, int, Box]]:
    """A box in chunks: its first row and the one after its last, counted through all planes, and its own box."""
    (front, back), (top, bottom), columns = box
    rows = _chunk(box) // (columns[1] - columns[0])
    for plane in range(front, back):
        for row in range(top, bottom, rows):
            stop = min(row + rows, bottom)
            before = (plane - front) * (bottom - top) - top
            yield before + row, before + stop, ((plane, plane + 1), (row, stop), columns)
