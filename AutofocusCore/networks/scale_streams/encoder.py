"""Base class of the encoders: features of several stages, and their position on the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from AutofocusCore.errors import ModelError
from AutofocusCore.networks.scale_streams.dimensions import Steps, finish


class Encoder(nn.Module):
    """Base class of the encoders.

    Attributes:
        channels: channels of the features of each stage, first stage first.
        strides: for each stage, voxels of the input for one voxel of its features.
        margin: voxels of the input that are lost on each side; 0 where convolutions are zero-padded.
        reach: how far from a voxel of the last features the input still matters, in voxels of the input.
        width: default number of channels of the layers on top.
        resolution: default number of voxels of the image for one voxel of the hypercolumns.
        normalised: whether BatchNorm follows its convolutions and those of the layers on top.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    reach: int
    margin: int = 0
    width: int = 256
    resolution: int = 4
    normalised: bool = True
    fresh: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the weights that torchvision's model of the same name lacks, or has in another form."""

    def steps(self, x: Tensor) -> Steps[list[Tensor]]:
        """Compute the features of each stage; yields after each layer or block."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of each stage, (B, channels[i], n / strides[i], ...); n is the input's size without the margins."""
        return finish(self.steps(x))

    def load_torchvision(self, state: Mapping[str, Tensor]) -> list[str]:
        """Copy the weights of torchvision's model of the same name, as far as the two models agree.

        Args:
            state: the model's state dict, for example read with ``torch.load(..., weights_only=True)``.

        Returns:
            the names of the copied tensors.

        Raises:
            ModelError: a tensor is missing or has another shape.
        """
        own = self.state_dict()
        wanted = [name for name in own if not name.startswith(self.fresh)]
        taken = []
        for name in wanted:
            if name.endswith("num_batches_tracked") and name not in state:
                continue  # missing in files of early versions
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
    """Initialise convolution weights by He's rule for ReLU, biases and shifts with zero, scales with one."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
