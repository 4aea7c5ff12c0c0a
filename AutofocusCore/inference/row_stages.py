"""A trained network of the ROI domain as a list of stages over rows, BatchNorm folded into the weights.

Letters used for shapes: N active voxels, m of them computed at a time, C input channels, O output channels, K rates.
A stage computes some rows of its output from the rows of its sources, see :class:`RowWindow`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.inference.graph import INPUT, fold, scale_and_shift
from AutofocusCore.kernels import ActiveVoxels, infer_layer
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Norm,
    Projection,
    ResidualBlock,
    SumHead,
)


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
        """Fill ``out`` (m, O) with the rows ``part``; answers the attention (m, K) of an autofocus layer."""

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

    def __call__(self, window: RowWindow, voxels: ActiveVoxels, part: slice) -> Tensor:
        scores = self.last(self.hidden(window, voxels, part, relu=True))
        return torch.softmax(scores.float(), dim=1)

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
        attention = self.scores(sources[0], voxels, part)
        infer_layer(
            sources[0].rows, self.weight, voxels, rates=self.rates, attention=attention, bias=self.bias,
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
        attention = self.scores(sources[0], voxels, part)
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


@dataclass(frozen=True)
class RowStage:
    """One layer of the run; fields as in :class:`AutofocusCore.inference.graph.Stage`."""

    operation: RowOperation
    sources: tuple[int, ...]
    reaches: tuple[int, ...]
    channels: int
    attention: int | None = None
    margin: int = 0


@dataclass(frozen=True)
class RowGraph:
    """Stages in an order in which each comes after what it reads; the last one gives the logits."""

    stages: tuple[RowStage, ...]
    in_channels: int

    def to(self, dtype: torch.dtype, device: str) -> RowGraph:
        """The graph with its weights in ``dtype`` on ``device``."""
        stages = tuple(replace(stage, operation=stage.operation.to(dtype, device)) for stage in self.stages)
        return replace(self, stages=stages)

    @property
    def reach(self) -> int:
        """The radius of the receptive field, in voxels."""
        reach = {len(self.stages) - 1: 0}
        for index in reversed(range(len(self.stages))):
            for source, step in zip(self.stages[index].sources, self.stages[index].reaches, strict=True):
                reach[source] = max(reach.get(source, 0), reach[index] + step)
        return reach[INPUT]


@torch.no_grad()
def build_row_graph(network: AFNet) -> RowGraph:
    """The stages of Basic, an ASPP network or an AFN of the ROI domain, in float32 on the CPU."""
    stages: list[RowStage] = []
    layers = 0

    def append(layer: nn.Module, block_input: int | None = None, projection: Pointwise | None = None) -> None:
        nonlocal layers
        sources: tuple[int, ...] = (len(stages) - 1,)
        is_autofocus = isinstance(layer, AutofocusLayer)
        layer = cast("AutofocusLayer | ConvolutionLayer", layer)
        reaches: tuple[int, ...] = (max(layer.dilation_rates) if isinstance(layer, AutofocusLayer) else layer.margin,)
        if block_input is not None:
            sources, reaches = (*sources, block_input), (*reaches, 0)
        operation = _autofocus(layer, projection) if isinstance(layer, AutofocusLayer) else _hidden(layer, projection)
        stages.append(RowStage(operation, sources, reaches, layer.conv.out_channels, layers if is_autofocus else None))
        layers += is_autofocus

    for layer in network.stem:
        append(layer)
    for module in network.blocks:
        block = cast(ResidualBlock, module)
        block_input = len(stages) - 1
        append(block.first)
        append(block.second, block_input, None if block.projection is None else _projection(block.projection))
    head, reach = _head(network.head)
    stages.append(RowStage(head, (len(stages) - 1,), (reach,), network.num_classes))
    return RowGraph(tuple(stages), network.in_channels)


def _hidden(layer: ConvolutionLayer, projection: Pointwise | None) -> Hidden:
    return Hidden(_convolution(layer.conv, layer.norm, layer.margin), projection)


def _convolution(conv: nn.Module, norm: nn.Module, rate: int) -> Convolution:
    return Convolution(*fold(cast(Tensor, conv.weight), cast("Tensor | None", conv.bias), norm), rate)


def _projection(projection: Projection) -> Pointwise:
    weight, bias = fold(projection.conv.weight, projection.conv.bias, projection.norm)
    return Pointwise(weight.flatten(1), bias)


def _pointwise(conv: nn.Module) -> Pointwise:
    return Pointwise(cast(Tensor, conv.weight).detach().flatten(1), cast(Tensor, conv.bias).detach())


def _autofocus(layer: AutofocusLayer, projection: Pointwise | None) -> Fused | Branches:
    hidden, last = cast(nn.Conv3d, layer.attention[0]), layer.attention[2]
    bias = None if hidden.bias is None else hidden.bias.detach()
    scores = Scores(Convolution(hidden.weight.detach(), bias, 1), _pointwise(last))
    conv = layer.conv
    assert conv.bias is not None
    norm: Norm = layer.norm
    if norm == "fused":
        weight, shift = fold(conv.weight, None, layer.norms[0])
        scale, _ = scale_and_shift(layer.norms[0])
        first_bias = (scale * conv.bias.double()).to(conv.bias.dtype)
        return Fused(scores, weight, first_bias, shift, layer.dilation_rates, projection)
    convolutions = tuple(
        Convolution(*fold(conv.weight, conv.bias if k == 0 else None, one), rate)
        for k, (one, rate) in enumerate(zip(layer.norms, layer.dilation_rates, strict=True))
    )
    return Branches(scores, convolutions, projection)


def _head(head: nn.Module) -> tuple[Head, int]:
    """The operation of a head, and its reach."""
    if isinstance(head, SumHead):
        parts = zip(head.convs, head.norms, head.dilation_rates, strict=True)
        convolutions = tuple(_convolution(conv, norm, rate) for conv, norm, rate in parts)
        return Head(convolutions, tuple(map(_pointwise, head.classifiers))), max(head.dilation_rates)
    if isinstance(head, ConcatenationHead):
        whole, count = _pointwise(head.classifier), len(head.convs)
        classifiers = tuple(
            Pointwise(weight, whole.bias if k == 0 else torch.zeros_like(whole.bias))
            for k, weight in enumerate(whole.weight.chunk(count, dim=1))
        )
        scales, shifts = (part.chunk(count) for part in scale_and_shift(head.norm))
        convolutions = tuple(
            Convolution(
                (cast(Tensor, conv.weight).double() * scale.reshape(-1, 1, 1, 1, 1)).float(),
                (shift + scale * cast(Tensor, conv.bias).double()).float(),
                rate,
            )
            for conv, scale, shift, rate in zip(head.convs, scales, shifts, head.dilation_rates, strict=True)
        )
        return Head(convolutions, classifiers), max(head.dilation_rates)
    return Head((), (_pointwise(head),)), 0


def _shortcut(sources: list[RowWindow], part: slice, projection: Pointwise | None) -> Tensor | None:
    """The rows that a residual block adds at its end; None where the stage ends no block."""
    if len(sources) == 1:
        return None
    rows = sources[1].part(part)
    return rows if projection is None else projection(rows)
