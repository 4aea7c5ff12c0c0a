"""`build_network` makes all networks: the ten of the paper's Table 3, and the second system, "scale-streams".

>>> build_network("afn-4", in_channels=4, num_classes=5)
>>> build_network("scale-streams", in_channels=1, num_classes=3, encoder="basic")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

import torch
from torch import nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from AutofocusCore.errors import SettingError
from AutofocusCore.networks.afnet import DILATION_RATES, AFNet
from AutofocusCore.networks.deepmedic import DeepMedic
from AutofocusCore.networks.layers import (
    LARGEST_RATE,
    MOST_CHANNELS,
    MOST_RATES,
    AutofocusLayer,
    ConvolutionLayer,
    Norm,
    is_count,
)
from AutofocusCore.networks.roi import Domain
from AutofocusCore.networks.scale_streams import ScaleStreams

HEADS = {"basic": "classifier", "aspp-s": "sum", "aspp-c": "concatenation"}
ARCHITECTURES = ("basic", "aspp-s", "aspp-c", "deepmedic", "afn-1", "afn-2", "afn-3", "afn-4", "afn-5", "afn-6")
SCALE_STREAMS = "scale-streams"
LEAST_WIDTH, MOST_WIDTH = 0.1, 5.0

PaperNetwork: TypeAlias = AFNet | DeepMedic
Network: TypeAlias = PaperNetwork | ScaleStreams


def build_network(architecture: str, *, in_channels: int, num_classes: int, **options: Any) -> Network:
    """Build a network with new weights.

    Args:
        architecture: "basic", "aspp-s", "aspp-c", "deepmedic", "afn-1" to "afn-6", or "scale-streams" (case does not
            matter).
        in_channels: modalities of the input, at least 1.
        num_classes: classes, background included, at least 2.
        options: of "scale-streams" those of :class:`AutofocusCore.networks.scale_streams.StreamOptions`; of the others
            ``dilation_rates``, ``norm``, ``detach_attention``, ``width`` and ``domain``: :func:`build_paper_network`.

    Raises:
        SettingError: an option has an invalid value.
        TypeError: the architecture has no such option.
    """
    name = str(architecture).lower().replace("_", "-")
    if name == SCALE_STREAMS:
        return ScaleStreams(in_channels=in_channels, num_classes=num_classes, **options)
    if name not in ARCHITECTURES:
        known = ", ".join((*ARCHITECTURES, SCALE_STREAMS))
        raise SettingError(f"There is no architecture {architecture!r}", f"choose one of {known}")
    return build_paper_network(name, in_channels=in_channels, num_classes=num_classes, **options)


class _WithoutRandomValues(TorchFunctionMode):
    RANDOM = (init.normal_, init.uniform_, init.kaiming_uniform_, torch.Tensor.normal_, torch.Tensor.uniform_)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in self.RANDOM:
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def outline_network(architecture: str, **options: Any) -> Network:
    """As `build_network`, on torch's device "meta", without memory for the weights.

    Random initial values are left out: there they would change nothing, but torch would import its compiler and sympy
    to compute their shapes, which takes a new process more than a second.
    """
    with torch.device("meta"), _WithoutRandomValues():
        return build_network(architecture, **options)


def build_paper_network(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    dilation_rates: Sequence[int] = DILATION_RATES,
    norm: Norm = "branch",
    detach_attention: bool = True,
    width: float = 1.0,
    domain: Domain = "box",
) -> PaperNetwork:
    """One of the ten networks of Table 3.

    Args:
        name: one of ``ARCHITECTURES``.
        in_channels, num_classes: as for :func:`build_network`.
        dilation_rates: rates of the autofocus layers or the ASPP head: positive, ascending.
        norm: "branch" as released, or "fused": one BatchNorm after the weighted sum.
        detach_attention: stop the gradient from the attention branch into the layer's input, as released.
        width: maps of each hidden layer as a multiple of the paper's, 0.1 to 5. DeepMedic takes 1 only.
        domain: "box", or "roi": only active voxels, ``net(x, mask)`` has the input's size, margin 0. Parameters and
            their names are the same, so that weights fit both domains.

    Raises:
        SettingError: an option has an invalid value.
    """
    if not is_count(in_channels, 1, MOST_CHANNELS):
        raise SettingError(f"in_channels is {in_channels!r}", f"give a whole number from 1 to {MOST_CHANNELS}")
    if not is_count(num_classes, 2, MOST_CHANNELS):
        remedy = f"give a whole number from 2 (background and one structure) to {MOST_CHANNELS}"
        raise SettingError(f"num_classes is {num_classes!r}", remedy)
    listed = isinstance(dilation_rates, Sequence) and not isinstance(dilation_rates, (str, bytes, bytearray))
    rates = tuple(dilation_rates) if listed else ()
    sound = 0 < len(rates) <= MOST_RATES and all(is_count(rate, 1, LARGEST_RATE) for rate in rates)
    if not sound or list(rates) != sorted(set(rates)):
        remedy = f"give up to {MOST_RATES} whole numbers from 1 to {LARGEST_RATE} in ascending order"
        raise SettingError(f"dilation_rates is {dilation_rates!r}", remedy)
    if not isinstance(norm, str) or norm not in get_args(Norm):
        raise SettingError(f"norm is {norm!r}", f"choose one of {', '.join(get_args(Norm))}")
    if not isinstance(domain, str) or domain not in get_args(Domain):
        raise SettingError(f"domain is {domain!r}", f"choose one of {', '.join(get_args(Domain))}")
    if not isinstance(detach_attention, bool):
        raise SettingError(f"detach_attention is {detach_attention!r}", "give true or false")
    number = isinstance(width, (int, float)) and not isinstance(width, bool)
    if not number or not (width == 1 if name == "deepmedic" else LEAST_WIDTH <= width <= MOST_WIDTH):
        remedy = "leave it 1 for deepmedic" if name == "deepmedic" else f"give {LEAST_WIDTH} to {MOST_WIDTH}"
        raise SettingError(f"width is {width!r}", remedy)

    network: PaperNetwork
    if name == "deepmedic":
        network = DeepMedic(in_channels=in_channels, num_classes=num_classes, domain=domain)
    else:
        network = AFNet(
            in_channels=in_channels,
            num_classes=num_classes,
            autofocus_layers=int(name[-1]) if name.startswith("afn") else 0,
            head=HEADS.get(name, "classifier"),
            dilation_rates=rates,
            norm=norm,
            detach_attention=detach_attention,
            width=width,
            domain=domain,
        )
    options: dict[str, Any] = {
        "architecture": name,
        "in_channels": in_channels,
        "num_classes": num_classes,
        "dilation_rates": list(rates),
        "norm": norm,
        "detach_attention": detach_attention,
        "width": width,
        "domain": domain,
    }
    network.options = options
    return network


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters, as the paper's Table 3 counts them."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


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
    """How far a network looks from a voxel, all layers together; None for one that does not choose it.

    The receptive field of a stack of 3×3×3 convolutions reaches one dilation rate further with every layer. Fixed
    layers add their own rate everywhere. An autofocus layer adds, in each voxel, its effective dilation Σₖ Λᵏ rₖ: that
    is what varies over the patient, and what the reach map shows.
    """
    if not getattr(network, "autofocus_layers", 0):
        return None
    if isinstance(network, ScaleStreams):
        return Reach(0.0, float(network.encoder.reach))
    fixed = [layer for layer in network.modules() if isinstance(layer, ConvolutionLayer)]
    assert any(isinstance(layer, AutofocusLayer) for layer in network.modules())
    return Reach(float(sum(layer.conv.dilation[0] for layer in fixed)), 1.0)
