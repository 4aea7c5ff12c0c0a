"""Convolutions with a third fewer multiplications: minimal filtering along the axis of the stream.

Two planes of a result that lie one dilation rate apart read four planes of the input between them, i0 to i3, each one
rate after the other. With the kernel's own planes g0, g1, g2, and * a two-dimensional convolution at the same rate:

    m0 = (i0 - i2) * g0                      i0  i1  i2  i3
    m1 = (i1 + i2) * (g0 + g1 + g2) / 2       '---+---'   |      nearer plane  = m0 + m1 + m2
    m2 = (i2 - i1) * (g0 - g1 + g2) / 2           '---+---'      farther plane = m1 - m2 - m3
    m3 = (i1 - i3) * g2

Four convolutions replace six, and the sums around them are computed while the planes are still in the processor's
cache. The result is exact except for rounding: in float32 it is as accurate as the plain convolution; in bfloat16,
which rounds the sums of planes as well, the error is about twice as large.

Source: S. Winograd, Arithmetic Complexity of Computations, SIAM 1980, F(2, 3); A. Lavin and S. Gray, Fast Algorithms
for Convolutional Neural Networks, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.inference.boxes import Box, Interval, Window, input_of, place, voxels, with_planes

AnyWeights = TypeVar("AnyWeights", bound="Weights")
Kernels = tuple[Tensor, Tensor, Tensor, Tensor]

CHUNK = 40_000  # voxels of a plane, or of several together, that are filtered at a time
FEWEST_VOXELS = 1024  # with fewer, starting eight small computations costs more than it saves
FEWEST_CHANNELS = 8


@dataclass(frozen=True)
class Weights:
    """Base class of operations: immutable tensors that are converted to another precision together."""

    exact: ClassVar[tuple[str, ...]] = ()  # fields that stay in float32 in every precision

    def to(self: AnyWeights, dtype: torch.dtype) -> AnyWeights:
        """A copy with all tensors in ``dtype``, except those in ``exact``."""
        names = [field.name for field in fields(self) if field.name not in self.exact]
        return replace(self, **{name: _cast(getattr(self, name), dtype) for name in names})


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, (Tensor, Weights)):
        return value.to(dtype)
    if isinstance(value, tuple):
        return tuple(_cast(item, dtype) for item in value)
    return value


@dataclass(frozen=True)
class Filter(Weights):
    """A 3x3x3 convolution, with the BatchNorm after it folded into its weights.

    Args:
        weight: (O, C, 3, 3, 3), folded.
        bias: (O,) or None.
        rate: dilation rate.
        minimal: the four kernels (O, C, 3, 3) of :func:`minimal_kernels`; None for a plain convolution.
    """

    weight: Tensor
    bias: Tensor | None
    rate: int
    minimal: Kernels | None = None

    def __call__(self, window: Window, box: Box, out: Tensor) -> None:
        """Fill ``out`` (1, O, d, h, w) with the features of ``box``; voxels outside the window are zero."""
        for planes, features in self.parts(window, box):
            place(with_planes(box, planes), out, box).copy_(features)
            del features

    def parts(self, window: Window, box: Box) -> Iterator[tuple[Interval, Tensor]]:
        """The features of ``box`` in parts, in any order: the planes of a part, and its tensor (1, O, d, h, w).

        A loop over the parts deletes each at its end; otherwise it stays in memory while the next one is computed.
        """
        (start, stop), rows, columns = box
        low, high = window.box[0]
        plane = voxels(with_planes(box, (0, 1)))
        if self._takes_two(box) and low <= start - self.rate and stop + self.rate <= high:
            at_once = max(1, CHUNK // plane)
            for first, count in pairs(start, stop, self.rate, at_once):
                near, far = self._pair(window, with_planes(box, (first, first + count)))
                yield (first, first + count), near
                del near  # the next parts take its memory
                yield (first + self.rate, first + self.rate + count), far
                del far
            start, stop = unpaired(start, stop, self.rate)
        if start < stop:
            rest = (start, stop)
            yield rest, window.convolve((rest, rows, columns), self.weight, self.bias, self.rate)

    def _pair(self, window: Window, box: Box) -> tuple[Tensor, Tensor]:
        """The features of the planes of ``box``, and of those one rate after them."""
        assert self.minimal is not None
        (first, last), rows, columns = box
        source, (_, *around) = window.reached(((first, last + self.rate), rows, columns), self.rate)
        even = all(before == after for before, after in around)
        (top, bottom), (left, right) = around
        source = source[0].permute(1, 2, 3, 0)  # planes, rows, columns, channels
        inputs = [source[k * self.rate :][: last - first] for k in range(4)]
        count, height, width, channels = inputs[0].shape
        if even:
            mixed = inner = source.new_empty(inputs[0].shape)
        else:
            mixed = source.new_zeros((count, top + height + bottom, left + width + right, channels))
            inner = mixed[:, top : top + height, left : left + width]
        padding = (top, left) if even else 0

        def product(kernel: int, bias: Tensor | None = None) -> Tensor:
            weight = self.minimal[kernel]  # type: ignore[index]
            return functional.conv2d(mixed.permute(0, 3, 1, 2), weight, bias, padding=padding, dilation=self.rate)

        torch.add(inputs[1], inputs[2], out=inner)
        both = product(1, self.bias)
        torch.sub(inputs[2], inputs[1], out=inner)
        difference = product(2)
        near = both + difference
        far = torch.sub(both, difference, out=both)
        del difference
        torch.sub(inputs[0], inputs[2], out=inner)
        near += product(0)
        torch.sub(inputs[1], inputs[3], out=inner)
        far -= product(3)
        return near.permute(1, 0, 2, 3)[None], far.permute(1, 0, 2, 3)[None]

    def workspace(self, held: Box, box: Box, itemsize: int) -> int:
        """Bytes of temporary tensors, the largest part of ``box`` included, at ``itemsize`` bytes a value.

        ``held``: the voxels of the window that is read.
        """
        outputs, channels = self.weight.shape[:2]
        plane, depth = voxels(with_planes(box, (0, 1))), box[0][1] - box[0][0]
        wide, copied = input_of(box, self.rate, held)
        most = self.most_planes(box)
        read, copied = (3, copied or self.rate > 1) if depth == 1 else (most + 2 * self.rate, copied)
        plain = most * plane * outputs + copied * read * wide * channels
        if self.weight.device.type == "cpu" and not torch.backends.mkldnn.is_available():
            plain += voxels(box) * self.weight[0].numel()  # PyTorch copies the input once for each kernel tap
        pairable = min(self.rate, depth - self.rate) if self._takes_two(box) else 0
        at_once = max(0, min(pairable, max(1, CHUNK // plane)))
        return max(plain, at_once * (wide * channels + 3 * plane * outputs)) * itemsize

    def most_planes(self, box: Box) -> int:
        """Planes of the largest part of a box."""
        depth = box[0][1] - box[0][0]
        return min(depth, self.rate) if self._takes_two(box) else depth

    def _takes_two(self, box: Box) -> bool:
        """Whether two planes at a time are worth it."""
        (start, stop), *_ = box
        plane = voxels(with_planes(box, (0, 1)))
        return self.minimal is not None and plane * min(self.rate, stop - start) >= FEWEST_VOXELS

    def multiplications(self) -> int:
        """Multiplications for each voxel of a plain convolution."""
        return self.weight.numel()


def make_filter(weight: Tensor, bias: Tensor | None, rate: int, *, minimal: bool = False) -> Filter:
    """A filter; with ``minimal``, and channels enough, it computes two planes at a time."""
    able = minimal and weight.shape[1] >= FEWEST_CHANNELS
    return Filter(weight, bias, rate, minimal_kernels(weight) if able else None)


def is_faster_on(device: str) -> bool:
    """Whether two planes at a time are faster than one. ``make bench``: on CPUs with oneDNN they are."""
    return device == "cpu" and torch.backends.mkldnn.is_available()


def minimal_kernels(weight: Tensor) -> Kernels:
    """The four kernels (O, C, 3, 3) of minimal filtering, from (O, C, 3, 3, 3); summed in double precision."""
    first, middle, last = weight.double().unbind(2)
    ends = first + last
    four = first, (ends + middle) / 2, (ends - middle) / 2, last
    a, b, c, d = (kernel.to(weight.dtype).contiguous(memory_format=torch.channels_last) for kernel in four)
    return a, b, c, d


def pairs(start: int, stop: int, rate: int, most: int) -> Iterator[tuple[int, int]]:
    """Pairs of planes that are computed together, as (first, count), with count at most ``most``.

    The planes first to first + count - 1 are paired with those ``rate`` after them. No plane is in two pairs.
    """
    for block in range(start, stop - rate, 2 * rate):
        end = min(block + rate, stop - rate)
        for first in range(block, end, most):
            yield first, min(most, end - first)


def unpaired(start: int, stop: int, rate: int) -> Interval:
    """The planes that :func:`pairs` leaves without a partner: at most ``rate``, side by side."""
    rest = (stop - start) % (2 * rate)
    block = stop - rest
    return block + max(0, rest - rate), min(stop, block + rate)
