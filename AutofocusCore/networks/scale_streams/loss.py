"""Deep supervision: a loss for the prediction and one for each stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn.functional import cross_entropy


def scale_streams_loss(
    fused: Tensor,
    streams: Sequence[Tensor],
    labels: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Tensor:
    """The sum of 1 + S losses (arXiv 1807.02917: cross-entropies, all of weight one).

    Args:
        fused: logits (B, classes, ...) of the prediction.
        streams: logits of each of S streams, of the same shape.
        labels: (B, ...), integers.
        loss_of: the loss of logits and labels.
    """
    return sum((loss_of(logits, labels) for logits in streams), loss_of(fused, labels))
