"""Reference implementation of the ROI domain: dense, zero-padded convolutions, features masked after each layer.

It is slow and takes much memory, but is easy to check by eye. Every faster way to compute a network on active voxels is
tested against it.
In training, BatchNorm takes its statistics from the active voxels alone.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.deepmedic import (
    RESIDUAL_LAYERS,
    SCALE,
    Activation,
    DeepMedic,
    Pathway,
    add_to_first_channels,
)
from AutofocusCore.networks.layers import AutofocusLayer, ConcatenationHead, ResidualBlock, SumHead
from AutofocusCore.networks.roi import check_mask


def forward(network: AFNet | DeepMedic, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Logits (B, classes, D, H, W) of ``x`` (B, C, D, H, W) in the ROI ``mask`` (B, D, H, W); zero outside.

    Args:
        network: one of the paper's ten, of either domain.
        x: the input.
        mask: booleans; None for all voxels.

    Raises:
        SettingError: shapes that do not fit.
    """
    return forward_with_attention(network, x, mask)[0]


def forward_with_attention(
    network: AFNet | DeepMedic, x: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Logits as :func:`forward`, and the attention maps, one (B, K, D, H, W) for each autofocus layer."""
    mask = check_mask(x, mask, network.in_channels)
    roi = mask[:, None].to(x.dtype)
    return _deepmedic(network, x * roi, roi) if isinstance(network, DeepMedic) else _afnet(network, x * roi, roi)


def _afnet(network: AFNet, x: Tensor, roi: Tensor) -> tuple[Tensor, list[Tensor]]:
    attention: list[Tensor] = []

    def layer(module: Any, x: Tensor) -> Tensor:
        if isinstance(module, AutofocusLayer):
            attention.append(_attention(module, x, roi))
            return _autofocus(module, x, attention[-1], roi)
        return _norm(module.norm, _conv(module.conv, x, module.margin), roi)

    for module in network.stem:
        x = functional.relu(layer(module, x)) * roi
    for module in network.blocks:
        block = cast(ResidualBlock, module)
        shortcut = x if block.projection is None else _norm(block.projection.norm, block.projection.conv(x), roi)
        features = layer(block.second, functional.relu(layer(block.first, x)) * roi)
        x = functional.relu(features + shortcut) * roi
    return _head(network.head, x, roi) * roi, attention


def _autofocus(layer: AutofocusLayer, x: Tensor, attention: Tensor, roi: Tensor) -> Tensor:
    branches = [_conv(layer.conv, x, rate, with_bias=k == 0) for k, rate in enumerate(layer.dilation_rates)]
    if layer.norm == "branch":
        branches = [_norm(norm, branch, roi) for norm, branch in zip(layer.norms, branches, strict=True)]
    total = sum(weight * branch for weight, branch in zip(attention.split(1, dim=1), branches, strict=True))
    assert isinstance(total, Tensor)
    return total if layer.norm == "branch" else _norm(layer.norms[0], total, roi)


def _attention(layer: AutofocusLayer, x: Tensor, roi: Tensor) -> Tensor:
    x = x.detach() if layer.detach_attention else x
    hidden = functional.relu(_conv(layer.attention[0], x, 1)) * roi
    return torch.softmax(layer.attention[2](hidden), dim=1) * roi


def _head(head: nn.Module, x: Tensor, roi: Tensor) -> Tensor:
    if isinstance(head, SumHead):
        parts = zip(head.convs, head.norms, head.classifiers, head.dilation_rates, strict=True)
        return torch.stack(
            [last(functional.relu(_norm(norm, _conv(conv, x, r), roi))) for conv, norm, last, r in parts]
        ).sum(0)
    if isinstance(head, ConcatenationHead):
        together = [_conv(conv, x, rate) for conv, rate in zip(head.convs, head.dilation_rates, strict=True)]
        return head.classifier(functional.relu(_norm(head.norm, torch.cat(together, dim=1), roi)))
    return head(x)


def _deepmedic(network: DeepMedic, x: Tensor, roi: Tensor) -> tuple[Tensor, list[Tensor]]:
    third, size = slice(None, None, SCALE), x.shape[2:]
    coarse_roi = functional.max_pool3d(roi, SCALE, ceil_mode=True)
    coarse = _pathway(network.subsampled, x[:, :, third, third, third], coarse_roi)
    for axis, length in enumerate(size, start=2):
        coarse = coarse.repeat_interleave(SCALE, dim=axis).narrow(axis, 0, length)
    both = torch.cat([_pathway(network.normal, x, roi), coarse * roi], dim=1)
    hidden = functional.relu(network.hidden1(both))
    hidden = functional.relu(network.hidden2(network.dropout(hidden)))
    return network.head(network.dropout(hidden)) * roi, []


def _pathway(pathway: Pathway, x: Tensor, roi: Tensor) -> Tensor:
    sums: list[Tensor] = []
    for number, (conv, module) in enumerate(zip(pathway.convs, pathway.activations, strict=True), start=1):
        activation = cast(Activation, module)
        total = _conv(conv, x, 1) * roi
        if number in RESIDUAL_LAYERS:
            total = add_to_first_channels(total, sums[number - 3])
        sums.append(total)
        x = functional.prelu(_norm(activation.norm, total, roi), activation.slope) * roi
    return x


def _conv(conv: Any, x: Tensor, rate: int, *, with_bias: bool = True) -> Tensor:
    return functional.conv3d(x, conv.weight, conv.bias if with_bias else None, padding=rate, dilation=rate)


def _norm(norm: nn.Module, x: Tensor, roi: Tensor) -> Tensor:
    """BatchNorm, in its own plain arithmetic, with the statistics of the active voxels; zero elsewhere."""
    norm = cast(nn.BatchNorm3d, norm)
    axes, spread = (0, 2, 3, 4), (None, slice(None), None, None, None)
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    if norm.training:
        count = roi.sum()
        mean = (x * roi).sum(axes) / count
        variance = ((x - mean[spread]) ** 2 * roi).sum(axes) / count
        with torch.no_grad():
            share = 0.1 if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, share)  # type: ignore[union-attr]
            norm.running_var.lerp_(variance * count / (count - 1), share)  # type: ignore[union-attr]
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return ((x - mean[spread]) * scale[spread] + norm.bias[spread]) * roi
