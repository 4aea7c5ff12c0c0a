"""Baseline for comparison: MONAI's DynUNet, the network of nnU-Net, trained on the same scans as ours.

It computes the whole box round a scan's active voxels; its output outside them is ignored.
Source: Isensee et al., "nnU-Net", Nature Methods 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn
from torch.nn.functional import pad

import AutofocusCore
from AutofocusCore.kernels import ActiveVoxels
from Training.configuration.config import Config


class DynUNetBaseline(nn.Module):
    """DynUNet with the interface of the networks of the ROI domain.

    Args:
        in_channels, num_classes: as for `AutofocusCore.build_network`.
        filters: channels of each resolution; each after the first is half as fine.
    """

    domain = "roi"
    margin = 0

    def __init__(self, *, in_channels: int, num_classes: int, filters: Sequence[int]) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        self.options: dict[str, Any] = {"dilation_rates": []}
        levels = len(filters)
        self.coarsest = 2 ** (levels - 1)
        self.network = DynUNet(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=num_classes,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(filters),
            norm_name="instance",
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, classes, D, H, W) of x (B, C, D, H, W); zero outside the mask (B, D, H, W)."""
        shape = x.shape[2:]
        border = [
            n for extent in reversed(shape) for n in (0, math.ceil(extent / self.coarsest) * self.coarsest - extent)
        ]
        low = x.dtype == torch.bfloat16
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            logits = self.network(pad(x.float(), border))
        logits = logits[:, :, : shape[0], : shape[1], : shape[2]]
        return logits if mask is None else logits * mask[:, None]

    def forward_rows(self, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
        """Logits (N, classes) of rows (N, C), one for each active voxel; no attention."""
        return voxels.gather(self(voxels.scatter(rows).contiguous())), []


def network_of(config: Config, step: int | None = None) -> nn.Module:
    """The network that an experiment trains: the baseline, if there is one, or the model's.

    Args:
        step: number of steps done; None: the network of the run's end.
    """
    architecture = (config.model if step is None else config.model_at(step)).architecture
    if config.baseline is None:
        return AutofocusCore.build_network(**architecture)
    return DynUNetBaseline(
        in_channels=architecture["in_channels"],
        num_classes=architecture["num_classes"],
        filters=config.baseline.filters,
    )
