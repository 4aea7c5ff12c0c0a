"""The truth that every kernel is held to: dense convolutions over the zero-padded box, masked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.kernels import ActiveVoxels


def dense_convolution(
    features: Tensor,
    weight: Tensor,
    voxels: ActiveVoxels,
    *,
    rates: Sequence[int],
    attention: Tensor | None = None,
    bias: Tensor | None = None,
    first_bias: Tensor | None = None,
) -> Tensor:
    """What ``blended_convolution`` computes, by K dense convolutions of PyTorch; differentiable."""
    box = voxels.scatter(features)
    total = torch.zeros(())
    for k, rate in enumerate(rates):
        branch = functional.conv3d(box, weight, padding=rate, dilation=rate)
        total = total + (branch if attention is None else branch * voxels.scatter(attention[:, k : k + 1]))
    result = voxels.gather(total)
    if first_bias is not None:
        assert attention is not None
        result = result + attention[:, :1] * first_bias
    return result if bias is None else result + bias
