"""Initial weights by He's rule."""

from __future__ import annotations

from torch import nn

from AutofocusCore.networks.layers import AutofocusLayer


def initialise_he(network: nn.Module) -> None:
    """Give convolutions before a ReLU weights from He's normal distribution; attention and classifier keep theirs.

    At the start, attention is then nearly equal for all rates, and all classes are nearly equally likely. Source: He et
    al., "Delving deep into rectifiers", ICCV 2015.
    """
    left = {m for layer in network.modules() if isinstance(layer, AutofocusLayer) for m in layer.attention.modules()}
    for module in network.modules():
        before_relu = isinstance(module, nn.Conv3d) and module.out_channels != getattr(network, "num_classes", None)
        if before_relu and module not in left:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
