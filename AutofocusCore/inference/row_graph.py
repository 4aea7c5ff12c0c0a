"""A trained network of the ROI domain as a list of stages over rows, BatchNorm folded into the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from AutofocusCore.inference.graph import INPUT, fold, scale_and_shift
from AutofocusCore.inference.row_operations import (
    Branches,
    Convolution,
    Fused,
    Head,
    Hidden,
    Pointwise,
    RowOperation,
    Scores,
)
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
