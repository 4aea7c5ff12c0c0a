"""Layers and resizing for two and three dimensions, so that each network is written only once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""A computation that yields after each step, so that the caller can report progress or cancel."""

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
LINEAR = {2: "bilinear", 3: "trilinear"}


def finish(steps: Steps[Result]) -> Result:
    """Run all steps of a computation and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x`` (B, C, ...) on a grid of ``size`` over the same extent, by linear interpolation between voxel centres."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode=LINEAR[x.ndim - 2], align_corners=False)


def crop(x: Tensor, margins: Sequence[int]) -> Tensor:
    """``x`` (B, C, ...) without ``margins[i]`` voxels on each side of its i-th spatial axis; a view."""
    for axis, margin in enumerate(margins, start=2):
        if margin:
            x = x.narrow(axis, margin, x.shape[axis] - 2 * margin)
    return x


def lead(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first ``size[i]`` voxels of ``x`` (B, C, ...) along its i-th spatial axis; a view."""
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x


def extend(x: Tensor, multiple: int) -> Tensor:
    """``x`` (B, C, ...) with its last voxels repeated until every spatial axis is a multiple of ``multiple``."""
    missing = [-length % multiple for length in x.shape[2:]]
    if not any(missing):
        return x
    return functional.pad(x, [side for count in reversed(missing) for side in (0, count)], mode="replicate")
