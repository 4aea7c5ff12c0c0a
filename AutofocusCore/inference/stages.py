"""A trained network as a list of stages. A stage is one operation, the stages that it reads, and how far it reads.

Both domains compute a network stage by stage. Their operations differ: they compute boxes of voxels
(:mod:`AutofocusCore.inference.graph`) or rows of active voxels (:mod:`AutofocusCore.inference.row_stages`).

BatchNorm in evaluation mode is a scale and a shift for each channel. It is folded into the weights of the convolution
before it, which saves a pass over the voxels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Projection,
    ResidualBlock,
    SumHead,
)

INPUT = -1
"""The volume's number among the sources of a stage; in the box domain it is padded."""

AnyOperation = TypeVar("AnyOperation")


@dataclass(frozen=True)
class Stage(Generic[AnyOperation]):
    """One layer of a network during inference.

    Attributes:
        operation: what it computes.
        sources: indices of the stages that it reads.
        reaches: for each source, how far from an output voxel it reads, in voxels.
        margin: by how many voxels its output is smaller than the padded volume on each side; 0 in the ROI domain.
        channels: channels of its output.
        attention: index of the autofocus layer, counted from 0; None for other layers.
    """

    operation: AnyOperation
    sources: tuple[int, ...]
    reaches: tuple[int, ...]
    margin: int
    channels: int
    attention: int | None = None


@dataclass(frozen=True)
class Graph(Generic[AnyOperation]):
    """The stages of a network. Each comes after those that it reads; the last one gives the logits."""

    stages: tuple[Stage[AnyOperation], ...]
    in_channels: int
    margin: int = 0

    def to(self, *kind: Any) -> Graph[AnyOperation]:
        """The graph with its weights in another type; in the ROI domain also on another device."""
        stages = tuple(replace(stage, operation=cast(Any, stage.operation).to(*kind)) for stage in self.stages)
        return replace(self, stages=stages)

    @property
    def reach(self) -> int:
        """Radius of the receptive field in voxels: how far from an output voxel the input still matters."""
        reach = {len(self.stages) - 1: 0}
        for index in reversed(range(len(self.stages))):
            for source, step in zip(self.stages[index].sources, self.stages[index].reaches, strict=True):
                reach[source] = max(reach.get(source, 0), reach[index] + step)
        return reach[INPUT]


@dataclass(frozen=True)
class Layer:
    """A layer of Basic, an ASPP network or an AFN, and its place among the stages.

    Attributes:
        module: the layer; the last one is the network's head.
        projection: of the residual block that ends with this layer, if the block changes the number of channels.
        place: the fields of the stage except `operation`; margins are those of the box domain.
    """

    module: nn.Module
    projection: Projection | None
    place: dict[str, Any]

    @property
    def ends_block(self) -> bool:
        """Whether the input of a residual block is added to this layer's result."""
        return len(self.place["sources"]) == 2


def layers_of(network: AFNet) -> list[Layer]:
    """The layers of a network in the order of its stages."""
    layers: list[Layer] = []
    margin = attention = 0

    def append(module: nn.Module, block_input: int | None = None, projection: Projection | None = None) -> None:
        nonlocal margin, attention
        layer = cast("ConvolutionLayer | AutofocusLayer", module)
        margin += layer.margin
        reach = max(layer.dilation_rates) if isinstance(layer, AutofocusLayer) else layer.margin
        previous = len(layers) - 1
        place = {
            "sources": (previous,) if block_input is None else (previous, block_input),
            "reaches": (reach,) if block_input is None else (reach, 0),
            "margin": margin,
            "channels": layer.conv.out_channels,
            "attention": attention if isinstance(layer, AutofocusLayer) else None,
        }
        attention += isinstance(layer, AutofocusLayer)
        layers.append(Layer(layer, projection, place))

    for layer in network.stem:
        append(layer)
    for module in network.blocks:
        block = cast(ResidualBlock, module)
        block_input = len(layers) - 1
        append(block.first)
        append(block.second, block_input, block.projection)
    reach = 0 if isinstance(network.head, nn.Conv3d) else max(network.dilation_rates)
    last = (len(layers) - 1,)
    place = {"sources": last, "reaches": (reach,), "margin": margin, "channels": network.num_classes}
    layers.append(Layer(network.head, None, place))
    return layers


def fold(weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (O, C, k, k, k) and bias (O,) of one convolution that equals one followed by a scale and a shift."""
    shift = shift if bias is None else shift + scale * bias.double()
    return (weight.double() * scale.reshape(-1, 1, 1, 1, 1)).to(weight.dtype), shift.to(weight.dtype)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """BatchNorm in evaluation mode as ``scale * x + shift``, in double precision."""
    norm = cast(nn.BatchNorm3d, norm)
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    return scale, norm.bias.double() - mean * scale


def fold_branches(layer: AutofocusLayer) -> list[tuple[Tensor, Tensor]]:
    """For each rate of an autofocus layer the weight and bias of its branch, the BatchNorm after it included."""
    weight, bias, norms = layer.conv.weight, layer.conv.bias, list(layer.norms)
    if layer.norm == "fused":  # the same for each: attention sums to one
        norms *= len(layer.dilation_rates)
    return [fold(weight, bias if k == 0 else None, *scale_and_shift(norm)) for k, norm in enumerate(norms)]


def head_branches(
    head: SumHead | ConcatenationHead,
) -> Iterator[tuple[int, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """For each branch of an ASPP head its rate, and weight and bias of its convolution and of its classifier.

    The branches' scores are to be summed. One classifier on concatenated features (ASPP-C) is the same as a classifier
    for each branch, with the parts of its weight.
    """
    if isinstance(head, SumHead):
        for conv, norm, last, rate in zip(head.convs, head.norms, head.classifiers, head.dilation_rates, strict=True):
            folded = fold(cast(Tensor, conv.weight), cast(Tensor, conv.bias), *scale_and_shift(norm))
            yield rate, folded, weight_and_bias(last)
        return
    count = len(head.convs)
    weight, bias = weight_and_bias(head.classifier)
    scales, shifts = (part.chunk(count) for part in scale_and_shift(head.norm))
    parts = zip(head.convs, scales, shifts, weight.chunk(count, dim=1), head.dilation_rates, strict=True)
    for k, (conv, scale, shift, part, rate) in enumerate(parts):
        folded = fold(cast(Tensor, conv.weight), cast(Tensor, conv.bias), scale, shift)
        yield rate, folded, (part, bias if k == 0 else torch.zeros_like(bias))


def weight_and_bias(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without BatchNorm."""
    return cast(Tensor, conv.weight).detach(), cast(Tensor, conv.bias).detach()
