"""The stages of a network of the box domain, whose operations compute boxes of voxels."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from AutofocusCore.inference.filters import make_filter
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
from AutofocusCore.inference.stages import (
    INPUT,
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
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.deepmedic import RESIDUAL_LAYERS, SCALE, Activation, DeepMedic, Pathway
from AutofocusCore.networks.layers import AutofocusLayer, ConcatenationHead, ConvolutionLayer, SumHead

BoxStage = Stage[Operation]
BoxGraph = Graph[Operation]


@torch.no_grad()
def build_graph(network: AFNet, *, minimal: bool = False) -> BoxGraph:
    """The stages of Basic, an ASPP network or an AFN, with float32 weights on their device.

    ``minimal``: use minimal filtering (a third fewer multiplications), see :mod:`AutofocusCore.inference.filters`.
    """
    layers = layers_of(network)
    stages = tuple(BoxStage(_operation(layer, minimal), **layer.place) for layer in layers)
    return BoxGraph(stages, network.in_channels, stages[-1].margin)


def _operation(layer: Layer, minimal: bool) -> Operation:
    module = layer.module
    if isinstance(module, ConvolutionLayer):
        weight, bias = fold(module.conv.weight, module.conv.bias, *scale_and_shift(module.norm))
        return Convolution(make_filter(weight, bias, module.margin, minimal=minimal), shortcut=_shortcut(layer))
    if isinstance(module, AutofocusLayer):
        pairs = zip(fold_branches(module), module.dilation_rates, strict=True)
        branches = tuple(make_filter(weight, bias, rate, minimal=minimal) for (weight, bias), rate in pairs)
        hidden = make_filter(*weight_and_bias(module.attention[0]), 1, minimal=minimal)
        return Autofocus(branches, hidden, *weight_and_bias(module.attention[2]), _shortcut(layer))
    if isinstance(module, (SumHead, ConcatenationHead)):
        parts = list(head_branches(module))
        filters = tuple(make_filter(weight, bias, rate, minimal=minimal) for rate, (weight, bias), _ in parts)
        return Pyramid(filters, tuple(Classifier(*last) for _, _, last in parts))
    return Classifier(*weight_and_bias(module))


def _shortcut(layer: Layer) -> Shortcut | None:
    if not layer.ends_block:
        return None
    if layer.projection is None:
        return Shortcut()
    conv, norm = layer.projection.conv, layer.projection.norm
    return Shortcut(*fold(conv.weight, conv.bias, *scale_and_shift(norm)))


@torch.no_grad()
def build_coarse_graph(network: DeepMedic, *, minimal: bool = False) -> BoxGraph:
    """DeepMedic's second pathway alone, on every third voxel of the padded volume."""
    stages: list[BoxStage] = []
    _append_pathway(stages, network.subsampled, start=0, minimal=minimal)
    return BoxGraph(tuple(stages), network.in_channels, Pathway.margin)


@torch.no_grad()
def build_fine_graph(
    network: DeepMedic, coarse: Tensor, origin: tuple[int, int, int], *, minimal: bool = False
) -> BoxGraph:
    """DeepMedic after its second pathway, whose features are ``coarse`` (1, C, d, h, w), first voxel at ``origin``."""
    stages: list[BoxStage] = []
    start = DeepMedic.margin - Pathway.margin
    _append_pathway(stages, network.normal, start=start, minimal=minimal)
    repeat = Repeat(coarse, origin, SCALE)
    stages.append(BoxStage(repeat, (), (), DeepMedic.margin, coarse.shape[1]))
    hidden = [network.hidden1, network.hidden2]
    head = Perceptron(
        tuple(conv.weight.detach() for conv in hidden),
        tuple(cast(Tensor, conv.bias).detach() for conv in hidden),
        Classifier(*weight_and_bias(network.head)),
    )
    fine = len(stages) - 2
    stages.append(BoxStage(head, (fine, fine + 1), (0, 0), DeepMedic.margin, network.num_classes))
    return BoxGraph(tuple(stages), network.in_channels, DeepMedic.margin)


def _append_pathway(stages: list[BoxStage], pathway: Pathway, *, start: int, minimal: bool) -> None:
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
        stages.append(BoxStage(operation, sources, reaches, margin, weight.shape[0]))

        activation = cast(Activation, module)
        scale, shift = (part.to(weight.dtype).reshape(1, -1, 1, 1, 1) for part in scale_and_shift(activation.norm))
        previous = len(stages)
        prelu = ScaledPReLU(scale, shift, activation.slope.detach())
        stages.append(BoxStage(prelu, (sums[-1],), (0,), margin, weight.shape[0]))
