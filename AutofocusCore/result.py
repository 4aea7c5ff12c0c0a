"""Result of a segmentation: labels, attention and how they were made, the same from the network to files and scenes.

Arrays are (z, y, x), or (k, z, y, x) for k maps on one grid; all lengths are in millimetres.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import to_image, to_vector_image

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.jobs.measure import Measurement
    from AutofocusCore.models.parts import Structure
    from AutofocusCore.review import Assessment
    from AutofocusCore.review.evidence import Evidence

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

BACKGROUND = "Background"
PLANES = 8
"""Planes that are weighted at a time, so that they stay in the processor's cache."""


def rates_of(text: str) -> tuple[float, ...]:
    """Rates that are written one after another: "2 6 10", or "1 1.333333" of streams at 1 and 3/4 of the size.

    Whole numbers become int, so that texts say "2" and not "2.0".
    """
    numbers = [float(word) for word in text.split()]
    return tuple(int(number) if number.is_integer() else number for number in numbers)


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one autofocus layer, or of the streams of a network of scale streams.

    Attributes:
        weights: (K, z, y, x) float32, summing to 1 over K.
        rates: the K dilation rates, in voxels of the grid. A stream that sees the image at half its size has the rate
            2: its kernels take every second voxel, as those of dilation 2 do.
        grid: the model's grid, cropped to what was predicted.
        patient: (z, y, x), where the patient is and not air; None where that is not known.
        known_dilation_mm: `dilation_mm`, if it has been computed before.
    """

    weights: Floats = field(repr=False)
    rates: tuple[float, ...]
    grid: Grid
    patient: Mask | None = field(default=None, repr=False)
    known_dilation_mm: Floats | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.weights):
            raise ValueError(f"{len(self.weights)} weights for the rates {self.rates}")

    @property
    def rates_mm(self) -> tuple[float, ...]:
        """The dilation rates in mm; a voxel of unequal edges counts as a cube of its volume."""
        edge = self.grid.voxel_mm3 ** (1 / 3)
        return tuple(rate * edge for rate in self.rates)

    def effective_dilation_mm(self) -> Floats:
        """Σₖ Λᵏ rₖ in mm, (z, y, x), in the air too."""
        result, rates = np.zeros(self.weights.shape[1:], np.float32), self.rates_mm
        for start in range(0, len(result), PLANES):
            planes = slice(start, start + PLANES)
            for weight, rate in zip(self.weights[:, planes], rates, strict=True):
                result[planes] += weight * np.float32(rate)
        return result

    @functools.cached_property
    def dilation_mm(self) -> Floats:
        """The effective dilation as it is shown: 0 in the air around the patient, where that is known."""
        if self.known_dilation_mm is not None:
            return self.known_dilation_mm
        result = self.effective_dilation_mm()
        if self.patient is not None:
            result[~self.patient] = 0.0
        return result


@dataclass(frozen=True)
class ReachMap:
    """Reach: how far the network looked from each voxel, all layers together.

    Attributes:
        values: (z, y, x) float32, mm; 0 in the air around the patient, where that is known.
        grid: the model's grid, cropped to what was predicted.
        patient: (z, y, x), where the patient is and not air; None where that is not known.
    """

    values: Floats = field(repr=False)
    grid: Grid
    patient: Mask | None = field(default=None, repr=False)

    @classmethod
    def of(cls, network: Any, attention: Mapping[int, AttentionMap]) -> ReachMap | None:
        """The reach of a network with this attention; None where it chooses nothing, or maps of layers are missing.

        The sum over the autofocus layers of the effective dilation, and the rates of the fixed layers, in mm; see
        `AutofocusCore.networks.build.reach_of`.
        """
        from AutofocusCore.networks.build import reach_of

        reach = reach_of(network)
        if reach is None or len(attention) < network.autofocus_layers:
            return None
        first = next(iter(attention.values()))
        values = np.full(first.weights.shape[1:], reach.fixed * first.grid.voxel_mm3 ** (1 / 3), np.float32)
        for layer in attention.values():
            values += np.float32(reach.factor) * layer.dilation_mm
        if first.patient is not None:
            values[~first.patient] = 0.0
        return cls(values, first.grid, first.patient)


@dataclass(frozen=True)
class UncertaintyMap:
    """Uncertainty of the network at each voxel.

    Attributes:
        values: (z, y, x) float32, entropy of the classes in bits: 0 is certain, 1 is undecided between two.
        grid: the model's grid, cropped to what was predicted.
        patient: as of a ReachMap; None, because certain voxels are not shown.
    """

    values: Floats = field(repr=False)
    grid: Grid
    patient: Mask | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Recalibration:
    """Factors by which a network of scale streams multiplied the scores of each class.

    Attributes:
        factors: (class, z, y, x) float32, background first: from 0, suppressed, to 1.
        grid: the model's grid, cropped to what was predicted.
        classes: their names, background first.
    """

    factors: Floats = field(repr=False)
    grid: Grid
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.factors):
            raise ValueError(f"{len(self.factors)} maps for the classes {', '.join(self.classes)}")


@dataclass(frozen=True)
class SegmentationResult:
    """Result of a segmentation. Each step adds its part in a copy (`dataclasses.replace`); nothing is changed in place.

    Attributes:
        label_array: (z, y, x) uint8 on `grid`; 0 is background.
        grid: of the first image.
        structures: what the labels mean.
        attention: maps by index of the autofocus layer (from 0), where asked for.
        reach: how far the network looked, where the attention of all its layers was asked for.
        recalibration: of a network of scale streams that has it, where attention was asked for.
        uncertainty: how unsure the network was, where asked for.
        probability_array: (z, y, x, class) float32 on `grid`, background first, where asked for.
        evidence: what a review needs, where asked for.
        scan: the first image, where a later step needs it.
        plan: how the volume was computed, in a sentence.
        device, precision: where and in what it was computed.
        seconds: wall time by stage.
        warnings: sentences for the user.
        measurements: of every structure, once measured.
        assessment: the review, once reviewed.
        provenance: how the result was made, any JSON.
        files: written so far.
    """

    label_array: npt.NDArray[np.uint8] = field(repr=False)
    grid: Grid
    structures: tuple[Structure, ...]
    attention: Mapping[int, AttentionMap] = field(default_factory=dict)
    reach: ReachMap | None = None
    recalibration: Recalibration | None = None
    uncertainty: UncertaintyMap | None = None
    probability_array: Floats | None = field(default=None, repr=False)
    evidence: Evidence | None = field(default=None, repr=False)
    scan: sitk.Image | None = field(default=None, repr=False)
    plan: str = ""
    device: str = ""
    precision: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    assessment: Assessment | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @functools.cached_property
    def labels(self) -> sitk.Image:
        """The labels as an 8-bit image with exactly the first image's grid."""
        return to_image(self.label_array, self.grid)

    @property
    def probabilities(self) -> sitk.Image | None:
        """The probabilities as a new vector image, a component for each class."""
        return None if self.probability_array is None else to_vector_image(self.probability_array, self.grid)

    @property
    def review(self) -> dict[str, Any] | None:
        """The assessment as JSON."""
        return None if self.assessment is None else dataclasses.asdict(self.assessment)

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of every structure in millilitres."""
        return {m.structure: m.volume_ml for m in self.measurements}

    def written(self, files: Sequence[object], seconds: float) -> SegmentationResult:
        """This result with the files written, and the time for writing them."""
        times = {**self.seconds, "write": seconds}
        return dataclasses.replace(self, files=tuple(str(path) for path in files), seconds=times)

    def to_dict(self) -> dict[str, Any]:
        """Everything except the voxels, for JSON: tables, records and the worker's answers."""
        return {
            "files": list(self.files),
            "measurements": [dataclasses.asdict(m) for m in self.measurements],
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "device": self.device,
            "precision": self.precision,
            "plan": self.plan,
            "warnings": list(self.warnings),
            "result_id": self.provenance.get("result_id", ""),
            "review": self.review,
            "volumes_ml": self.volumes_ml,
            "seconds_total": sum(round(value, 3) for value in self.seconds.values()),
        }
