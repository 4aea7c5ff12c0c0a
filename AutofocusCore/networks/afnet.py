"""AFNet: the pathway of dilated and autofocus layers, and its heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.networks import roi
from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConcatenationHead,
    ConvolutionLayer,
    Norm,
    ResidualBlock,
    SumHead,
    check_input,
    initialise,
)
from AutofocusCore.networks.roi import Domain

STEM_CHANNELS = (30, 30)
BLOCK_CHANNELS = ((40, 40), (40, 40), (50, 50))
DILATION = 2
DILATION_RATES = (2, 6, 10, 14)


def build_pathway(
    in_channels: int,
    *,
    autofocus_layers: int = 0,
    dilation_rates: Sequence[int] = DILATION_RATES,
    norm: Norm = "branch",
    detach_attention: bool = True,
    width: float = 1.0,
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The hidden layers that Basic, ASPP and AFN share: two plain layers, and three residual blocks of two.

    Args:
        in_channels: modalities of the input.
        autofocus_layers: how many of the six dilated layers, counted from the last, are autofocus layers (0 to 6).
        dilation_rates, norm, detach_attention: see :class:`AutofocusCore.networks.layers.AutofocusLayer`.
        width: maps of each layer as a multiple of the paper's, rounded to a whole number.
    """

    def maps(paper: int) -> int:
        return max(1, round(width * paper))

    def dilated(index: int, inputs: int, outputs: int) -> ConvolutionLayer | AutofocusLayer:
        if index < 2 * len(BLOCK_CHANNELS) - autofocus_layers:
            return ConvolutionLayer(inputs, outputs, dilation=DILATION)
        return AutofocusLayer(
            inputs, outputs, dilation_rates=dilation_rates, norm=norm, detach_attention=detach_attention
        )

    first, second = map(maps, STEM_CHANNELS)
    stem = nn.ModuleList([ConvolutionLayer(in_channels, first), ConvolutionLayer(first, second)])
    blocks = nn.ModuleList()
    inputs = second
    for index, (middle, last) in enumerate(tuple(map(maps, block)) for block in BLOCK_CHANNELS):
        blocks.append(ResidualBlock(dilated(2 * index, inputs, middle), dilated(2 * index + 1, middle, last)))
        inputs = last
    return stem, blocks


class AFNet(nn.Module):
    """Basic, ASPP and AFN: two plain layers, three residual blocks of two dilated layers, and a classifier.

    Args:
        in_channels: modalities of the input.
        num_classes: classes, background included.
        autofocus_layers: how many of the six dilated layers, counted from the last, are autofocus layers (0 to 6).
        head: "classifier", or the ASPP heads "sum" and "concatenation".
        dilation_rates: rates of the autofocus layers or of the ASPP head, ascending.
        norm, detach_attention: see :class:`AutofocusCore.networks.layers.AutofocusLayer`.
        width: maps of each hidden layer as a multiple of the paper's; heads of ASPP keep theirs.
        domain: "box": valid convolutions over the whole volume, as in the paper; "roi": only active voxels, see
            :mod:`AutofocusCore.networks.roi`.

    ``options`` are the arguments of :func:`build_network` that made it. ``margin`` is the number of voxels that a
    forward pass loses on each side of the input: 14 with the paper's rates, 0 in the ROI domain.
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
        width: float = 1.0,
        domain: Domain = "box",
    ) -> None:
        super().__init__()
        self.domain = domain
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.autofocus_layers = autofocus_layers
        self.dilation_rates = tuple(dilation_rates)

        self.stem, self.blocks = build_pathway(
            in_channels,
            autofocus_layers=autofocus_layers,
            dilation_rates=self.dilation_rates,
            norm=norm,
            detach_attention=detach_attention,
            width=width,
        )
        features = cast(ResidualBlock, self.blocks[-1]).second.conv.out_channels

        self.head: nn.Module
        if head == "sum":
            self.head = SumHead(features, num_classes, dilation_rates=self.dilation_rates)
        elif head == "concatenation":
            self.head = ConcatenationHead(features, num_classes, dilation_rates=self.dilation_rates)
        else:
            self.head = nn.Conv3d(features, num_classes, 1)
        margin = sum(cast(ConvolutionLayer, layer).margin for layer in (*self.stem, *self.blocks))
        self.margin = 0 if domain == "roi" else margin
        initialise(self)

    def forward_with_attention(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Logits of x (B, C, D, H, W), and the attention maps, one for each autofocus layer, first layer first.

        In the box domain logits are (B, classes, D - 2m, H - 2m, W - 2m), m the margin, and the maps (B, K, d, h, w);
        earlier layers have larger maps: crop them to the centre to compare. In the ROI domain both have the input's
        size and are zero outside ``mask`` (B, D, H, W); None means all voxels. Maps sum to one over K.

        Raises:
            SettingError: the input has a wrong shape, or a mask was given in the box domain.
        """
        if self.domain == "roi":
            return roi.forward_dense(self, x, mask)
        if mask is not None:
            raise roi.no_mask_taken()
        check_input(x, self.in_channels, self.margin)
        for layer in self.stem:
            features, _ = layer(x)
            x = functional.relu(features, inplace=not self.training)
        attention: list[Tensor] = []
        for block in self.blocks:
            x, maps = block(x)
            attention += maps
        return self.head(x), attention

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits as :meth:`forward_with_attention` gives them."""
        return self.forward_with_attention(x, mask)[0]

    def forward_rows(self, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
        """In the ROI domain: logits (N, classes) and attention (N, K) of ``rows`` (N, C), one for each active voxel."""
        for layer in self.stem:
            rows, _ = roi.hidden_layer(layer, rows, voxels)
        attention: list[Tensor] = []
        for block in self.blocks:
            rows, maps = roi.residual_block(cast(ResidualBlock, block), rows, voxels)
            attention += maps
        return roi.head(self.head, rows, voxels), attention
