"""The networks in the ROI domain: the same modules and parameters, computed on active voxels alone.

A volume is the list of its active voxels, those of the ROI mask; its features are a matrix, a row for each of them
(:class:`AutofocusCore.kernels.ActiveVoxels`). Outside the mask features are zero after every layer, as they are beyond
the border of the scan: submanifold sparse convolution (Graham et al. 2018), for autofocus layers too. Layers keep their
size, so nothing is cropped and the margin is 0. What is computed here equals :mod:`AutofocusCore.networks.reference`.

Letters used for shapes: N active voxels, C input channels, O output channels, K dilation rates.

Each hidden layer answers with its features *before* the non-linearity, and its attention (an empty list where it has
none), as in :mod:`AutofocusCore.networks.layers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import ActiveVoxels, blended_convolution
from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Projection,
    ResidualBlock,
    SumHead,
)

if TYPE_CHECKING:
    from AutofocusCore.networks.afnet import AFNet

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


def afnet_rows(network: AFNet, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
    """Logits (N, classes) and attention, one (N, K) for each autofocus layer, of ``rows`` (N, C)."""
    for layer in network.stem:
        features, _ = hidden_layer(layer, rows, voxels)
        rows = functional.relu(features)
    attention: list[Tensor] = []
    for block in network.blocks:
        rows, weights = residual_block(block, rows, voxels)  # type: ignore[arg-type]
        attention += weights
    return head(network.head, rows, voxels), attention


def residual_block(block: ResidualBlock, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
    """relu(second(relu(first(x))) + x), the shortcut projected where the channels change."""
    features, attention = hidden_layer(block.first, rows, voxels)
    features, more_attention = hidden_layer(block.second, functional.relu(features), voxels)
    shortcut = rows if block.projection is None else projection(block.projection, rows)
    return functional.relu(features + shortcut), attention + more_attention


def hidden_layer(layer: nn.Module, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
    """A hidden layer's features (N, O) before the ReLU, and its attention."""
    if isinstance(layer, AutofocusLayer):
        return autofocus_layer(layer, rows, voxels)
    assert isinstance(layer, ConvolutionLayer)
    return normalise(layer.norm, convolve(layer.conv, rows, voxels, rate=layer.margin)), []


def autofocus_layer(layer: AutofocusLayer, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
    """The weighted sum over the rates; with one BatchNorm after it ("fused") a single convolution of blended inputs."""
    weights = attend(layer, rows, voxels)
    conv, rates = layer.conv, layer.dilation_rates
    assert conv.bias is not None
    if layer.norm == "fused":
        features = blended_convolution(rows, conv.weight, voxels, rates=rates, attention=weights, first_bias=conv.bias)
        return normalise(layer.norms[0], features), [weights]
    total: Tensor | None = None
    for k, (rate, norm) in enumerate(zip(rates, layer.norms, strict=True)):
        branch = normalise(norm, convolve(conv, rows, voxels, rate=rate, with_bias=k == 0))
        branch = branch * weights[:, k : k + 1].to(branch.dtype)
        total = branch if total is None else total + branch
    assert total is not None
    return total, [weights]


def attend(layer: AutofocusLayer, rows: Tensor, voxels: ActiveVoxels) -> Tensor:
    """Attention over the rates (N, K), in float32 at the least, from the layer's own input (N, C)."""
    rows = rows.detach() if layer.detach_attention else rows
    hidden = functional.relu(convolve(layer.attention[0], rows, voxels, rate=1))
    scores = pointwise(layer.attention[2], hidden)
    return torch.softmax(scores.to(torch.promote_types(scores.dtype, torch.float32)), dim=1)


def projection(module: Projection, rows: Tensor) -> Tensor:
    """The shortcut's 1x1x1 convolution and BatchNorm."""
    return normalise(module.norm, pointwise(module.conv, rows))


def head(module: nn.Module, rows: Tensor, voxels: ActiveVoxels) -> Tensor:
    """Logits (N, classes) in the rows' type."""
    if isinstance(module, SumHead):
        parts = zip(module.convs, module.norms, module.classifiers, module.dilation_rates, strict=True)
        return torch.stack(
            [
                pointwise(classifier, functional.relu(normalise(norm, convolve(conv, rows, voxels, rate=rate))))
                for conv, norm, classifier, rate in parts
            ]
        ).sum(dim=0)
    if isinstance(module, ConcatenationHead):
        branches = zip(module.convs, module.dilation_rates, strict=True)
        together = torch.cat([convolve(conv, rows, voxels, rate=rate) for conv, rate in branches], dim=1)
        return pointwise(module.classifier, functional.relu(normalise(module.norm, together)))
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


def normalise(norm: nn.Module, rows: Tensor) -> Tensor:
    """BatchNorm over rows, its statistics those of the active voxels alone."""
    if type(norm) is not nn.BatchNorm3d:  # one whose statistics go over several processes
        return norm(rows.t()[None, :, :, None, None])[0, :, :, 0, 0].t()
    # Rows stay two-dimensional: as (1, C, N, 1, 1) their gradient comes out wrong on the CPU (seen with torch 2.13).
    training = norm.training or norm.running_mean is None
    momentum = 0.0 if norm.momentum is None else norm.momentum
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    return functional.batch_norm(
        rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, momentum, norm.eps
    )
