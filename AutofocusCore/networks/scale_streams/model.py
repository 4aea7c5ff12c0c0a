"""Scale streams: one encoder on several scales of the image, merged by location attention and recalibrated.

Source: Yang and Peng, "Attention to Refine through Multi-Scales for Semantic Segmentation", PCM 2018,
arXiv 1807.02917. Letters used for shapes: B batch, S streams, (D, H, W) voxels, in two dimensions (H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from AutofocusCore.errors import SettingError
from AutofocusCore.networks.scale_streams.dimensions import CONVOLUTION, Steps, crop, extend, finish, lead, resize
from AutofocusCore.networks.scale_streams.encoder import Encoder
from AutofocusCore.networks.scale_streams.geometry import Geometry
from AutofocusCore.networks.scale_streams.heads import PyramidPooling, RefineHead
from AutofocusCore.networks.scale_streams.loss import scale_streams_loss
from AutofocusCore.networks.scale_streams.options import PATHWAY_ENCODERS, StreamOptions
from AutofocusCore.networks.scale_streams.pathway import PathwayEncoder
from AutofocusCore.networks.scale_streams.resnet import ResNet34
from AutofocusCore.networks.scale_streams.vgg import VGG16


class StreamMaps(NamedTuple):
    """All results of a forward pass, in float32, on the grid of the merged scores.

    Attributes:
        fused: the prediction, (B, classes, ...).
        streams: the scores of each stream alone, S times (B, classes, ...).
        location: location attention (B, S, ...), which sums to one over S, or None.
        recalibration: (B, classes, ...), from 0 to 1, or None.
    """

    fused: Tensor
    streams: list[Tensor]
    location: Tensor | None
    recalibration: Tensor | None


class ScaleStreams(nn.Module):
    """The second system, for two and three dimensions.

    Each stream s passes the image, resized by its scale, through the shared encoder. The shared classifier turns its
    last features into scores P^s. Its hypercolumn passes through a dilated convolution of the stream; the concatenation
    of all streams gives location attention l (softmax over the streams, shared by the classes) and recalibration w
    (sigmoid, one for each class, shared by the streams). The prediction is the sum over s of l^s * (P^s times w).

    Args:
        options: fields of :class:`AutofocusCore.networks.scale_streams.StreamOptions`, as keywords.

    ``options`` are the arguments of :func:`AutofocusCore.build_network` that made it. ``margin`` is the
    number of voxels that a forward pass loses on each side of the image: 0 with "vgg16" and "resnet34", whose
    convolutions are zero-padded; 28 with the project's own encoder at scales 1 and 0.5, whose convolutions are valid.

    Raises:
        SettingError: an option has an invalid value.
    """

    options: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        chosen = StreamOptions(**options)
        self.settings = chosen
        self.options = {"architecture": "scale-streams", **chosen.to_arguments()}
        self.in_channels, self.num_classes = chosen.in_channels, chosen.num_classes
        self.spatial_dims = chosen.spatial_dims or 2
        self.encoder = build_encoder(chosen)
        dims, channels = self.spatial_dims, list(self.encoder.channels)
        self.pyramid = None
        if chosen.pyramid_bins:
            self.pyramid = PyramidPooling(
                channels[-1], chosen.pyramid_bins, spatial_dims=dims, normalised=self.encoder.normalised
            )
            channels[-1] = self.pyramid.out_channels
        self.classifier = CONVOLUTION[dims](channels[-1], self.num_classes, 1)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        assert self.classifier.bias is not None
        nn.init.zeros_(self.classifier.bias)

        streams = len(chosen.factors)
        location = chosen.merge == "attention" and streams > 1
        recalibrates = chosen.recalibration != "none"
        self.head = None
        if location or recalibrates:
            self.head = RefineHead(
                sum(channels) if chosen.multi_stage else channels[-1],
                streams=streams,
                classes=self.num_classes if recalibrates else 0,
                width=chosen.width or self.encoder.width,
                dilations=chosen.dilations or (),
                location=location,
                spatial_dims=dims,
                normalised=self.encoder.normalised,
            )
        self.geometry = Geometry.of(
            chosen.factors,
            strides=self.encoder.strides,
            encoder_margin=self.encoder.margin,
            encoder_reach=self.encoder.reach,
            resolution=chosen.resolution or self.encoder.resolution,
            head_reach=self.head.reach if self.head is not None else 0,
            everywhere=self.pyramid is not None,
        )
        self.margin = self.geometry.margin
        self.recalibrates = recalibrates
        self.autofocus_layers = 1 if location else 0
        self.dilation_rates = chosen.zooms if location else ()
        """For each entry of the attention map, the number of voxels of the image for one voxel of the stream."""

    def steps(self, x: Tensor) -> Steps[StreamMaps]:
        """Compute all results for the image ``x`` (B, C, ...); yields after each layer or block."""
        if x.ndim != self.spatial_dims + 2 or x.shape[1] != self.in_channels or min(x.shape[2:]) <= 2 * self.margin:
            axes = ", ".join("DHW"[-self.spatial_dims :])
            raise SettingError(
                f"The network takes (B, {self.in_channels}, {axes}) with more than {2 * self.margin} voxels on each"
                f" axis, not {tuple(x.shape)}",
                f"pad the image by the network's margin of {self.margin} voxels on each side",
            )
        x = extend(x, self.geometry.alignment)
        size = x.shape[2:]
        columns = self.geometry.grid(size, self.geometry.resolution)
        merged = self.geometry.grid(size, self.geometry.fusion)
        scores: list[Tensor] = []
        embedded: list[Tensor] = []
        for stream in range(len(self.geometry.factors)):
            scaled = resize(x, self.geometry.stream_size(stream, size))
            stages = yield from self.encoder.steps(crop(scaled, self.geometry.stream_crop(stream)))
            if self.pyramid is not None:
                stages[-1] = self.pyramid(stages[-1])
            scores.append(resize(self.classifier(stages[-1]).float(), merged))
            yield
            if self.head is not None:
                chosen = stages if self.settings.multi_stage else stages[-1:]
                hypercolumn = torch.cat([resize(features, columns) for features in chosen], dim=1)
                embedded.append(self.head.embed(stream, hypercolumn))
                yield
        location = recalibration = None
        if self.head is not None:
            location, recalibration = (None if maps is None else resize(maps, merged) for maps in self.head(embedded))
        return StreamMaps(self.merge(scores, location, recalibration), scores, location, recalibration)

    def merge(self, scores: list[Tensor], location: Tensor | None, recalibration: Tensor | None) -> Tensor:
        """The prediction (B, classes, ...) from the scores of the streams; without attention, all have equal weight."""
        if location is not None:
            total = torch.stack([part * share for part, share in zip(scores, location.split(1, 1), strict=True)]).sum(0)
        elif self.settings.merge == "max":
            total = torch.stack(scores).amax(dim=0)
        else:
            total = torch.stack(scores).mean(dim=0)
        if recalibration is None:
            return total
        return total + recalibration if self.settings.recalibration == "additive" else total * recalibration

    def to_image(self, maps: Tensor, x: Tensor) -> Tensor:
        """Maps (B, N, ...) resampled from the merged grid to the voxels of the image ``x`` without its margins."""
        wanted = [length - 2 * self.margin for length in x.shape[2:]]
        return lead(resize(maps, [length * self.geometry.fusion for length in maps.shape[2:]]), wanted)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes, D - 2m, H - 2m, W - 2m) of x (B, C, D, H, W), m the margin."""
        return self.to_image(finish(self.steps(x)).fused, x)

    def forward_with_attention(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits as :meth:`forward`, and location attention (B, S, ...) on the same voxels, if the network has any."""
        maps = finish(self.steps(x))
        attention = [] if maps.location is None else [self.to_image(maps.location, x)]
        return self.to_image(maps.fused, x), attention

    def forward_training(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The prediction, and the scores of each stream alone, all (B, classes, ...) on the voxels of the output."""
        maps = finish(self.steps(x))
        return self.to_image(maps.fused, x), [self.to_image(scores, x) for scores in maps.streams]

    def training_loss(self, loss_of: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch with deep supervision: ``loss_of`` the prediction plus that of each stream."""
        return scale_streams_loss(*self.forward_training(images), labels, loss_of)


def build_encoder(options: StreamOptions) -> Encoder:
    """The encoder that the options name."""
    if options.encoder in PATHWAY_ENCODERS:
        return PathwayEncoder(
            in_channels=options.in_channels,
            autofocus_layers=0 if options.encoder == "basic" else int(options.encoder[-1]),
            dilation_rates=options.dilation_rates,
            norm=options.norm,
            detach_attention=options.detach_attention,
        )
    kind = {"vgg16": VGG16, "resnet34": ResNet34}[options.encoder]
    return kind(in_channels=options.in_channels, spatial_dims=options.spatial_dims or 2)
