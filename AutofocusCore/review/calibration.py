"""The calibration of a model: numbers in its description, written by Training/calibrate.py and read here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import ModelError
from AutofocusCore.review.cohort import Cohort
from AutofocusCore.review.evidence import PERCENTILES
from AutofocusCore.review.quality import FEATURES, QualityModel, StructureQuality

if TYPE_CHECKING:
    from AutofocusCore.models import ModelSpec

VERSION = 2
"""Version 1 flags contours by their estimate, version 2 by the lower end of its interval."""
FIT_AGAIN = "get the model from its source again, or fit its calibration again with Training/calibrate.py"


@dataclass(frozen=True)
class Calibration:
    """The fitted numbers of a model.

    Attributes:
        temperature: of the probabilities; 1 leaves them as they are.
        quality: for estimates; None: no estimates.
        cohort: statistics of the training cases; None: not known.
        fitted_on: a sentence that says on which cases.
    """

    temperature: float = 1.0
    quality: QualityModel | None = None
    cohort: Cohort | None = None
    fitted_on: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Fields for JSON."""
        return {"version": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], model: str = "the model") -> Calibration:
        """The inverse of `to_dict`.

        Args:
            values: the fields.
            model: what an error calls the model.

        Raises:
            ModelError: a field is missing or makes no sense; or it is of a newer version.
        """
        try:
            if int(values.get("version", 0)) > VERSION:
                cause = f"The calibration of {model} is of version {values['version']}, newer than {VERSION}"
                raise ModelError(cause, "update AutofocusSegmentation")
            temperature = float(values.get("temperature", 1.0))
            if not 0.1 <= temperature <= 10:
                raise ValueError(f"the temperature is {temperature}")
            quality, cohort = values.get("quality"), values.get("cohort")
            return cls(
                temperature,
                None if quality is None else _quality(quality),
                None if cohort is None else _cohort(cohort),
                str(values.get("fitted_on", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ModelError(f"The calibration of {model} cannot be used ({why})", FIT_AGAIN) from None


def calibration_of(spec: ModelSpec) -> Calibration | None:
    """The calibration in a model's description; None where there is none.

    Raises:
        ModelError: a part of it is missing or makes no sense, or does not fit the model's channels.
    """
    if not spec.calibration:
        return None
    found = Calibration.from_dict(spec.calibration, f"the model {spec.name}")
    if found.cohort is not None and len(found.cohort.intensities) not in (0, len(spec.channels)):
        count, wanted = len(found.cohort.intensities), len(spec.channels)
        cause = f"The calibration of the model {spec.name} has intensities of {count} channels, the model {wanted}"
        raise ModelError(cause, FIT_AGAIN)
    return found


def _quality(values: Mapping[str, Any]) -> QualityModel | None:
    """The quality model; None where it was fitted to other features than this version's."""
    if tuple(values["features"]) != FEATURES:
        return None
    structures = {
        str(name): StructureQuality(
            int(own["cases"]),
            _floats(own["mean"]),
            _floats(own["spread"]),
            _floats(own["weights"]),
            float(own["level"]),
            float(own["remainder"]),
        )
        for name, own in values["structures"].items()
    }
    rows = [row for own in structures.values() for row in (own.mean, own.spread, own.weights)]
    if any(len(row) != len(FEATURES) for row in rows) or any(min(own.spread) <= 0 for own in structures.values()):
        raise ValueError("weights and features do not fit each other")
    if values.get("check_by", "dice") not in ("low", "dice"):
        raise ValueError(f"contours are flagged by {values['check_by']!r}")
    return QualityModel(
        FEATURES,
        float(values["low"]),
        float(values["high"]),
        float(values["check_below"]),
        structures,
        values.get("check_by", "dice"),
    )


def _cohort(values: Mapping[str, Any]) -> Cohort:
    volumes = {str(name): _floats(row) for name, row in values.get("volumes", {}).items()}
    offsets = {str(name): _floats(row) for name, row in values.get("offsets", {}).items()}
    if any(len(row) != 3 for row in volumes.values()) or any(len(row) != 7 for row in offsets.values()):
        raise ValueError("the cohort's volumes need 3 numbers each, its offsets 7")
    spacing, extent = (tuple(_pair(row) for row in values.get(name, ())) for name in ("spacing", "extent"))
    if {len(spacing), len(extent)} - {0, 3}:
        raise ValueError("the cohort's spacing and extent need a pair of numbers for each of the three axes")
    intensities = tuple(tuple(_pair(row) for row in channel) for channel in values.get("intensities", ()))
    if any(len(channel) != len(PERCENTILES) for channel in intensities):
        raise ValueError(f"the cohort's intensities need {len(PERCENTILES)} pairs of numbers for each channel")
    return Cohort(int(values["cases"]), volumes, offsets, spacing, extent, intensities)


def _floats(row: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in row)


def _pair(row: Any) -> tuple[float, float]:
    low, high = row
    return (float(low), float(high))
