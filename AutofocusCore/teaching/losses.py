"""Losses of one whole scan whose structures are not all known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, nll_loss, one_hot

RowLoss = Callable[[Tensor, Tensor, Sequence[int] | None], Tensor]


def build_row_loss(name: str, background_weight: float = 1.0) -> RowLoss:
    """A loss of one scan whose structures are not all known: "dice", "cross-entropy" or "both".

    The loss takes logits (N, classes) and labels (N,) of the scan's voxels and the label values that are known in it,
    None for all. An unknown structure may lie anywhere in the voxels that are labelled background. Of these voxels, the
    loss takes the sum of the probabilities of background and all unknown structures (label-set losses; Fidon et al.
    2021, arXiv:2107.03846). Soft Dice is taken over the known structures that the scan holds. All in float32.
    """

    def loss(logits: Tensor, labels: Tensor, known: Sequence[int] | None) -> Tensor:
        scores = marginal_log_probabilities(logits.float(), known)
        total = 0.0 * scores[:, 0].sum()
        if name != "dice":
            weights = torch.ones(scores.shape[1], device=scores.device)
            weights[0] = background_weight
            total = total + nll_loss(scores, labels, weights)
        found = torch.bincount(labels, minlength=scores.shape[1])[1:] > 0
        if name != "cross-entropy" and found.any():
            total = total + soft_dice(scores.exp(), labels)[found].mean()
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


def soft_dice(probabilities: Tensor, labels: Tensor) -> Tensor:
    """One minus the soft Dice of each class but the background, (classes - 1,).

    Args:
        probabilities: (N, classes) of the voxels.
        labels: (N,).
    """
    truth = one_hot(labels, probabilities.shape[1]).T[None, 1:]
    found = probabilities.T[None, 1:]
    both = torch.sum(found * truth, dim=2)
    extra, missing = (0.5 * (torch.sum(one, dim=2) - both) for one in (found, truth))
    # In this order of sums it is MONAI's DiceLoss to the last bit.
    return (1 - (2 * both + 1.0) / (2 * (both + extra + missing) + 1.0)).flatten()
