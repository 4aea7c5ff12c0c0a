"""Boxes of voxels, that is, three half-open intervals (z, y, x), and tensors with the box of voxels that they hold.

All boxes of a run share one frame: the voxels of the *padded* volume, whose first voxel is 0. A feature map of a
network with valid convolutions is smaller than the padded volume, but keeps its place in that frame:

    padded volume   0 ------------------------------------- N
    feature map         c ------------------------- N - c          c: voxels lost on each side so far
    output                    m ----------- N - m                  m: the network's margin
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Interval = tuple[int, int]
Box = tuple[Interval, Interval, Interval]


def grow(box: Box, reach: int) -> Box:
    """``box`` enlarged by ``reach`` voxels on each side."""
    (a, b), (c, d), (e, f) = box
    return (a - reach, b + reach), (c - reach, d + reach), (e - reach, f + reach)


def intersect(box: Box, other: Box) -> Box:
    """The voxels that lie in both boxes."""
    low = [max(p[0], q[0]) for p, q in zip(box, other, strict=True)]
    high = [min(p[1], q[1]) for p, q in zip(box, other, strict=True)]
    return (low[0], high[0]), (low[1], high[1]), (low[2], high[2])


def hull(box: Box, other: Box) -> Box:
    """The smallest box that contains both boxes."""
    low = [min(p[0], q[0]) for p, q in zip(box, other, strict=True)]
    high = [max(p[1], q[1]) for p, q in zip(box, other, strict=True)]
    return (low[0], high[0]), (low[1], high[1]), (low[2], high[2])


def shift(box: Box, offset: int) -> Box:
    """``box`` moved by ``offset`` voxels on every axis."""
    (a, b), (c, d), (e, f) = box
    return (a + offset, b + offset), (c + offset, d + offset), (e + offset, f + offset)


def with_planes(box: Box, planes: Interval) -> Box:
    """``box`` with another interval on its first axis."""
    return planes, box[1], box[2]


def shape_of(box: Box) -> tuple[int, int, int]:
    """Voxels along each axis."""
    return box[0][1] - box[0][0], box[1][1] - box[1][0], box[2][1] - box[2][0]


def voxels(box: Box) -> int:
    """Number of voxels."""
    depth, height, width = shape_of(box)
    return depth * height * width


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: Sequence[int] = (0, 0, 0),
    rates: Sequence[int] = (1, 1, 1),
) -> Tensor:
    """A dilated 3D convolution of ``x`` (1, C, d, h, w); in float32 on CPUs always by oneDNN.

    For few planes, and for one channel, PyTorch would take slower code of its own, which copies the input once for each
    of the kernel's voxels.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(x, weight, bias, list(padding), [1] * 3, list(rates), 1)
    return functional.conv3d(x, weight, bias, padding=tuple(padding), dilation=tuple(rates))


def input_of(box: Box, reach: int, held: Box) -> tuple[int, bool]:
    """Voxels of a plane of the input that a convolution of ``box`` takes in memory, and whether PyTorch copies them.

    It copies rows and columns of which only a part is read, and those that have to be padded on one side more than on
    the other. ``held``: the voxels that there are; beyond them are zeros.
    """
    plane, copied = 1, False
    for (low, high), (start, stop) in zip(held[1:], box[1:], strict=True):
        before, after = (start - reach) - low, high - (stop + reach)
        copied = copied or before != after or before > 0
        plane *= min(high, stop + reach) - max(low, start - reach) if before == after else stop - start + 2 * reach
    return plane, copied


def place(box: Box, tensor: Tensor, frame: Box = ((0, 0), (0, 0), (0, 0))) -> Tensor:
    """A view of the voxels of ``box`` in ``tensor`` (..., D, H, W), which begins with the first voxel of ``frame``."""
    for axis, ((low, _), (start, stop)) in enumerate(zip(frame, box, strict=True), start=tensor.ndim - 3):
        tensor = tensor.narrow(axis, start - low, stop - start)
    return tensor


@dataclass(frozen=True)
class Window:
    """Features (1, C, d, h, w) of the voxels of ``box``."""

    tensor: Tensor
    box: Box

    def crop(self, box: Box) -> Tensor:
        """The features of ``box``, which lies inside this window; a view."""
        return place(box, self.tensor, self.box)

    def widen(self, box: Box, reach: int, most: int) -> Box:
        """``box``, or a slightly larger box whose surroundings of ``reach`` voxels fill this window's rows and columns.

        The box grows by at most ``most`` voxels on each side. A convolution of all rows of a window needs no copy of
        them, and a few superfluous voxels cost less than that copy.
        """
        planes, *across = box
        wide = [(low + reach, high - reach) for low, high in self.box[1:]]
        near = all(0 <= a - c <= most and 0 <= d - b <= most for (a, b), (c, d) in zip(across, wide, strict=True))
        return (planes, wide[0], wide[1]) if near else box

    def convolve(self, box: Box, weight: Tensor, bias: Tensor | None, rate: int) -> Tensor:
        """The features of ``box`` after a convolution at dilation ``rate``; voxels outside this window are zero.

        Args:
            box: the output's voxels.
            weight: (O, C, k, k, k), k 1 or 3.
            bias: (O,) or None.
            rate: dilation rate.
        """
        reach = rate * (weight.shape[-1] // 2)
        tensor, padding = self.reached(box, reach)
        rates = (rate, rate, rate)
        if box[0][1] - box[0][0] == 1 and tensor.shape[2] == 2 * reach + 1:
            tensor, rates = tensor[:, :, ::rate], (1, rate, rate)  # the planes between are not read, nor copied
        if any(before != after for before, after in padding):
            tensor = functional.pad(tensor, [side for pair in reversed(padding) for side in pair])
            padding = [(0, 0)] * 3
        return convolve(tensor, weight, bias, [before for before, _ in padding], rates)

    def reached(self, box: Box, reach: int) -> tuple[Tensor, list[Interval]]:
        """The part of ``box`` grown by ``reach`` that this window holds, and the voxels missing at each end."""
        tensor, padding = self.tensor, []
        for axis, ((low, high), (start, stop)) in enumerate(zip(self.box, box, strict=True), start=2):
            first, last = max(low, start - reach), min(high, stop + reach)
            tensor = tensor.narrow(axis, first - low, last - first)
            padding.append((first - (start - reach), (stop + reach) - last))
        return tensor, padding
