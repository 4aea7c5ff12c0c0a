"""The losses: soft Dice over the structures, cross-entropy over all classes, and their sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(name: str, background_weight: float = 1.0) -> Loss:
    """A loss of logits (B, classes, ...) and labels (B, ...): "dice", "cross-entropy" or "both".

    In the cross-entropy, background voxels count ``background_weight`` and all others 1.

    Soft Dice is taken over the batch as a whole and averaged over the structures that it holds: the Dice of a structure
    that is not there is 0 whatever the network does, and would only hide the others.
    """
    dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, reduction="none")

    def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
        found = torch.bincount(labels.flatten(), minlength=logits.shape[1])[1:] > 0
        losses = dice(logits, labels[:, None]).flatten()
        return losses[found].mean() if found.any() else 0.0 * logits.sum()

    def entropy(logits: Tensor, labels: Tensor) -> Tensor:
        weights = torch.ones(logits.shape[1], device=logits.device)
        weights[0] = background_weight
        return cross_entropy(logits, labels, weights)

    def both(logits: Tensor, labels: Tensor) -> Tensor:
        return soft_dice(logits, labels) + entropy(logits, labels)

    return {"dice": soft_dice, "cross-entropy": entropy, "both": both}[name]
