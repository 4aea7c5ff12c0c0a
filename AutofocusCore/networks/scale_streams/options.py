"""The options of scale streams, checked together before a network is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from AutofocusCore.errors import SettingError
from AutofocusCore.networks.afnet import DILATION_RATES
from AutofocusCore.networks.layers import (
    LARGEST_RATE,
    LARGEST_WIDTH,
    MOST_CHANNELS,
    MOST_RATES,
    Norm,
    is_count,
)

Merge = Literal["attention", "average", "max"]
Recalibration = Literal["multiplicative", "additive", "none"]
Scale = tuple[Fraction, ...]

IMAGE_ENCODERS = ("vgg16", "resnet34")
PATHWAY_ENCODERS = ("basic", "afn-1", "afn-2", "afn-3", "afn-4", "afn-5", "afn-6")
ENCODERS = (*IMAGE_ENCODERS, *PATHWAY_ENCODERS)
LARGEST_DENOMINATOR = 16
LARGEST_SCALE = 4


def require(holds: bool, name: str, value: object, remedy: str) -> None:
    """Raise a SettingError with the option, its value and the remedy, unless the condition holds."""
    if not holds:
        raise SettingError(f"{name} is {value!r}", remedy)


@dataclass(frozen=True)
class StreamOptions:
    """Options of :class:`AutofocusCore.networks.scale_streams.ScaleStreams`.

    Args:
        in_channels: channels of the image, at least 1.
        num_classes: classes, background included, at least 2.
        encoder: "vgg16" or "resnet34", in two or three dimensions; "basic" or "afn-1" to "afn-6", the project's own
            pathway, in three.
        spatial_dims: 2 or 3; None: 2 for "vgg16" and "resnet34", 3 for the others.
        scales: one for each stream: with 0.5 the stream sees the image at half its size; for anisotropic scans, a list
            with a factor for each axis (z, y, x). Fractions with denominators of up to 16.
        merge: how the streams' scores are merged: "attention" (location attention), "average" or "max".
        recalibration: of the merged scores, class by class: "multiplicative", "additive" or "none".
        multi_stage: hypercolumns from all stages of the encoder; otherwise only from its last features.
        dilations: rates of the streams' own convolutions on the hypercolumns, one for each stream; empty for no such
            convolutions. None: 2, 6, 10, ..., with the largest for the smallest scale. The source contradicts itself
            about which stream has the large rate: reverse the list for the other reading. Rates and widths are this
            project's choice.
        resolution: voxels of the image for each voxel of a hypercolumn on an axis; None: 4 for "vgg16" and "resnet34",
            as in the source, and 2 for the others, whose scores stay at full resolution.
        width: channels of the streams' own convolutions and of the branches' hidden layers; None: 256 for "vgg16" and
            "resnet34", 32 for the others.
        pyramid_bins: (1, 2, 3, 6) puts pyramid pooling on the encoder's last features; empty for none.
        dilation_rates, norm, detach_attention: of the autofocus layers of an "afn" encoder.

    Raises:
        SettingError: an option is invalid, alone or together with others.
    """

    in_channels: int
    num_classes: int
    encoder: str = "vgg16"
    spatial_dims: int | None = None
    scales: Sequence[float | Sequence[float]] = (1.0, 0.5)
    merge: Merge = "attention"
    recalibration: Recalibration = "multiplicative"
    multi_stage: bool = True
    dilations: Sequence[int] | None = None
    resolution: int | None = None
    width: int | None = None
    pyramid_bins: Sequence[int] = ()
    dilation_rates: Sequence[int] = DILATION_RATES
    norm: Norm = "branch"
    detach_attention: bool = True

    def __post_init__(self) -> None:
        for name, least in (("in_channels", 1), ("num_classes", 2)):
            value = getattr(self, name)
            remedy = f"give a whole number from {least} to {MOST_CHANNELS}"
            require(is_count(value, least, MOST_CHANNELS), name, value, remedy)
        known_encoder = isinstance(self.encoder, str) and self.encoder in ENCODERS
        require(known_encoder, "encoder", self.encoder, f"choose one of {', '.join(ENCODERS)}")
        own = self.encoder in PATHWAY_ENCODERS
        if self.spatial_dims is None:
            object.__setattr__(self, "spatial_dims", 3 if own else 2)
        require(is_count(self.spatial_dims, 2, 3), "spatial_dims", self.spatial_dims, "give 2 or 3")
        remedy = f"give 3, or choose one of the encoders {', '.join(IMAGE_ENCODERS)}"
        require(self.spatial_dims == 3 or not own, "spatial_dims", self.spatial_dims, remedy)
        self._check_scales()
        for name, choices in (("merge", Merge), ("recalibration", Recalibration), ("norm", Norm)):
            known, value = get_args(choices), getattr(self, name)
            fits = isinstance(value, str) and value in known
            require(fits, name, value, f"choose one of {', '.join(known)}")
        for name in ("multi_stage", "detach_attention"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "use true or false")
        for name in ("resolution", "width"):
            value = getattr(self, name)
            remedy = f"give a whole number from 1 to {LARGEST_WIDTH}, or none"
            require(value is None or is_count(value, 1, LARGEST_WIDTH), name, value, remedy)
        self._check_rates()

    def _check_scales(self) -> None:
        remedy = (
            f"give for each stream a factor above 0 and up to {LARGEST_SCALE}, or a list of {self.spatial_dims} of"
            f" them, that are fractions with denominators of up to {LARGEST_DENOMINATOR}"
        )
        scales = self.scales
        require(isinstance(scales, (list, tuple)) and 0 < len(scales) <= MOST_RATES, "scales", scales, remedy)
        for scale in scales:
            values = list(scale) if isinstance(scale, (list, tuple)) else [scale]
            fits = len(values) in ((self.spatial_dims,) if isinstance(scale, (list, tuple)) else (1,))
            require(fits and all(map(_is_scale, values)), "scales", scales, remedy)
        object.__setattr__(
            self, "scales", tuple(tuple(scale) if isinstance(scale, (list, tuple)) else scale for scale in scales)
        )
        require(len(set(self.factors)) == len(self.factors), "scales", scales, "make each different")

    def _check_rates(self) -> None:
        if self.dilations is None:
            finest_first = sorted(range(len(self.factors)), key=lambda index: -_size(self.factors[index]))
            rates = {stream: 2 + 4 * rank for rank, stream in enumerate(finest_first)}
            object.__setattr__(self, "dilations", tuple(rates[index] for index in range(len(rates))))
        for name in ("dilations", "pyramid_bins", "dilation_rates"):
            values = getattr(self, name)
            fits = isinstance(values, (list, tuple)) and len(values) <= MOST_RATES
            fits = fits and all(is_count(value, 1, LARGEST_RATE) for value in values)
            require(fits, name, values, f"give a list of up to {MOST_RATES} whole numbers from 1 to {LARGEST_RATE}")
            object.__setattr__(self, name, tuple(values))
        assert self.dilations is not None
        fits = len(self.dilations) in (0, len(self.factors))
        require(fits, "dilations", self.dilations, f"give one rate for each of {len(self.factors)} streams, or none")
        rates_fit = bool(self.dilation_rates) and list(self.dilation_rates) == sorted(set(self.dilation_rates))
        require(rates_fit, "dilation_rates", self.dilation_rates, "give whole numbers in ascending order")

    @property
    def factors(self) -> tuple[Scale, ...]:
        """The scales as fractions, one for each axis of each stream."""
        return tuple(
            tuple(map(_fraction, scale))
            if isinstance(scale, (list, tuple))
            else (_fraction(scale),) * (self.spatial_dims or 0)  # type: ignore[arg-type]
            for scale in self.scales
        )

    @property
    def zooms(self) -> tuple[float, ...]:
        """For each stream, the width of its voxels in voxels of the image: 1 / scale, averaged over the axes.

        The mean is geometric: a voxel with unequal edges counts as a cube of the same volume.
        """
        zooms = [round(_size(factors) ** -1.0, 6) for factors in self.factors]
        return tuple(int(zoom) if zoom.is_integer() else zoom for zoom in zooms)

    def to_arguments(self) -> dict[str, Any]:
        """All options as lists, strings and numbers, from which the same network can be built."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: _plain(value) for name, value in values.items()}


def _size(factors: Scale) -> float:
    product = 1.0
    for factor in factors:
        product *= float(factor)
    return product ** (1 / len(factors))


def _fraction(value: float) -> Fraction:
    return Fraction(value).limit_denominator(LARGEST_DENOMINATOR)


def _is_scale(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 / 64 <= value <= LARGEST_SCALE:
        return False
    fraction = _fraction(value)
    return fraction > 0 and abs(float(fraction) - value) < 1e-4


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
