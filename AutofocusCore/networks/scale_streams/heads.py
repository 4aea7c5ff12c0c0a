"""Layers on top of the streams: pyramid pooling, and the head for location attention and recalibration."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.networks.scale_streams.dimensions import BATCH_NORM, CONVOLUTION, resize


def layer(in_channels: int, channels: int, *, spatial_dims: int, rate: int, normalised: bool) -> nn.Sequential:
    """A zero-padded convolution of kernel 3 at one dilation rate, BatchNorm if ``normalised``, ReLU."""
    convolution = CONVOLUTION[spatial_dims](in_channels, channels, 3, padding=rate, dilation=rate, bias=not normalised)
    norm: list[nn.Module] = [BATCH_NORM[spatial_dims](channels)] if normalised else []
    return nn.Sequential(convolution, *norm, nn.ReLU(inplace=True))


class PyramidPooling(nn.Module):
    """Pyramid pooling: concatenates the features with their means over smaller and smaller parts of the image.

    Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017: bins 1, 2, 3, 6, each reduced to a share of the
    channels by a 1x1 convolution.

    Args:
        channels: channels of the input.
        bins: numbers of parts into which each axis is divided.
        spatial_dims: 2 or 3.
        normalised: whether BatchNorm follows the convolutions.
    """

    def __init__(self, channels: int, bins: Sequence[int], *, spatial_dims: int, normalised: bool) -> None:
        super().__init__()
        self.bins = tuple(bins)
        share = channels // len(self.bins)
        self.out_channels = channels + share * len(self.bins)
        self.pool = functional.adaptive_avg_pool2d if spatial_dims == 2 else functional.adaptive_avg_pool3d
        self.reductions = nn.ModuleList(
            nn.Sequential(
                CONVOLUTION[spatial_dims](channels, share, 1, bias=not normalised),
                *([BATCH_NORM[spatial_dims](share)] if normalised else []),
                nn.ReLU(inplace=True),
            )
            for _ in self.bins
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, out_channels, ...) of ``x`` (B, channels, ...)."""
        context = [
            resize(reduction(self.pool(x, count)), x.shape[2:])
            for reduction, count in zip(self.reductions, self.bins, strict=True)
        ]
        return torch.cat([x, *context], dim=1)


class RefineHead(nn.Module):
    """From the hypercolumns of all streams to location attention and recalibration.

    Each stream has its own dilated convolution; if ``dilations`` is empty, the hypercolumns are concatenated directly.
    Two parallel branches of two convolutions read the concatenation.

    Args:
        in_channels: channels of one hypercolumn.
        streams: S.
        classes: number of classes to recalibrate; 0: no recalibration.
        width: channels of the dilated convolutions and of the hidden layers.
        dilations: S rates, or empty.
        location: whether there is a branch for location attention.
        spatial_dims: 2 or 3.
        normalised: whether BatchNorm follows the convolutions, except the last.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        streams: int,
        classes: int,
        width: int,
        dilations: Sequence[int],
        location: bool,
        spatial_dims: int,
        normalised: bool,
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(
            layer(in_channels, width, spatial_dims=spatial_dims, rate=rate, normalised=normalised) for rate in dilations
        )
        joined = streams * (width if dilations else in_channels)

        def branch(outputs: int) -> nn.Module | None:
            if outputs == 0:
                return None
            hidden = layer(joined, width, spatial_dims=spatial_dims, rate=1, normalised=normalised)
            return nn.Sequential(*hidden, CONVOLUTION[spatial_dims](width, outputs, 1))

        self.location = branch(streams if location else 0)
        self.recalibration = branch(classes)
        self.reach = max(dilations, default=0) + 1  # in voxels of the hypercolumns
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.normal_(module.weight, 0.0, 0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def embed(self, stream: int, hypercolumn: Tensor) -> Tensor:
        """The dilated convolution of one stream, (B, width, ...), or its unchanged hypercolumn."""
        return self.embeddings[stream](hypercolumn) if len(self.embeddings) else hypercolumn

    def forward(self, embedded: Sequence[Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """Location attention (B, S, ...), which sums to one over S, and recalibration (B, classes, ...), from 0 to 1.

        Each is None if the network has no such branch.
        """
        joined = torch.cat(list(embedded), dim=1)
        location = None if self.location is None else self.location(joined).float().softmax(dim=1)
        recalibration = None if self.recalibration is None else self.recalibration(joined).float().sigmoid()
        return location, recalibration
