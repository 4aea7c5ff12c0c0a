"""Deep supervision in any training loop: what a network answers for, as one list of logits."""

from __future__ import annotations

from torch import Tensor, nn

from AutofocusCore.networks.scale_streams import ScaleStreams


class Answers(nn.Module):
    """All logits of a network that its loss is to be the sum over, the prediction's first.

    A network of scale streams answers for the prediction and for every stream alone, others for the prediction. As it
    is a module whose `forward` does it, it can stand between a network and DistributedDataParallel, which watches no
    other method. The network keeps its weights, under its own names.

    Args:
        network: from :func:`AutofocusCore.build_network`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits (B, classes, ...) of images (B, C, ...): one tensor, or 1 + S of them."""
        if isinstance(self.network, ScaleStreams):
            fused, streams = self.network.forward_training(images)
            return [fused, *streams]
        return [self.network(images)]
