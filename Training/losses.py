"""The losses: soft Dice over the structures, cross-entropy over all classes, and their sum."""

from __future__ import annotations

from collections.abc import Callable

from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(name: str) -> Loss:
    """A loss of logits (B, classes, ...) and labels (B, ...): "dice", "cross-entropy" or "both".

    Soft Dice is taken over the batch as a whole, so that a segment without a structure does not count as a failure.
    """
    dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
        return dice(logits, labels[:, None])

    def both(logits: Tensor, labels: Tensor) -> Tensor:
        return soft_dice(logits, labels) + cross_entropy(logits, labels)

    return {"dice": soft_dice, "cross-entropy": cross_entropy, "both": both}[name]
