"""The layers of the paper: dilated convolution, autofocus convolution, residual block, ASPP heads.

Letters used for shapes: B batch, C input channels, O output channels, K dilation rates, (D, H, W) voxels.
Every convolution is *valid*: with a 3x3x3 kernel at dilation rate r, the output is r voxels smaller on each side.

``layer(x)`` of a hidden layer returns its features *before* the non-linearity, so that a residual can be added before
the ReLU, and its attention maps (an empty list for plain layers).

Source: Qin et al., "Autofocus Layer for Semantic Segmentation", MICCAI 2018, and the models its authors released.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.errors import SettingError

Norm = Literal["branch", "fused"]

# Bounds of a network's options, far beyond any real network. Without them a damaged or hostile model could use up all
# memory.
MOST_CHANNELS = 256
MOST_RATES = 32
LARGEST_RATE = 512
LARGEST_WIDTH = 4096


def is_count(value: object, least: int, most: int) -> bool:
    """Whether the value is a whole number within a range; booleans do not count as numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_input(x: Tensor, in_channels: int, margin: int) -> None:
    """Raise :class:`SettingError` unless ``x`` is (B, in_channels, D, H, W) and larger than both margins."""
    if x.ndim != 5 or x.shape[1] != in_channels or min(x.shape[2:]) <= 2 * margin:
        raise SettingError(
            f"The network takes (B, {in_channels}, D, H, W) with more than {2 * margin} voxels on each axis,"
            f" not {tuple(x.shape)}",
            f"pad the volume by the network's margin of {margin} voxels on each side",
        )


def crop(x: Tensor, margin: int) -> Tensor:
    """``x`` (B, C, D, H, W) without ``margin`` voxels on each side of its last three axes."""
    if margin == 0:
        return x
    inside = slice(margin, -margin)
    return x[:, :, inside, inside, inside]


def autofocus_branches(x: Tensor, weight: Tensor, bias: Tensor | None, dilation_rates: Sequence[int]) -> list[Tensor]:
    """The K parallel convolutions of an autofocus layer, with shared ``weight``.

    The convolution of the first (smallest) rate is valid; the others are zero-padded to the same size. Only the first
    branch has a bias, as in the released models.

    Args:
        x: (B, C, D, H, W).
        weight: (O, C, 3, 3, 3).
        bias: (O,) or None.
        dilation_rates: K rates in ascending order.

    Returns:
        K tensors (B, O, D - 2 r, H - 2 r, W - 2 r), r the first rate.
    """
    smallest = dilation_rates[0]
    return [
        functional.conv3d(x, weight, bias if rate == smallest else None, padding=rate - smallest, dilation=rate)
        for rate in dilation_rates
    ]


def blend(branches: Iterable[Tensor], attention: Tensor) -> Tensor:
    """The weighted sum of an autofocus layer: F = sum over k of attention[k] * branch[k] (the paper's Equation 3).

    Args:
        branches: K tensors (B, O, d, h, w).
        attention: (B, K, d, h, w), which sums to one over K; shared by all O channels of a branch.
    """
    total: Tensor | None = None
    for branch, weight in zip(branches, attention.split(1, dim=1), strict=True):
        total = branch * weight if total is None else torch.addcmul(total, branch, weight)
    assert total is not None
    return total


class ConvolutionLayer(nn.Module):
    """A valid 3x3x3 convolution at one dilation rate, then BatchNorm."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.margin = dilation
        self.conv = nn.Conv3d(in_channels, out_channels, 3, dilation=dilation)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.norm(self.conv(x)), []


class AutofocusLayer(nn.Module):
    """K convolutions with shared weights and different dilation rates, summed with attention weights at each voxel.

    Args:
        in_channels: C.
        out_channels: O.
        dilation_rates: K rates, ascending.
        norm: "branch": a BatchNorm for each rate inside the weighted sum, as released; "fused": one after the sum.
        detach_attention: no gradient flows from the attention branch into the layer's input, as released.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dilation_rates: Sequence[int],
        norm: Norm = "branch",
        detach_attention: bool = True,
    ) -> None:
        super().__init__()
        self.dilation_rates = tuple(dilation_rates)
        self.margin = self.dilation_rates[0]
        self.norm = norm
        self.detach_attention = detach_attention
        self.conv = nn.Conv3d(in_channels, out_channels, 3, dilation=self.margin)
        self.norms = nn.ModuleList(
            nn.BatchNorm3d(out_channels) for _ in (self.dilation_rates if norm == "branch" else [None])
        )
        hidden = in_channels // 2
        self.attention = nn.Sequential(
            nn.Conv3d(in_channels, hidden, 3), nn.ReLU(inplace=True), nn.Conv3d(hidden, len(self.dilation_rates), 1)
        )

    def attend(self, x: Tensor) -> Tensor:
        """Attention over the rates, (B, K, D - 2 r, H - 2 r, W - 2 r), from the layer's own input (B, C, D, H, W)."""
        scores = self.attention(x.detach() if self.detach_attention else x)
        return functional.softmax(crop(scores, self.margin - 1), dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        attention = self.attend(x)
        branches = autofocus_branches(x, self.conv.weight, self.conv.bias, self.dilation_rates)
        if self.norm == "branch":
            features = blend([norm(branch) for norm, branch in zip(self.norms, branches, strict=True)], attention)
        else:
            features = self.norms[0](blend(branches, attention))
        return features, [attention]


class Projection(nn.Module):
    """1x1x1 convolution and BatchNorm of a shortcut whose number of channels changes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 1)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """Two hidden layers and a shortcut: relu(second(relu(first(x))) + centre-cropped x)."""

    def __init__(self, first: ConvolutionLayer | AutofocusLayer, second: ConvolutionLayer | AutofocusLayer) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.margin = first.margin + second.margin
        in_channels, out_channels = first.conv.in_channels, second.conv.out_channels
        self.projection = Projection(in_channels, out_channels) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, attention = self.first(x)
        features, more_attention = self.second(functional.relu(features))
        shortcut = crop(x, self.margin)
        if self.projection is not None:
            shortcut = self.projection(shortcut)
        return functional.relu(features + shortcut), attention + more_attention


class SumHead(nn.Module):
    """ASPP-S: four dilated convolutions with separate weights, each with a classifier; the scores are summed."""

    def __init__(self, in_channels: int, num_classes: int, *, dilation_rates: Sequence[int], width: int = 120) -> None:
        super().__init__()
        self.dilation_rates = tuple(dilation_rates)
        self.convs = nn.ModuleList(
            nn.Conv3d(in_channels, width, 3, padding=rate, dilation=rate) for rate in dilation_rates
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(width) for _ in dilation_rates)
        self.classifiers = nn.ModuleList(nn.Conv3d(width, num_classes, 1) for _ in dilation_rates)

    def forward(self, x: Tensor) -> Tensor:
        branches = zip(self.convs, self.norms, self.classifiers, strict=True)
        scores = [classifier(functional.relu(norm(conv(x)))) for conv, norm, classifier in branches]
        return torch.stack(scores).sum(dim=0)


class ConcatenationHead(nn.Module):
    """ASPP-C: four dilated convolutions with separate weights, concatenated before one classifier."""

    def __init__(self, in_channels: int, num_classes: int, *, dilation_rates: Sequence[int], width: int = 30) -> None:
        super().__init__()
        self.dilation_rates = tuple(dilation_rates)
        self.convs = nn.ModuleList(
            nn.Conv3d(in_channels, width, 3, padding=rate, dilation=rate) for rate in dilation_rates
        )
        self.norm = nn.BatchNorm3d(width * len(self.dilation_rates))
        self.classifier = nn.Conv3d(width * len(self.dilation_rates), num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(functional.relu(self.norm(torch.cat([conv(x) for conv in self.convs], dim=1))))


def initialise(network: nn.Module) -> None:
    """Initialise as released: convolution weights from N(0, 0.01), BatchNorm with scale one and shift zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight, 0.0, 0.01)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
