"""Widening a network: the same function with more maps in each layer, which then learn what the first ones could not.

The first steps of a run, which a narrow network takes as well as a wide one, cost a fraction; the wide one goes on from
there. Maps of the narrow network keep their weights. Each new map sees all maps of the layer before, with random
weights, and no old map nor the classifier listens to it at first (weights 0), so that the output stays the same.
Source: Chen et al., "Net2Net", ICLR 2016, where old maps are split instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from AutofocusCore.teaching.statistics import batch_norms


def widen(narrow: nn.Module, wide: nn.Module) -> None:
    """Give the wide network the narrow one's function; what its new maps compute stays as it was initialised.

    Args:
        narrow: a network of `AutofocusCore.build_network`.
        wide: of the same options but for a larger `width`, initialised.
    """
    old = narrow.state_dict()
    with torch.no_grad():
        for name, tensor in wide.state_dict().items():
            if tensor.ndim > 1:  # weights (out, in, ...) of a convolution
                tensor[: len(old[name]), old[name].shape[1] :] = 0
            _copy_corner(old[name], tensor)


def keep_old_statistics(narrow: nn.Module, wide: nn.Module) -> None:
    """Give BatchNorm's maps that the narrow network has too its running statistics, in place of those measured anew."""
    for old, new in zip(batch_norms(narrow), batch_norms(wide), strict=True):
        for name, statistic in new.named_buffers():
            _copy_corner(old.get_buffer(name), statistic)


def _copy_corner(old: Tensor, new: Tensor) -> None:
    """Copy a tensor into the part of a larger one where all indices are those of the smaller one."""
    new[tuple(slice(0, extent) for extent in old.shape)] = old
