"""DeepMedic, the paper's two-scale baseline (Kamnitsas et al., Medical Image Analysis 2017), in its residual form.

The second pathway reads every third voxel. If output voxel 0 is input voxel ``margin`` = 24, it reads the input voxels
0, 3, 6, ...: the receptive field of its first output is centred on output voxel 0, and each of its outputs is used for
three voxels, as in the published sampler.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.kernels import ActiveVoxels, blended_convolution, normalise_rows
from AutofocusCore.networks.layers import check_input, crop
from AutofocusCore.networks.roi import Domain, forward_dense, no_mask_taken, pointwise

PATHWAY_CHANNELS = (30, 30, 40, 40, 40, 40, 50, 50)
RESIDUAL_LAYERS = (4, 6, 8)
HIDDEN = 150
SCALE = 3
MARGIN = SCALE * len(PATHWAY_CHANNELS)


class Activation(nn.Module):
    """BatchNorm and PReLU: three parameters for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(channels)
        self.slope = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.prelu(self.norm(x), self.slope)

    def of_rows(self, rows: Tensor) -> Tensor:
        """The activation of rows (N, C)."""
        return functional.prelu(normalise_rows(self.norm, rows), self.slope.to(rows.dtype))


class Pathway(nn.Module):
    """Eight valid 3x3x3 convolutions; the fourth, sixth and eighth add the sum before their pair, centre-cropped.

    The shortcut is added onto the first channels, without projection, before normalisation ("pre-activation").
    The output is 8 voxels smaller on each side.
    """

    margin = len(PATHWAY_CHANNELS)

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = PATHWAY_CHANNELS[-1]
        inputs = (in_channels, *PATHWAY_CHANNELS[:-1])
        self.convs = nn.ModuleList(
            nn.Conv3d(c, o, 3, bias=False) for c, o in zip(inputs, PATHWAY_CHANNELS, strict=True)
        )
        self.activations = nn.ModuleList(Activation(channels) for channels in PATHWAY_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        sums: list[Tensor] = []
        for number, (conv, activation) in enumerate(zip(self.convs, self.activations, strict=True), start=1):
            total = conv(x)
            if number in RESIDUAL_LAYERS:
                total = add_to_first_channels(total, crop(sums[number - 3], 2))
            sums.append(total)
            x = activation(total)
        return x

    def forward_rows(self, rows: Tensor, voxels: ActiveVoxels) -> Tensor:
        """Features (N, 50) of ``rows`` (N, C) in the ROI domain, which keeps every layer's size."""
        sums: list[Tensor] = []
        for number, (conv, activation) in enumerate(zip(self.convs, self.activations, strict=True), start=1):
            total = blended_convolution(rows, conv.weight, voxels, rates=(1,))  # type: ignore[arg-type]
            if number in RESIDUAL_LAYERS:
                shortcut = sums[number - 3]
                total = total + functional.pad(shortcut, (0, total.shape[1] - shortcut.shape[1]))
            sums.append(total)
            rows = activation.of_rows(total)  # type: ignore[operator]
        return rows


def add_to_first_channels(x: Tensor, shortcut: Tensor) -> Tensor:
    """``x`` (B, O, d, h, w) plus ``shortcut`` (B, C, d, h, w) on its first C channels, C <= O."""
    missing = x.shape[1] - shortcut.shape[1]
    return x + (functional.pad(shortcut, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else shortcut)


class DeepMedic(nn.Module):
    """Two pathways, then two 1x1x1 layers of 150 maps and a classifier; dropout 0.5 before the last two.

    In the ROI domain a voxel of the second pathway is active if any of the 27 voxels that use it is active.

    Args:
        in_channels: modalities of the input.
        num_classes: classes, background included.
        domain: "box" or "roi", as for :class:`AutofocusCore.networks.afnet.AFNet`.
    """

    margin = MARGIN
    autofocus_layers = 0
    dilation_rates: tuple[int, ...] = ()
    options: dict[str, Any]

    def __init__(self, *, in_channels: int, num_classes: int, domain: Domain = "box") -> None:
        super().__init__()
        self.domain = domain
        if domain == "roi":
            self.margin = 0
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.normal = Pathway(in_channels)
        self.subsampled = Pathway(in_channels)
        self.hidden1 = nn.Conv3d(2 * PATHWAY_CHANNELS[-1], HIDDEN, 1)
        self.hidden2 = nn.Conv3d(HIDDEN, HIDDEN, 1)
        self.head = nn.Conv3d(HIDDEN, num_classes, 1)
        self.dropout = nn.Dropout(0.5)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, classes, D - 48, H - 48, W - 48) of x (B, C, D, H, W); in the ROI domain (B, classes, D, H, W).

        Raises:
            SettingError: the input has a wrong shape, or a mask was given in the box domain.
        """
        if self.domain == "roi":
            return forward_dense(self, x, mask)[0]
        if mask is not None:
            raise no_mask_taken()
        check_input(x, self.in_channels, self.margin)
        fine = self.normal(crop(x, self.margin - Pathway.margin))
        coarse = repeat(self.subsampled(x[:, :, ::SCALE, ::SCALE, ::SCALE]), fine.shape[2:])
        hidden = functional.relu(self.hidden1(torch.cat([fine, coarse], dim=1)))
        hidden = functional.relu(self.hidden2(self.dropout(hidden)))
        return self.head(self.dropout(hidden))

    def forward_with_attention(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Logits as :meth:`forward`, and no attention maps: DeepMedic has none."""
        return self(x, mask), []

    def forward_rows(self, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
        """In the ROI domain: logits (N, classes) of ``rows`` (N, C), a row for each active voxel; no attention."""
        fine = self.normal.forward_rows(rows, voxels)
        coarse_voxels = ActiveVoxels.from_mask(coarse_mask(voxels.index >= 0))
        thinned = voxels.scatter(rows)[:, :, ::SCALE, ::SCALE, ::SCALE]
        coarse = self.subsampled.forward_rows(coarse_voxels.gather(thinned), coarse_voxels)
        serving = coarse_voxels.index
        for axis, length in enumerate(voxels.shape[1:], start=1):
            serving = serving.repeat_interleave(SCALE, dim=axis).narrow(axis, 0, length)
        coarse = coarse.index_select(0, serving.flatten()[voxels.flat].long())
        hidden = functional.relu(pointwise(self.hidden1, torch.cat([fine, coarse], dim=1)))
        hidden = functional.relu(pointwise(self.hidden2, self.dropout(hidden)))
        return pointwise(self.head, self.dropout(hidden)), []


def coarse_mask(mask: Tensor) -> Tensor:
    """The voxels of the second pathway that voxels of ``mask`` (B, D, H, W) use."""
    return functional.max_pool3d(mask[:, None].float(), SCALE, ceil_mode=True)[:, 0] > 0


def repeat(x: Tensor, size: torch.Size) -> Tensor:
    """``x`` (B, C, d, h, w) with each voxel repeated three times on each axis, cropped at the end to ``size``."""
    for axis, length in enumerate(size, start=2):
        x = x.repeat_interleave(SCALE, dim=axis).narrow(axis, 0, length)
    return x
