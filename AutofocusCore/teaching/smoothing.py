"""Gaussian smoothing of images, one axis after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv3d, pad

REACH = 4.0
"""Standard deviations at which the kernel ends."""


def smooth(image: Tensor, sigmas: Sequence[float] | NDArray[np.float64]) -> Tensor:
    """The image (C, D, H, W) smoothed by a Gaussian; `sigmas` along z, y, x in voxels. Its border is repeated."""
    reach = [round(REACH * sigma) + 1 for sigma in sigmas]
    border = [width for width in reversed(reach) for _ in range(2)]
    padded = pad(image[None], border, mode="replicate")
    channels = image.shape[0]
    for axis, sigma in enumerate(sigmas):
        kernel = gaussian(sigma).to(image)
        shape, filled = [1] * 5, [0] * 6
        shape[2 + axis] = len(kernel)
        filled[2 * (2 - axis)] = filled[2 * (2 - axis) + 1] = len(kernel) // 2
        weight = kernel.reshape(shape).repeat([channels, 1, 1, 1, 1])
        padded = conv3d(pad(padded, filled), weight, groups=channels)
    z, y, x = (slice(width, -width) for width in reach)
    return padded[0][:, z, y, x]


def gaussian(sigma: float) -> Tensor:
    """A kernel of a Gaussian, float32: its integral over each voxel, up to `REACH` standard deviations."""
    deviation = torch.as_tensor(sigma, dtype=torch.float)
    tail = int(max(float(deviation) * REACH, 0.5) + 0.5)
    at = torch.arange(-tail, tail + 1, dtype=torch.float)
    scale = 0.70710678 / torch.abs(deviation)
    return (0.5 * ((scale * (at + 0.5)).erf() - (scale * (at - 0.5)).erf())).clamp(min=0)
