"""The layers in the ROI domain: the same modules and parameters, computed on active voxels alone.

A volume is the list of its active voxels, those of the ROI mask; its features are a matrix, a row for each of them
(:class:`AutofocusCore.kernels.ActiveVoxels`). Outside the mask features are zero after every layer, as they are beyond
the border of the scan: submanifold sparse convolution (Graham et al. 2018), for autofocus layers too. Layers keep their
size, so nothing is cropped and the margin is 0. What is computed here equals :mod:`AutofocusCore.networks.reference`.

Letters used for shapes: N active voxels, C input channels, O output channels, K dilation rates.

Functions of hidden layers return the features after the ReLU and the attention (an empty list for plain layers). The
shortcut of a residual block is added before the ReLU.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import ActiveVoxels, attention_over_rates, blended_convolution, normalise_rows
from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Projection,
    ResidualBlock,
    SumHead,
)

Domain = Literal["box", "roi"]


def check_mask(x: Tensor, mask: Tensor | None, in_channels: int) -> Tensor:
    """The mask (B, D, H, W) of ``x`` (B, C, D, H, W); all voxels where ``mask`` is None.

    Raises:
        SettingError: another shape of either, or a mask that is not boolean.
    """
    if x.ndim != 5 or x.shape[1] != in_channels or min(x.shape[2:]) < 1:
        raise SettingError(
            f"The network takes (B, {in_channels}, D, H, W), not {tuple(x.shape)}", "give a batch of volumes"
        )
    shape = (x.shape[0], *x.shape[2:])
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=x.device)
    if mask.dtype != torch.bool or tuple(mask.shape) not in (shape, shape[1:] if shape[0] == 1 else shape):
        raise SettingError(
            f"The mask is {str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)}",
            f"give booleans of shape {shape}, true where the region of interest is",
        )
    return mask.reshape(shape).to(x.device)


def no_mask_taken() -> SettingError:
    """The error for a mask that is given to a network of the box domain."""
    return SettingError("A network of the box domain takes no ROI mask", "build it with domain='roi', or leave it out")


def forward_dense(network: nn.Module, x: Tensor, mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, classes, D, H, W) and attention (B, K, D, H, W) of a network with ``forward_rows``; zero outside."""
    voxels = ActiveVoxels.from_mask(check_mask(x, mask, network.in_channels))  # type: ignore[arg-type]
    logits, attention = network.forward_rows(voxels.gather(x), voxels)  # type: ignore[operator]
    return voxels.scatter(logits), [voxels.scatter(weights) for weights in attention]


def residual_block(block: ResidualBlock, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
    """relu(second(relu(first(x))) + x), the shortcut projected where the channels change."""
    shortcut = rows if block.projection is None else projection(block.projection, rows)
    features, attention = hidden_layer(block.first, rows, voxels)
    features, more_attention = hidden_layer(block.second, features, voxels, shortcut=shortcut)
    return features, attention + more_attention


def hidden_layer(
    layer: nn.Module, rows: Tensor, voxels: ActiveVoxels, *, shortcut: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """A hidden layer's features (N, O), with the shortcut (N, O) of a residual block added, after the ReLU."""
    if isinstance(layer, AutofocusLayer):
        return autofocus_layer(layer, rows, voxels, shortcut=shortcut)
    assert isinstance(layer, ConvolutionLayer)
    features = convolve(layer.conv, rows, voxels, rate=layer.margin)
    return normalise_rows(layer.norm, features, residual=shortcut, relu=True), []


def autofocus_layer(
    layer: AutofocusLayer, rows: Tensor, voxels: ActiveVoxels, *, shortcut: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """The weighted sum over the rates; with one BatchNorm after it ("fused") a single convolution of blended inputs."""
    weights = attend(layer, rows, voxels)
    conv, rates = layer.conv, layer.dilation_rates
    assert conv.bias is not None
    if layer.norm == "fused":
        features = blended_convolution(rows, conv.weight, voxels, rates=rates, attention=weights, first_bias=conv.bias)
        return normalise_rows(layer.norms[0], features, residual=shortcut, relu=True), [weights]
    total = shortcut
    for k, (rate, norm) in enumerate(zip(rates, layer.norms, strict=True)):
        branch = normalise_rows(norm, convolve(conv, rows, voxels, rate=rate, with_bias=k == 0))
        branch = branch * weights[:, k : k + 1].to(branch.dtype)
        total = branch if total is None else total + branch
    assert total is not None
    return functional.relu(total), [weights]


def attend(layer: AutofocusLayer, rows: Tensor, voxels: ActiveVoxels) -> Tensor:
    """Attention over the rates (N, K), in float32 at the least, from the layer's own input (N, C)."""
    rows = rows.detach() if layer.detach_attention else rows
    hidden, last = layer.attention[0], layer.attention[2]
    assert isinstance(last, nn.Conv3d)
    weight, bias = hidden.weight, hidden.bias
    return attention_over_rates(rows, voxels, weight, bias, last.weight.flatten(1), last.bias)  # type: ignore[arg-type]


def projection(module: Projection, rows: Tensor) -> Tensor:
    """The shortcut's 1x1x1 convolution and BatchNorm."""
    return normalise_rows(module.norm, pointwise(module.conv, rows))


def head(module: nn.Module, rows: Tensor, voxels: ActiveVoxels) -> Tensor:
    """Logits (N, classes) in the rows' type."""
    if isinstance(module, SumHead):
        parts = zip(module.convs, module.norms, module.classifiers, module.dilation_rates, strict=True)
        return torch.stack(
            [
                pointwise(classifier, normalise_rows(norm, convolve(conv, rows, voxels, rate=rate), relu=True))
                for conv, norm, classifier, rate in parts
            ]
        ).sum(dim=0)
    if isinstance(module, ConcatenationHead):
        branches = zip(module.convs, module.dilation_rates, strict=True)
        together = torch.cat([convolve(conv, rows, voxels, rate=rate) for conv, rate in branches], dim=1)
        return pointwise(module.classifier, normalise_rows(module.norm, together, relu=True))
    return pointwise(module, rows)


def convolve(conv: nn.Module, rows: Tensor, voxels: ActiveVoxels, *, rate: int, with_bias: bool = True) -> Tensor:
    """A 3x3x3 convolution at a dilation rate, (N, O)."""
    assert isinstance(conv, nn.Conv3d)
    return blended_convolution(rows, conv.weight, voxels, rates=(rate,), bias=conv.bias if with_bias else None)


def pointwise(conv: nn.Module, rows: Tensor) -> Tensor:
    """A 1x1x1 convolution, (N, O)."""
    assert isinstance(conv, nn.Conv3d)
    bias = None if conv.bias is None else conv.bias.to(rows.dtype)
    return functional.linear(rows, conv.weight.flatten(1).to(rows.dtype), bias)
