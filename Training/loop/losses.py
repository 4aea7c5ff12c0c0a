"""The losses: soft Dice over the structures, cross-entropy over all classes, and their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, nll_loss

Loss = Callable[[Tensor, Tensor], Tensor]
RowLoss = Callable[[Tensor, Tensor, Sequence[int] | None], Tensor]


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


def build_row_loss(name: str, background_weight: float = 1.0) -> RowLoss:
    """A loss of one scan whose structures are not all known: "dice", "cross-entropy" or "both".

    The loss takes logits (N, classes) and labels (N,) of the scan's voxels and the label values that are known in it,
    None for all. An unknown structure may lie anywhere in the voxels that are labelled background. Of these voxels, the
    loss takes the sum of the probabilities of background and all unknown structures (label-set losses; Fidon et al.
    2021, arXiv:2107.03846). Soft Dice is taken over the known structures that the scan holds. All in float32.
    """
    dice = DiceLoss(include_background=False, reduction="none", smooth_nr=1.0, smooth_dr=1.0)

    def loss(logits: Tensor, labels: Tensor, known: Sequence[int] | None) -> Tensor:
        scores = marginal_log_probabilities(logits.float(), known)
        total = 0.0 * scores[:, 0].sum()
        if name != "dice":
            weights = torch.ones(scores.shape[1], device=scores.device)
            weights[0] = background_weight
            total = total + nll_loss(scores, labels, weights)
        found = torch.bincount(labels, minlength=scores.shape[1])[1:] > 0
        if name != "cross-entropy" and found.any():
            truth = torch.nn.functional.one_hot(labels, scores.shape[1]).T[None]
            total = total + dice(scores.exp().T[None], truth).flatten()[found].mean()
        return total

    return loss


def marginal_log_probabilities(logits: Tensor, known: Sequence[int] | None) -> Tensor:
    """Logarithms of the classes' probabilities (N, classes), background's being "background or unknown".

    Args:
        logits: (N, classes).
        known: label values of the known structures; None for all. Those of the others are -inf.
    """
    scores = log_softmax(logits, dim=1)
    classes = scores.shape[1]
    unknown = [] if known is None else [label for label in range(1, classes) if label not in known]
    if not unknown:
        return scores
    rest = torch.logsumexp(scores[:, [0, *unknown]], dim=1)
    columns = [rest if label == 0 else scores[:, label] for label in range(classes)]
    nothing = torch.full_like(rest, float("-inf"))
    return torch.stack([nothing if label in unknown else column for label, column in enumerate(columns)], dim=1)
