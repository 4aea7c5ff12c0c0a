"""The losses: soft Dice over the structures, cross-entropy over all classes, and their sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(name: str) -> Loss:
    """A loss of logits (B, classes, ...) and labels (B, ...): "dice", "cross-entropy" or "both".

    Soft Dice is taken over the batch as a whole and averaged over the structures that it holds: the Dice of a structure
    that is not there is 0 whatever the network does, and would only hide the others.
    """
    dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, reduction="none")

    def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
        found = torch.bincount(labels.flatten(), minlength=logits.shape[1])[1:] > 0
        losses = dice(logits, labels[:, None]).flatten()
        return losses[found].mean() if found.any() else 0.0 * logits.sum()

    def both(logits: Tensor, labels: Tensor) -> Tensor:
        return soft_dice(logits, labels) + cross_entropy(logits, labels)

    return {"dice": soft_dice, "cross-entropy": cross_entropy, "both": both}[name]
