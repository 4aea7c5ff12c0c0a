"""The stages of a network of the ROI domain, whose operations compute rows of active voxels."""

from __future__ import annotations

import torch
from torch import nn

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
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.layers import AutofocusLayer, ConcatenationHead, ConvolutionLayer, SumHead

RowStage = Stage[RowOperation]
RowGraph = Graph[RowOperation]


@torch.no_grad()
def build_row_graph(network: AFNet) -> RowGraph:
    """The stages of Basic, an ASPP network or an AFN of the ROI domain, in float32 on the CPU."""
    stages = (RowStage(_operation(layer), **{**layer.place, "margin": 0}) for layer in layers_of(network))
    return RowGraph(tuple(stages), network.in_channels)


def _operation(layer: Layer) -> RowOperation:
    module = layer.module
    if isinstance(module, ConvolutionLayer):
        folded = fold(module.conv.weight, module.conv.bias, module.norm)
        return Hidden(Convolution(*folded, module.margin), _projection(layer))
    if isinstance(module, AutofocusLayer):
        return _autofocus(module, _projection(layer))
    if isinstance(module, (SumHead, ConcatenationHead)):
        parts = list(head_branches(module))
        convolutions = tuple(Convolution(*folded, rate) for rate, folded, _ in parts)
        return Head(convolutions, tuple(Pointwise(weight.flatten(1), bias) for _, _, (weight, bias) in parts))
    return Head((), (_pointwise(module),))


def _autofocus(layer: AutofocusLayer, projection: Pointwise | None) -> Fused | Branches:
    scores = Scores(Convolution(*weight_and_bias(layer.attention[0]), 1), _pointwise(layer.attention[2]))
    if layer.norm == "fused":
        conv, norm = layer.conv, layer.norms[0]
        assert conv.bias is not None
        weight, shift = fold(conv.weight, None, norm)
        first_bias = (scale_and_shift(norm)[0] * conv.bias.double()).to(conv.bias.dtype)
        return Fused(scores, weight, first_bias, shift, layer.dilation_rates, projection)
    pairs = zip(fold_branches(layer), layer.dilation_rates, strict=True)
    return Branches(scores, tuple(Convolution(*folded, rate) for folded, rate in pairs), projection)


def _projection(layer: Layer) -> Pointwise | None:
    if layer.projection is None:
        return None
    weight, bias = fold(layer.projection.conv.weight, layer.projection.conv.bias, layer.projection.norm)
    return Pointwise(weight.flatten(1), bias)


def _pointwise(conv: nn.Module) -> Pointwise:
    weight, bias = weight_and_bias(conv)
    return Pointwise(weight.flatten(1), bias)
