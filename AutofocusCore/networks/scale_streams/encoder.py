"""What the streams ask of an encoder: features of several stages, and how it lies on its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from AutofocusCore.errors import ModelError
from AutofocusCore.networks.scale_streams.dimensions import Steps, finish


class Encoder(nn.Module):
    """Base of the encoders.

    Attributes:
        channels: of the features of each stage, first stage first.
        strides: of each stage: how many voxels of the input one voxel of its features stands for.
        margin: voxels of the input that are lost on each side; 0 where convolutions are zero-padded.
        reach: how far from a voxel of the last features the input still matters, in voxels of the input.
        width: channels of the layers that are put on top, unless told otherwise.
        resolution: voxels of the image for each voxel of the hypercolumns on top, unless told otherwise.
        normalised: whether BatchNorm follows its convolutions, as it then does in the layers on top.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    reach: int
    margin: int = 0
    width: int = 256
    resolution: int = 4
    normalised: bool = True
    fresh: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the weights that torchvision's model of the same name has not, or in another form."""

    def steps(self, x: Tensor) -> Steps[list[Tensor]]:
        """Compute the features of each stage, stopping after each layer or block."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of each stage, (B, channels[i], n / strides[i], ...), n the input's size without the margins."""
        return finish(self.steps(x))

    def load_torchvision(self, state: Mapping[str, Tensor]) -> list[str]:
        """Take over the weights of torchvision's model of the same name, as far as the two are alike.

        Args:
            state: its state dict, for example read with ``torch.load(..., weights_only=True)``.

        Returns:
            the names of the tensors that were taken.

        Raises:
            ModelError: a tensor is missing or of another shape.
        """
        own = self.state_dict()
        wanted = [name for name in own if not name.startswith(self.fresh)]
        taken = []
        for name in wanted:
            if name.endswith("num_batches_tracked") and name not in state:
                continue  # files of early versions do not hold it
            if name not in state or state[name].shape != own[name].shape:
                found = f"has the shape {tuple(state[name].shape)}" if name in state else "is missing"
                raise ModelError(
                    f"The weight {name} {found}, where {tuple(own[name].shape)} is needed",
                    "give torchvision's weights of the same network, and three input channels",
                )
            taken.append(name)
        with torch.no_grad():
            for name in taken:
                own[name].copy_(state[name])
        return taken


def initialise_kaiming(network: nn.Module) -> None:
    """Convolution weights by He's rule for ReLU, biases and BatchNorm at their neutral values."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
