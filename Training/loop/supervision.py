"""Deep supervision: all outputs of a network that have a loss, as one list of logits."""

from __future__ import annotations

from torch import Tensor, nn

from AutofocusCore.networks.scale_streams import ScaleStreams


class DeepSupervisionOutputs(nn.Module):
    """All outputs of a network that have a loss, the prediction first.

    Scale streams have the prediction and one output per stream, other networks only the prediction. This is a module,
    because DistributedDataParallel supports only `forward`. The network keeps its weights and their names.

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
