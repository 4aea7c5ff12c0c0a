"""The calibration of a model: numbers in its description, written by Training/calibrate.py and read here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from AutofocusCore.errors import ModelError
from AutofocusCore.review.cohort import Cohort
from AutofocusCore.review.features import FEATURES
from AutofocusCore.review.quality import QualityModel, StructureQuality

if TYPE_CHECKING:
    from AutofocusCore.models import ModelSpec

VERSION = 2
"""Version 1 flags contours by their estimate, version 2 by the lower end of its interval."""


@dataclass(frozen=True)
class Calibration:
    """Everything that was fitted.

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
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_dict`.

        Raises:
            ModelError: a field is missing or makes no sense; or it is of a newer version.
        """
        if int(values.get("version", 0)) > VERSION:
            raise ModelError(
                f"The model's calibration is of version {values['version']}", "update AutofocusSegmentation"
            )
        try:
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
            raise ModelError(f"The model's calibration cannot be used ({error})", "fit it again") from None


def calibration_of(spec: ModelSpec) -> Calibration | None:
    """The calibration in a model's description; None where there is none.

    Raises:
        ModelError: it makes no sense.
    """
    values = spec.calibration
    return Calibration.from_dict(values) if values else None


def _quality(values: Mapping[str, Any]) -> QualityModel | None:
    """The quality model; None where it was fitted to other features than this version's."""
    if tuple(values["features"]) != FEATURES:
        return None
    structures = {str(name): _structure(own) for name, own in values["structures"].items()}
    rows = [row for own in structures.values() for row in (own.mean, own.spread, own.weights)]
    if any(len(row) != len(FEATURES) for row in rows) or any(min(own.spread) <= 0 for own in structures.values()):
        raise ValueError("weights and features do not fit each other")
    return QualityModel(
        FEATURES,
        float(values["low"]),
        float(values["high"]),
        float(values["check_below"]),
        structures,
        _check_by(values),
    )


def _check_by(values: Mapping[str, Any]) -> Literal["low", "dice"]:
    by = values.get("check_by", "dice")
    if by not in ("low", "dice"):
        raise ValueError(f"contours are flagged by {by!r}")
    return "low" if by == "low" else "dice"


def _structure(own: Mapping[str, Any]) -> StructureQuality:
    mean, spread, weights = (_floats(own[name]) for name in ("mean", "spread", "weights"))
    return StructureQuality(int(own["cases"]), mean, spread, weights, float(own["level"]), float(own["remainder"]))


def _cohort(values: Mapping[str, Any]) -> Cohort:
    volumes = {str(name): _floats(row) for name, row in values.get("volumes", {}).items()}
    offsets = {str(name): _floats(row) for name, row in values.get("offsets", {}).items()}
    if any(len(row) != 3 for row in volumes.values()) or any(len(row) != 7 for row in offsets.values()):
        raise ValueError("the cohort's volumes have 3 numbers, its offsets 7")
    return Cohort(
        int(values["cases"]),
        volumes,
        offsets,
        tuple(_pair(row) for row in values.get("spacing", ())),
        tuple(_pair(row) for row in values.get("extent", ())),
        tuple(tuple(_pair(row) for row in channel) for channel in values.get("intensities", ())),
    )


def _floats(row: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in row)


def _pair(row: Any) -> tuple[float, float]:
    low, high = row
    return (float(low), float(high))
