"""Quality estimates: the Dice that a contour would probably have, with the interval that holds it in 80 of 100 cases.

A linear model on the logit of Dice. Each feature is standardised by its mean and spread in that structure. Each
structure has its own weights (regularised towards common ones, so that a few dozen patients are enough), its own level
and its own standard deviation of the residuals. The interval's ends are quantiles of these residuals, from
leave-one-out cross-validation over the patients.

Contours are flagged by the lower end of the interval, not by the estimate: of two with the same estimate, the one that
is known less well may be the worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

COVERAGE = 0.8
"""Share of cases in which the interval shall hold the true Dice."""
LIMIT = 4.0
"""Features are clipped to this many spreads from their mean."""


@dataclass(frozen=True)
class Estimate:
    """Estimate for one structure: Dice, its interval, and whether the contour is in the quarter to check first."""

    dice: float
    low: float
    high: float
    check: bool


@dataclass(frozen=True)
class StructureQuality:
    """Fitted parameters of one structure.

    Attributes:
        cases: number of cases that they were fitted on.
        mean, spread: of each feature.
        weights: of each feature.
        level: mean logit of Dice.
        remainder: standard deviation of what the weights leave unexplained.
    """

    cases: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    level: float
    remainder: float


@dataclass(frozen=True)
class QualityModel:
    """Parameters that turn features into estimates.

    Attributes:
        features: names of the features, which must be those of this version.
        low, high: ends of the interval, in units of a structure's remainder.
        check_below: contours whose `check_by` is below this are the quarter to check first.
        structures: by name.
        check_by: "low", the lower end of the interval; "dice", the estimate, in calibrations of version 1.
    """

    features: tuple[str, ...]
    low: float
    high: float
    check_below: float
    structures: dict[str, StructureQuality] = field(default_factory=dict)
    check_by: Literal["low", "dice"] = "low"

    def estimate(self, name: str, features: Sequence[float] | None) -> Estimate | None:
        """The estimate of a structure; None where it is empty or the model was not calibrated for it."""
        own = self.structures.get(name)
        if own is None or features is None:
            return None
        middle = self.centre(own, features)
        dice, low, high = (_share(middle + off * own.remainder) for off in (0.0, self.low, self.high))
        check = (low if self.check_by == "low" else dice) < self.check_below
        return Estimate(round(dice, 3), round(low, 3), round(high, 3), check)

    def centre(self, own: StructureQuality, features: Sequence[float]) -> float:
        """The estimated logit of Dice."""
        return own.level + self.contribution(own, features)

    def contribution(self, own: StructureQuality, features: Sequence[float]) -> float:
        """Contribution of the features to the structure's level."""
        scaled = (np.asarray(features) - np.asarray(own.mean)) / np.asarray(own.spread)
        return float(np.clip(scaled, -LIMIT, LIMIT) @ np.asarray(own.weights))


def _share(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
