"""The operations of a run in the ROI domain: each computes some rows of a layer's output from its sources' rows.

Letters used for shapes: N active voxels, m of them computed at a time, C input channels, O output channels, K rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.kernels import ActiveVoxels, infer_attention, infer_layer


@dataclass(frozen=True)
class RowWindow:
    """Rows ``first``, ``first + 1``, ... of a stage's output: the planes that are still held, (rows, C)."""

    rows: Tensor
    first: int

    def part(self, part: slice) -> Tensor:
        """Some of the rows, by their numbers in the whole volume; a view."""
        return self.rows[part.start - self.first : part.stop - self.first]


class RowOperation(Protocol):
    """The arithmetic of a stage."""

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> Tensor | None:
        """Fill ``out`` (m, O) with the rows ``part``. Returns the attention (m, K) of an autofocus layer."""

    def to(self, dtype: torch.dtype, device: str) -> RowOperation:
        """The same with its weights in another type, on another device."""

    def multiplications(self) -> int:
        """Multiplications for one voxel."""


@dataclass(frozen=True)
class Convolution:
    """A 3x3x3 convolution at one dilation rate; weight (O, C, 3, 3, 3), bias (O,)."""

    weight: Tensor
    bias: Tensor | None
    rate: int

    def __call__(
        self,
        window: RowWindow,
        voxels: ActiveVoxels,
        part: slice,
        *,
        relu: bool = False,
        residual: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        return infer_layer(
            window.rows, self.weight, voxels, rates=(self.rate,), bias=self.bias, residual=residual, relu=relu,
            part=part, first_row=window.first, out=out,
        )  # fmt: skip

    def to(self, dtype: torch.dtype, device: str) -> Convolution:
        bias = None if self.bias is None else self.bias.to(device)
        return replace(self, weight=self.weight.to(device, dtype), bias=bias)

    def multiplications(self) -> int:
        return self.weight.numel()


@dataclass(frozen=True)
class Pointwise:
    """A 1x1x1 convolution; weight (O, C), bias (O,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self.weight, self.bias)

    def to(self, dtype: torch.dtype, device: str) -> Pointwise:
        return Pointwise(self.weight.to(device, dtype), self.bias.to(device, dtype))

    def multiplications(self) -> int:
        return self.weight.numel()


@dataclass(frozen=True)
class Hidden:
    """A convolution, then the shortcut of a residual block where there is one, then ReLU."""

    convolution: Convolution
    projection: Pointwise | None = None

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> None:
        residual = _shortcut(sources, part, self.projection)
        self.convolution(sources[0], voxels, part, relu=True, residual=residual, out=out)

    def to(self, dtype: torch.dtype, device: str) -> Hidden:
        projection = None if self.projection is None else self.projection.to(dtype, device)
        return Hidden(self.convolution.to(dtype, device), projection)

    def multiplications(self) -> int:
        own = self.convolution.multiplications()
        return own if self.projection is None else own + self.projection.multiplications()


@dataclass(frozen=True)
class Scores:
    """The attention branch: a convolution, ReLU, a 1x1x1 convolution, softmax over the K rates."""

    hidden: Convolution
    last: Pointwise

    def __call__(self, window: RowWindow, voxels: ActiveVoxels, part: slice) -> tuple[Tensor, Tensor]:
        """Attention (m, K): in float32, and in the features' type."""
        return infer_attention(self.hidden(window, voxels, part, relu=True), self.last.weight, self.last.bias)

    def to(self, dtype: torch.dtype, device: str) -> Scores:
        return Scores(self.hidden.to(dtype, device), self.last.to(dtype, device))

    def multiplications(self) -> int:
        return self.hidden.multiplications() + self.last.multiplications()


@dataclass(frozen=True)
class Fused:
    """An autofocus layer with one BatchNorm after the weighted sum: one convolution of blended inputs."""

    scores: Scores
    weight: Tensor
    first_bias: Tensor
    bias: Tensor
    rates: tuple[int, ...]
    projection: Pointwise | None

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> Tensor:
        attention, rounded = self.scores(sources[0], voxels, part)
        infer_layer(
            sources[0].rows, self.weight, voxels, rates=self.rates, attention=rounded, bias=self.bias,
            first_bias=self.first_bias, residual=_shortcut(sources, part, self.projection), relu=True,
            part=part, first_row=sources[0].first, out=out,
        )  # fmt: skip
        return attention

    def to(self, dtype: torch.dtype, device: str) -> Fused:
        return replace(
            self,
            scores=self.scores.to(dtype, device),
            weight=self.weight.to(device, dtype),
            first_bias=self.first_bias.to(device),
            bias=self.bias.to(device),
            projection=None if self.projection is None else self.projection.to(dtype, device),
        )

    def multiplications(self) -> int:
        return self.scores.multiplications() + self.weight.numel()


@dataclass(frozen=True)
class Branches:
    """An autofocus layer with a BatchNorm for each rate: K convolutions."""

    scores: Scores
    convolutions: tuple[Convolution, ...]
    projection: Pointwise | None

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> Tensor:
        attention, _ = self.scores(sources[0], voxels, part)
        total = torch.zeros(out.shape, dtype=torch.float32, device=out.device)
        for convolution, weight in zip(self.convolutions, attention.split(1, dim=1), strict=True):
            total.addcmul_(convolution(sources[0], voxels, part).float(), weight)
        shortcut = _shortcut(sources, part, self.projection)
        out.copy_((total if shortcut is None else total + shortcut).relu_())
        return attention

    def to(self, dtype: torch.dtype, device: str) -> Branches:
        projection = None if self.projection is None else self.projection.to(dtype, device)
        convolutions = tuple(convolution.to(dtype, device) for convolution in self.convolutions)
        return Branches(self.scores.to(dtype, device), convolutions, projection)

    def multiplications(self) -> int:
        return self.scores.multiplications() + sum(one.multiplications() for one in self.convolutions)


@dataclass(frozen=True)
class Head:
    """Scores of the classes: convolutions with a ReLU before their classifiers, summed; none before a plain one."""

    convolutions: tuple[Convolution, ...]
    classifiers: tuple[Pointwise, ...]

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> None:
        if not self.convolutions:
            out.copy_(self.classifiers[0](sources[0].part(part)))
            return
        out.zero_()
        for convolution, classifier in zip(self.convolutions, self.classifiers, strict=True):
            out += classifier(convolution(sources[0], voxels, part, relu=True))

    def to(self, dtype: torch.dtype, device: str) -> Head:
        convolutions = tuple(convolution.to(dtype, device) for convolution in self.convolutions)
        return Head(convolutions, tuple(classifier.to(dtype, device) for classifier in self.classifiers))

    def multiplications(self) -> int:
        convolutions = sum(one.multiplications() for one in self.convolutions)
        return convolutions + sum(one.multiplications() for one in self.classifiers)


def _shortcut(sources: list[RowWindow], part: slice, projection: Pointwise | None) -> Tensor | None:
    """The rows that a residual block adds at its end; None where the stage ends no block."""
    if len(sources) == 1:
        return None
    rows = sources[1].part(part)
    return rows if projection is None else projection(rows)
