"""The arithmetic of one step: precision, forward and backward pass of a batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from AutofocusCore.teaching.arithmetic import Arithmetic as BaseArithmetic
from Training.loop.convolution import accurate_convolutions
from Training.loop.distributed import gather_batch
from Training.loop.losses import Loss


class Arithmetic(BaseArithmetic):
    """The precision of a run, with gradients of convolutions that can be trusted.

    Args:
        precision: see :class:`Training.configuration.settings.Run`.
        device: that the network is on.

    Raises:
        SettingError: float16 without a GPU.
    """

    def trusted(self) -> AbstractContextManager[object]:
        """A context in which the weight gradients of convolutions are correct."""
        return accurate_convolutions() if self.low and self.device.type == "cpu" else nullcontext()


def add_gradients(
    network: nn.Module, images: Tensor, labels: Tensor, loss_of: Loss, arithmetic: Arithmetic, share: float = 1.0
) -> Tensor:
    """Add to the network's gradients those of a batch's loss, times `share`, and return the loss.

    The gradients are scaled by the arithmetic's scaler. If the loss is not finite, nothing is added.

    Args:
        network: gives logits, or a list of them; the loss is then the sum of their losses.
        images: (B, C, D, H, W), on the device.
        labels: (B, D - 2m, H - 2m, W - 2m), m the network's margin.
    """
    with arithmetic.trusted():  # in the backward pass too: recomputed layers pass forward once more
        with arithmetic.lowered():
            answers = network(images)
        truth = gather_batch(labels)
        several = [answers] if isinstance(answers, Tensor) else answers
        loss = torch.stack([loss_of(gather_batch(logits.float()), truth) for logits in several]).sum()
        if torch.isfinite(loss):
            arithmetic.scaler.scale(loss * share).backward()
    return loss.detach()
