"""The project's own three-dimensional encoder: the pathway of Basic, or of an AFN, at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor
from torch.nn import functional

from AutofocusCore.networks.afnet import BLOCK_CHANNELS, DILATION_RATES, STEM_CHANNELS, build_pathway
from AutofocusCore.networks.layers import AutofocusLayer, ConvolutionLayer, Norm, ResidualBlock, initialise
from AutofocusCore.networks.scale_streams.dimensions import Steps, crop
from AutofocusCore.networks.scale_streams.encoder import Encoder


class PathwayEncoder(Encoder):
    """Two plain layers and three residual blocks of dilated or autofocus layers, with valid convolutions.

    The stages are the two plain layers and each block, all at stride 1, cropped to the extent of the last block.

    Args:
        in_channels: modalities of the volume.
        autofocus_layers, dilation_rates, norm, detach_attention: see
            :func:`AutofocusCore.networks.afnet.build_pathway`.
    """

    channels = (STEM_CHANNELS[-1], *(last for _, last in BLOCK_CHANNELS))
    strides = (1,) * (1 + len(BLOCK_CHANNELS))
    width = 32
    resolution = 2

    def __init__(
        self,
        *,
        in_channels: int,
        autofocus_layers: int = 0,
        dilation_rates: Sequence[int] = DILATION_RATES,
        norm: Norm = "branch",
        detach_attention: bool = True,
    ) -> None:
        super().__init__()
        self.stem, self.blocks = build_pathway(
            in_channels,
            autofocus_layers=autofocus_layers,
            dilation_rates=dilation_rates,
            norm=norm,
            detach_attention=detach_attention,
        )
        layers = [cast(ConvolutionLayer, layer) for layer in self.stem]
        pairs = [cast(ResidualBlock, block) for block in self.blocks]
        hidden = [*layers, *(layer for block in pairs for layer in (block.first, block.second))]
        self.margin = sum(layer.margin for layer in hidden)
        self.reach = sum(_reach(layer) for layer in hidden)
        # Voxels that each stage has on each side more than the last one.
        self.surplus = [sum(block.margin for block in pairs[index:]) for index in range(1 + len(pairs))]
        initialise(self)

    def steps(self, x: Tensor) -> Steps[list[Tensor]]:
        """See :meth:`Encoder.steps`."""
        for layer in self.stem:
            features, _ = layer(x)
            x = functional.relu(features, inplace=not self.training)
            yield
        stages = [x]
        for block in self.blocks:
            x, _ = block(x)
            stages.append(x)
            yield
        return [crop(stage, 3 * [surplus]) for stage, surplus in zip(stages, self.surplus, strict=True)]


def _reach(layer: ConvolutionLayer | AutofocusLayer) -> int:
    """How far a layer reads; in an autofocus layer, branches of large rates read farther than the layer's margin."""
    return max(layer.dilation_rates) if isinstance(layer, AutofocusLayer) else layer.margin
