"""A trained network as a list of stages: an operation each, the stages that it reads, and how far it reads.

BatchNorm in evaluation mode is a scale and a shift for each channel. It is folded into the weights of the convolution
before it, which saves a pass over the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from AutofocusCore.inference.filters import Filter, make_filter
from AutofocusCore.inference.operations import (
    Autofocus,
    Classifier,
    Convolution,
    Operation,
    Perceptron,
    Pyramid,
    Repeat,
    ScaledPReLU,
    Shortcut,
)
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.deepmedic import RESIDUAL_LAYERS, SCALE, Activation, DeepMedic, Pathway
from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Projection,
    ResidualBlock,
    SumHead,
)

INPUT = -1


@dataclass(frozen=True)
class Stage:
    """One layer of a network during inference.

    Attributes:
        operation: what it computes.
        sources: indices of the stages that it reads; -1 is the padded volume.
        reaches: for each source, how far from an output voxel it reads, in voxels.
        margin: voxels that its output is smaller than the padded volume, on each side.
        channels: channels of its output.
        attention: index of the autofocus layer, counted from 0; None for other layers.
    """

    operation: Operation
    sources: tuple[int, ...]
    reaches: tuple[int, ...]
    margin: int
    channels: int
    attention: int | None = None


@dataclass(frozen=True)
class Graph:
    """The stages of a network. Each comes after those that it reads; the last one gives the logits."""

    stages: tuple[Stage, ...]
    in_channels: int
    margin: int

    def to(self, dtype: torch.dtype) -> Graph:
        """The graph with its weights in ``dtype``."""
        stages = tuple(replace(stage, operation=stage.operation.to(dtype)) for stage in self.stages)
        return replace(self, stages=stages)

    @property
    def reach(self) -> int:
        """Radius of the receptive field in voxels: how far from an output voxel the input still matters."""
        reach = {len(self.stages) - 1: 0}
        for index in reversed(range(len(self.stages))):
            for source, step in zip(self.stages[index].sources, self.stages[index].reaches, strict=True):
                reach[source] = max(reach.get(source, 0), reach[index] + step)
        return reach[INPUT]


def fold(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (O, C, k, k, k) and bias (O,) of one convolution that equals a convolution followed by ``norm``."""
    scale, shift = scale_and_shift(norm)
    shift = shift if bias is None else shift + scale * bias.double()
    return (weight.double() * scale.reshape(-1, 1, 1, 1, 1)).to(weight.dtype), shift.to(weight.dtype)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """BatchNorm in evaluation mode as ``scale * x + shift``, in double precision."""
    norm = cast(nn.BatchNorm3d, norm)
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    return scale, norm.bias.double() - mean * scale


@torch.no_grad()
def build_graph(network: AFNet, *, minimal: bool = False) -> Graph:
    """The stages of Basic, an ASPP network or an AFN, with float32 weights on their device.

    ``minimal``: use minimal filtering (a third fewer multiplications), see :mod:`AutofocusCore.inference.filters`.
    """
    stages: list[Stage] = []
    margin = 0
    attention = 0

    def append(
        layer: ConvolutionLayer | AutofocusLayer, block_input: int | None = None, shortcut: Shortcut | None = None
    ) -> None:
        nonlocal margin, attention
        margin += layer.margin
        sources: tuple[int, ...] = (len(stages) - 1,)
        reaches: tuple[int, ...] = (max(layer.dilation_rates) if isinstance(layer, AutofocusLayer) else layer.margin,)
        if block_input is not None:
            sources, reaches = (*sources, block_input), (*reaches, 0)
        channels = layer.conv.out_channels
        if isinstance(layer, AutofocusLayer):
            stages.append(Stage(_autofocus(layer, shortcut, minimal), sources, reaches, margin, channels, attention))
            attention += 1
        else:
            weight, bias = fold(layer.conv.weight, layer.conv.bias, layer.norm)
            operation = Convolution(make_filter(weight, bias, layer.margin, minimal=minimal), shortcut=shortcut)
            stages.append(Stage(operation, sources, reaches, margin, channels))

    for layer in network.stem:
        append(cast(ConvolutionLayer, layer))
    for module in network.blocks:
        block = cast(ResidualBlock, module)
        block_input = len(stages) - 1
        append(block.first)
        append(block.second, block_input, _shortcut(block.projection))
    head, reach = _head(network.head, minimal)
    stages.append(Stage(head, (len(stages) - 1,), (reach,), margin, network.num_classes))
    return Graph(tuple(stages), network.in_channels, margin)


def _autofocus(layer: AutofocusLayer, shortcut: Shortcut | None, minimal: bool) -> Autofocus:
    conv, rates = layer.conv, layer.dilation_rates
    if layer.norm == "branch":
        first = conv.bias
        folded = [fold(conv.weight, first if k == 0 else None, norm) for k, norm in enumerate(layer.norms)]
    else:
        weight, first_bias = fold(conv.weight, conv.bias, layer.norms[0])
        _, bias = fold(conv.weight, None, layer.norms[0])
        folded = [(weight, first_bias if k == 0 else bias) for k in range(len(rates))]
    hidden, score = cast(nn.Conv3d, layer.attention[0]), cast(nn.Conv3d, layer.attention[2])
    return Autofocus(
        _filters(folded, rates, minimal),
        make_filter(hidden.weight.detach(), cast(Tensor, hidden.bias).detach(), 1, minimal=minimal),
        score.weight.detach(),
        cast(Tensor, score.bias).detach(),
        shortcut,
    )


def _filters(folded: list[tuple[Tensor, Tensor]], rates: tuple[int, ...], minimal: bool) -> tuple[Filter, ...]:
    pairs = zip(folded, rates, strict=True)
    return tuple(make_filter(weight, bias, rate, minimal=minimal) for (weight, bias), rate in pairs)


def _shortcut(projection: Projection | None) -> Shortcut:
    if projection is None:
        return Shortcut()
    return Shortcut(*fold(projection.conv.weight, projection.conv.bias, projection.norm))


def _head(head: nn.Module, minimal: bool) -> tuple[Operation, int]:
    """The operation of a head, and how far it reads, in voxels."""
    if isinstance(head, nn.Conv3d):
        return _classifier(head), 0
    if isinstance(head, SumHead):
        classifiers = [_classifier(cast(nn.Conv3d, module)) for module in head.classifiers]
        pairs = zip(head.convs, head.norms, strict=True)
        folded = [fold(cast(Tensor, conv.weight), cast(Tensor, conv.bias), norm) for conv, norm in pairs]
    else:
        head = cast(ConcatenationHead, head)
        whole, count = _classifier(head.classifier), len(head.convs)
        zero = torch.zeros_like(whole.bias)
        parts = whole.weight.chunk(count, dim=1)
        classifiers = [Classifier(part, whole.bias if k == 0 else zero) for k, part in enumerate(parts)]
        scales, shifts = (part.chunk(count) for part in scale_and_shift(head.norm))
        folded = []
        for conv, scale, shift in zip(head.convs, scales, shifts, strict=True):
            weight, bias = cast(Tensor, conv.weight), cast(Tensor, conv.bias)
            scaled = weight.double() * scale.reshape(-1, 1, 1, 1, 1)
            folded.append((scaled.to(weight.dtype), (shift + scale * bias.double()).to(weight.dtype)))
    return Pyramid(_filters(folded, head.dilation_rates, minimal), tuple(classifiers)), max(head.dilation_rates)


def _classifier(conv: nn.Conv3d) -> Classifier:
    assert conv.bias is not None
    return Classifier(conv.weight.detach(), conv.bias.detach())


@torch.no_grad()
def build_coarse_graph(network: DeepMedic, *, minimal: bool = False) -> Graph:
    """DeepMedic's second pathway alone, on every third voxel of the padded volume."""
    stages: list[Stage] = []
    _append_pathway(stages, network.subsampled, start=0, minimal=minimal)
    return Graph(tuple(stages), network.in_channels, Pathway.margin)


@torch.no_grad()
def build_fine_graph(
    network: DeepMedic, coarse: Tensor, origin: tuple[int, int, int], *, minimal: bool = False
) -> Graph:
    """DeepMedic after its second pathway, whose features are ``coarse`` (1, C, d, h, w), first voxel at ``origin``."""
    stages: list[Stage] = []
    start = DeepMedic.margin - Pathway.margin
    _append_pathway(stages, network.normal, start=start, minimal=minimal)
    repeat = Repeat(coarse, origin, SCALE)
    stages.append(Stage(repeat, (), (), DeepMedic.margin, coarse.shape[1]))
    hidden = [network.hidden1, network.hidden2]
    head = Perceptron(
        tuple(conv.weight.detach() for conv in hidden),
        tuple(cast(Tensor, conv.bias).detach() for conv in hidden),
        _classifier(network.head),
    )
    fine = len(stages) - 2
    stages.append(Stage(head, (fine, fine + 1), (0, 0), DeepMedic.margin, network.num_classes))
    return Graph(tuple(stages), network.in_channels, DeepMedic.margin)


def _append_pathway(stages: list[Stage], pathway: Pathway, *, start: int, minimal: bool) -> None:
    """Two stages a layer: the sum that shortcuts read, and its activation. ``start``: voxels not read on each side."""
    sums: list[int] = []
    previous = INPUT
    for number, (conv, module) in enumerate(zip(pathway.convs, pathway.activations, strict=True), start=1):
        weight = cast(Tensor, conv.weight).detach()
        margin = start + number
        sources: tuple[int, ...] = (previous,)
        reaches: tuple[int, ...] = (1,)
        shortcut = None
        if number in RESIDUAL_LAYERS:
            sources, reaches, shortcut = (*sources, sums[number - 3]), (1, 0), Shortcut()
        sums.append(len(stages))
        operation = Convolution(make_filter(weight, None, 1, minimal=minimal), relu=False, shortcut=shortcut)
        stages.append(Stage(operation, sources, reaches, margin, weight.shape[0]))

        activation = cast(Activation, module)
        scale, shift = (part.to(weight.dtype).reshape(1, -1, 1, 1, 1) for part in scale_and_shift(activation.norm))
        previous = len(stages)
        prelu = ScaledPReLU(scale, shift, activation.slope.detach())
        stages.append(Stage(prelu, (sums[-1],), (0,), margin, weight.shape[0]))
