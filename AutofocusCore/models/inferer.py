"""Exact whole-volume prediction as an inferer for MONAI's configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from AutofocusCore.networks.build import Network


class WholeVolumeInferer:
    """Called like MONAI's inferers: images (B, C, x, y, z) in, logits (B, classes, x, y, z) of the same size out.

    MONAI's arrays have x first, the project's networks (z, y, x): the axes are reversed here. Outside the image, each
    channel has its lowest value.

    Args:
        options: keyword arguments of `AutofocusCore.predict_volume`: mode, device, precision, memory_limit.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Predict each image of the batch separately; further arguments of MONAI are ignored."""
        import torch

        from AutofocusCore.inference import predict_volume

        predicted = []
        for image in inputs:
            volume = torch.as_tensor(image).permute(0, 3, 2, 1).contiguous()
            background = volume.amin(dim=(1, 2, 3))
            options = {"background": background, **self.options}
            logits = predict_volume(network, volume, **options).logits
            predicted.append(logits.permute(0, 3, 2, 1))
        return torch.stack(predicted).to(inputs.device)
