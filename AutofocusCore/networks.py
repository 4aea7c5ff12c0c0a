"""The ten networks of the paper's Table 3, behind one builder.

>>> build_network("afn-4", in_channels=4, num_classes=5)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from torch import nn

from AutofocusCore.afnet import DILATION_RATES, AFNet
from AutofocusCore.deepmedic import DeepMedic
from AutofocusCore.errors import SettingError
from AutofocusCore.layers import Norm

HEADS = {"basic": "classifier", "aspp-s": "sum", "aspp-c": "concatenation"}
ARCHITECTURES = ("basic", "aspp-s", "aspp-c", "deepmedic", "afn-1", "afn-2", "afn-3", "afn-4", "afn-5", "afn-6")


def build_network(
    architecture: str,
    *,
    in_channels: int,
    num_classes: int,
    dilation_rates: Sequence[int] = DILATION_RATES,
    norm: Norm = "branch",
    detach_attention: bool = True,
) -> AFNet | DeepMedic:
    """One of the paper's networks, freshly initialised.

    Args:
        architecture: "basic", "aspp-s", "aspp-c", "deepmedic" or "afn-1" to "afn-6" (case does not matter).
        in_channels: modalities of the input, at least 1.
        num_classes: classes, background included, at least 2.
        dilation_rates: rates of the autofocus layers or the ASPP head: positive, ascending.
        norm: "branch" as released, or "fused": one BatchNorm after the weighted sum.
        detach_attention: stop the gradient from the attention branch into the layer's input, as released.

    Raises:
        SettingError: an option that does not exist or makes no sense.
    """
    name = str(architecture).lower().replace("_", "-")
    if name not in ARCHITECTURES:
        raise SettingError(f"There is no architecture {architecture!r}", f"choose one of {', '.join(ARCHITECTURES)}")
    if not isinstance(in_channels, int) or in_channels < 1:
        raise SettingError(f"in_channels is {in_channels!r}", "give a whole number of at least 1")
    if not isinstance(num_classes, int) or num_classes < 2:
        raise SettingError(f"num_classes is {num_classes!r}", "give at least 2: background and one structure")
    rates = tuple(dilation_rates)
    ascending = list(rates) == sorted(set(rates))
    if not rates or not ascending or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise SettingError(f"dilation_rates is {dilation_rates!r}", "give positive whole numbers in ascending order")
    if norm not in get_args(Norm):
        raise SettingError(f"norm is {norm!r}", f"choose one of {', '.join(get_args(Norm))}")

    network: AFNet | DeepMedic
    if name == "deepmedic":
        network = DeepMedic(in_channels=in_channels, num_classes=num_classes)
    else:
        network = AFNet(
            in_channels=in_channels,
            num_classes=num_classes,
            autofocus_layers=int(name[-1]) if name.startswith("afn") else 0,
            head=HEADS.get(name, "classifier"),
            dilation_rates=rates,
            norm=norm,
            detach_attention=bool(detach_attention),
        )
    options: dict[str, Any] = {
        "architecture": name,
        "in_channels": in_channels,
        "num_classes": num_classes,
        "dilation_rates": list(rates),
        "norm": norm,
        "detach_attention": bool(detach_attention),
    }
    network.options = options
    return network


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters, as the paper's Table 3 counts them."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
