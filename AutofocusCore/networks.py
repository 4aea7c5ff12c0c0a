"""The ten networks of the paper's Table 3, behind one builder.

>>> build_network("afn-4", in_channels=4, num_classes=5)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.deepmedic import DeepMedic
from AutofocusCore.errors import SettingError
from AutofocusCore.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Norm,
    ResidualBlock,
    SumHead,
    check_input,
    initialise,
)

STEM_CHANNELS = (30, 30)
BLOCK_CHANNELS = ((40, 40), (40, 40), (50, 50))
DILATION = 2
DILATION_RATES = (2, 6, 10, 14)
HEADS = {"basic": "classifier", "aspp-s": "sum", "aspp-c": "concatenation"}
ARCHITECTURES = ("basic", "aspp-s", "aspp-c", "deepmedic", "afn-1", "afn-2", "afn-3", "afn-4", "afn-5", "afn-6")


class AFNet(nn.Module):
    """Basic, ASPP and AFN: two plain layers, three residual blocks of two dilated layers, and a classifier.

    Args:
        in_channels: modalities of the input.
        num_classes: classes, background included.
        autofocus_layers: how many of the six dilated layers, counted from the last, are autofocus layers (0 to 6).
        head: "classifier", or the ASPP heads "sum" and "concatenation".
        dilation_rates: rates of the autofocus layers or of the ASPP head, ascending.
        norm, detach_attention: see :class:`AutofocusCore.layers.AutofocusLayer`.

    ``options`` are the arguments of :func:`build_network` that made it; ``margin`` is what a forward pass takes off
    each side of the input, in voxels: 14 with the paper's rates.
    """

    options: dict[str, Any]

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        autofocus_layers: int = 0,
        head: str = "classifier",
        dilation_rates: Sequence[int] = DILATION_RATES,
        norm: Norm = "branch",
        detach_attention: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.autofocus_layers = autofocus_layers
        self.dilation_rates = tuple(dilation_rates)

        first, second = STEM_CHANNELS
        self.stem = nn.ModuleList([ConvolutionLayer(in_channels, first), ConvolutionLayer(first, second)])

        def dilated(index: int, inputs: int, outputs: int) -> ConvolutionLayer | AutofocusLayer:
            if index < 2 * len(BLOCK_CHANNELS) - autofocus_layers:
                return ConvolutionLayer(inputs, outputs, dilation=DILATION)
            return AutofocusLayer(
                inputs, outputs, dilation_rates=self.dilation_rates, norm=norm, detach_attention=detach_attention
            )

        blocks = []
        width = second
        for index, (middle, last) in enumerate(BLOCK_CHANNELS):
            blocks.append(ResidualBlock(dilated(2 * index, width, middle), dilated(2 * index + 1, middle, last)))
            width = last
        self.blocks = nn.ModuleList(blocks)

        self.head: nn.Module
        if head == "sum":
            self.head = SumHead(width, num_classes, dilation_rates=self.dilation_rates)
        elif head == "concatenation":
            self.head = ConcatenationHead(width, num_classes, dilation_rates=self.dilation_rates)
        else:
            self.head = nn.Conv3d(width, num_classes, 1)
        self.margin = sum(cast(ConvolutionLayer, layer).margin for layer in self.stem) + sum(
            block.margin for block in blocks
        )
        initialise(self)

    def forward_with_attention(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, classes, D - 2m, H - 2m, W - 2m) of x (B, C, D, H, W), m the margin, and the attention maps.

        The maps are (B, K, d, h, w), one for each autofocus layer, first layer first; they sum to one over K. Earlier
        layers have larger maps: crop them to the centre to compare.
        """
        check_input(x, self.in_channels, self.margin)
        for layer in self.stem:
            features, _ = layer(x)
            x = functional.relu(features, inplace=not self.training)
        attention: list[Tensor] = []
        for block in self.blocks:
            x, maps = block(x)
            attention += maps
        return self.head(x), attention

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes, D - 2m, H - 2m, W - 2m) of x (B, C, D, H, W), m the margin."""
        return self.forward_with_attention(x)[0]


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
