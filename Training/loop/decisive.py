"""Attention that decides: a reward for layers that choose clearly at each voxel, and not the same everywhere.

The reward is the mutual information between voxel and dilation rate: the entropy of the mean attention minus the mean
entropy of the attention. It is 0 where a layer attends alike everywhere, whether to all rates or to one, and largest
(log K) where each voxel attends to one rate alone and all rates are attended to equally often. Attention reads its
layer's input without a gradient, so the reward moves attention alone; where to look far is left to the other losses.
Source: Krause, Perona, Gomes: Discriminative clustering by regularized information maximization, NeurIPS 2010.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_SMALLEST = 1e-8  # keeps the logarithm finite


def information(attention: Tensor) -> Tensor:
    """Mutual information between voxel and rate, in nats, from 0 to log K.

    Args:
        attention: (N, K), each row with the sum 1.
    """
    return _entropy(attention.mean(dim=0)) - _entropy(attention).mean()


def indecision(attention: Sequence[Tensor]) -> Tensor:
    """A term for the loss: minus the mean information of the layers, each (N, K); 0 without layers."""
    if not attention:
        return torch.zeros(())
    return -torch.stack([information(maps.float()) for maps in attention]).mean()


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * shares.clamp_min(_SMALLEST).log()).sum(dim=-1)
