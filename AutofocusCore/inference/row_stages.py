"""The stages of a network of the ROI domain: each computes some rows of a layer's output from its sources' rows.

Letters used for shapes: N active voxels, m of them computed at a time, C input channels, O output channels, K rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.inference.stages import (
    Graph,
    Layer,
    Stage,
    fold,
    fold_branches,
    head_branches,
    layers_of,
    scale_and_shift,
    weight_and_bias,
)
from AutofocusCore.kernels import ActiveVoxels, infer_attention, infer_layer
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.layers import AutofocusLayer, ConcatenationHead, ConvolutionLayer, SumHead

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class RowWindow:
    """Rows ``first``, ``first + 1``, ... of a stage's output: the planes that are still held, (rows, C)."""

    rows: Tensor
    first: int

    def part(self, part: slice) -> Tensor:
        """Some of the rows, by their numbers in the whole volume; a view."""
        return self.rows[part.start - self.first : part.stop - self.first]


@dataclass(frozen=True)
class Weighted:
    """What has weights of its own or in its parts: tensors, parts, or tuples of parts."""

    FLOAT32: ClassVar[tuple[str, ...]] = ()
    """Tensors that keep their type."""

    def to(self, dtype: torch.dtype, device: str) -> Self:
        """The same with its weights in another type, on another device."""
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                changed[name] = value.to(device) if name in self.FLOAT32 else value.to(device, dtype)
            elif isinstance(value, Weighted):
                changed[name] = value.to(dtype, device)
            elif isinstance(value, tuple) and all(isinstance(part, Weighted) for part in value):
                changed[name] = tuple(part.to(dtype, device) for part in value)
        return replace(self, **changed)

    def multiplications(self) -> int:
        """Multiplications for one voxel."""
        total = 0
        for value in vars(self).values():
            if isinstance(value, Tensor):
                total += value.numel() if value.ndim > 1 else 0  # a bias is added
            elif isinstance(value, Weighted):
                total += value.multiplications()
            elif isinstance(value, tuple):
                total += sum(part.multiplications() for part in value if isinstance(part, Weighted))
        return total


class RowOperation(Protocol):
    """The arithmetic of a stage."""

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> Tensor | None:
        """Fill ``out`` (m, O) with the rows ``part``. Returns the attention (m, K) of an autofocus layer."""

    def to(self, dtype: torch.dtype, device: str) -> RowOperation: ...

    def multiplications(self) -> int: ...


@dataclass(frozen=True)
class Convolution(Weighted):
    """A 3x3x3 convolution at one dilation rate; weight (O, C, 3, 3, 3), bias (O,)."""

    FLOAT32 = ("bias",)
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


@dataclass(frozen=True)
class Pointwise(Weighted):
    """A 1x1x1 convolution; weight (O, C), bias (O,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self.weight, self.bias)


@dataclass(frozen=True)
class Hidden(Weighted):
    """A convolution, then the shortcut of a residual block where there is one, then ReLU."""

    convolution: Convolution
    projection: Pointwise | None = None

    def __call__(self, sources: list[RowWindow], voxels: ActiveVoxels, part: slice, out: Tensor) -> None:
        residual = _shortcut(sources, part, self.projection)
        self.convolution(sources[0], voxels, part, relu=True, residual=residual, out=out)


@dataclass(frozen=True)
class Scores(Weighted):
    """The attention branch: a convolution, ReLU, a 1x1x1 convolution, softmax over the K rates."""

    hidden: Convolution
    last: Pointwise

    def __call__(self, window: RowWindow, voxels: ActiveVoxels, part: slice) -> tuple[Tensor, Tensor]:
        """Attention (m, K): in float32, and in the features' type."""
        return infer_attention(self.hidden(window, voxels, part, relu=True), self.last.weight, self.last.bias)


@dataclass(frozen=True)
class Fused(Weighted):
    """An autofocus layer with one BatchNorm after the weighted sum: one convolution of blended inputs."""

    FLOAT32 = ("bias", "first_bias")
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


@dataclass(frozen=True)
class Branches(Weighted):
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


@dataclass(frozen=True)
class Head(Weighted):
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


def _shortcut(sources: list[RowWindow], part: slice, projection: Pointwise | None) -> Tensor | None:
    """The rows that a residual block adds at its end; None where the stage ends no block."""
    if len(sources) == 1:
        return None
    rows = sources[1].part(part)
    return rows if projection is None else projection(rows)


RowStage = Stage[RowOperation]
RowGraph = Graph[RowOperation]


@torch.no_grad()
def build_row_graph(network: AFNet) -> RowGraph:
    """The stages of Basic, an ASPP network or an AFN of the ROI domain, in float32 on the CPU."""
    stages = (RowStage(_operation(layer), **{**layer.place, "margin": 0}) for layer in layers_of(network))
    return RowGraph(tuple(stages), network.in_channels)


def _operation(layer: Layer) -> RowOperation:
    module, shortcut = layer.module, layer.projection
    projection = None if shortcut is None else _pointwise(shortcut.conv, shortcut.norm)
    if isinstance(module, ConvolutionLayer):
        folded = fold(module.conv.weight, module.conv.bias, *scale_and_shift(module.norm))
        return Hidden(Convolution(*folded, module.margin), projection)
    if isinstance(module, AutofocusLayer):
        return _autofocus(module, projection)
    if isinstance(module, (SumHead, ConcatenationHead)):
        parts = list(head_branches(module))
        convolutions = tuple(Convolution(*folded, rate) for rate, folded, _ in parts)
        return Head(convolutions, tuple(Pointwise(weight.flatten(1), bias) for _, _, (weight, bias) in parts))
    return Head((), (_pointwise(module),))


def _autofocus(layer: AutofocusLayer, projection: Pointwise | None) -> Fused | Branches:
    scores = Scores(Convolution(*weight_and_bias(layer.attention[0]), 1), _pointwise(layer.attention[2]))
    if layer.norm == "fused":
        conv, (scale, shift) = layer.conv, scale_and_shift(layer.norms[0])
        assert conv.bias is not None
        weight, shift = fold(conv.weight, None, scale, shift)
        first_bias = (scale * conv.bias.double()).to(conv.bias.dtype)
        return Fused(scores, weight, first_bias, shift, layer.dilation_rates, projection)
    pairs = zip(fold_branches(layer), layer.dilation_rates, strict=True)
    return Branches(scores, tuple(Convolution(*folded, rate) for folded, rate in pairs), projection)


def _pointwise(module: nn.Module, norm: nn.Module | None = None) -> Pointwise:
    conv = cast(nn.Conv3d, module)
    weight, bias = weight_and_bias(conv) if norm is None else fold(conv.weight, conv.bias, *scale_and_shift(norm))
    return Pointwise(weight.flatten(1), bias)
