"""How far a network looks from a voxel, all layers together.

The receptive field of a stack of 3×3×3 convolutions reaches one dilation rate further with every layer. Fixed layers
add their own rate everywhere. An autofocus layer adds, in each voxel, its effective dilation Σₖ Λᵏ rₖ: that is what
varies over the patient, and what the reach map shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from AutofocusCore.networks.layers import AutofocusLayer, ConvolutionLayer
from AutofocusCore.networks.scale_streams import ScaleStreams


@dataclass(frozen=True)
class Reach:
    """Reach of a network as a function of its attention, in voxels: fixed + factor · Σ effective dilations.

    Attributes:
        fixed: sum of the dilation rates of the layers that do not choose.
        factor: how often an effective dilation counts: once for an autofocus layer; for scale streams, once for every
            voxel that the encoder reaches at full size, as a stream at half the size reaches twice as far.
    """

    fixed: float
    factor: float


def reach_of(network: Any) -> Reach | None:
    """The reach of a network that chooses how far it looks; None for one that does not."""
    if not getattr(network, "autofocus_layers", 0):
        return None
    if isinstance(network, ScaleStreams):
        return Reach(0.0, float(network.encoder.reach))
    fixed = [layer for layer in network.modules() if isinstance(layer, ConvolutionLayer)]
    assert any(isinstance(layer, AutofocusLayer) for layer in network.modules())
    return Reach(float(sum(layer.conv.dilation[0] for layer in fixed)), 1.0)
