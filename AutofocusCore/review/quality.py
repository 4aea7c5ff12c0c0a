"""Quality estimates: the Dice that a contour would probably have, with the interval that holds it in 80 of 100 cases.

A linear model on the logit of Dice. Each feature is standardised by its mean and spread in that structure. Each
structure has its own weights (regularised towards common ones, so that a few dozen patients are enough), its own level
and its own standard deviation of the residuals. The interval's ends are quantiles of these residuals, from
leave-one-out cross-validation over the patients.

Contours are flagged by the lower end of the interval, not by the estimate: of two with the same estimate, the one that
is known less well may be the worse.

The features of each contour come from calibrated probabilities.

The expected Dice under the probabilities is 2 Σ p over the contour / (voxels of the contour + Σ p near it): the Dice
that the contour would have on average if truth were drawn voxel by voxel. Networks err in whole regions, not voxel by
voxel, so it is no estimate by itself. The other features are the mean probability within the contour, its thickness (an
error of a millimetre changes the Dice of a thin cord more than that of a gland), and how unusual its volume is.

Other features were tried on 32 patients, each left out in turn: uncertainty and entropy on the surface, quartiles of
the probabilities, place, length, doubt beyond the ends, parts, borders of the scan. None ranked the contours better
than these four. Agreement with a second prediction, of the mirrored scan, ranked them a little better; it is not used,
because it takes as long as the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid
from AutofocusCore.review.cohort import Cohort, Point
from AutofocusCore.review.evidence import NEAR_MM, Box, Floats, Surroundings

COVERAGE = 0.8
"""Share of cases in which the interval shall hold the true Dice."""
LIMIT = 4.0
"""Features are clipped to this many spreads from their mean."""
FEATURES = ("expected Dice near the contour", "probability inside", "thickness", "odd volume")
"""Names, in the order of `StructureEvidence.features`."""
LEAST_DEPTH_MM = 0.1


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
        middle = own.level + self.contribution(own, features)
        logits = np.asarray([middle + off * own.remainder for off in (0.0, self.low, self.high)])
        dice, low, high = (1 / (1 + np.exp(-logits))).tolist()
        check = (low if self.check_by == "low" else dice) < self.check_below
        return Estimate(round(dice, 3), round(low, 3), round(high, 3), check)

    def contribution(self, own: StructureQuality, features: Sequence[float]) -> float:
        """Contribution of the features to the structure's level; together they are the estimated logit of Dice."""
        scaled = (np.asarray(features) - np.asarray(own.mean)) / np.asarray(own.spread)
        return float(np.clip(scaled, -LIMIT, LIMIT) @ np.asarray(own.weights))


@dataclass(frozen=True)
class StructureEvidence:
    """Volume, position and features of one structure of a result.

    Attributes:
        name: of the structure.
        volume_ml: of its contour.
        centre: (x, y, z) in mm, LPS, of the contour's centroid; None where it is empty.
        features: values of `FEATURES`; None where it is empty.
    """

    name: str
    volume_ml: float
    centre: Point | None
    features: tuple[float, ...] | None


def structure_evidence(name: str, near: Surroundings | None, grid: Grid, cohort: Cohort | None) -> StructureEvidence:
    """Features of a structure as it was delivered.

    Args:
        name: of the structure.
        near: its contour and what lies round it; None where it is empty.
        grid: of the evidence.
        cohort: volumes in the training cohort; None: that feature is 0.
    """
    if near is None:
        return StructureEvidence(name, 0.0, None, None)
    volume, centre = volume_and_centre(near.contour, near.box, grid)
    contour, probability = near.contour, near.probability
    counted = contour | (near.distance <= NEAR_MM)
    features = (
        logit(expected_dice(np.where(counted, probability, np.float32(0)), contour)),
        logit(float(probability[contour].mean())),
        float(np.log(max(-float(near.distance[contour].mean()), LEAST_DEPTH_MM))),
        0.0 if cohort is None else abs(cohort.odd_volume(name, volume)),
    )
    return StructureEvidence(name, volume, centre, features)


def volume_and_centre(contour: npt.NDArray[np.bool_], box: Box, grid: Grid) -> tuple[float, Point]:
    """Volume of a contour in mL, and its centroid (x, y, z) in mm, LPS.

    Args:
        contour: (d, h, w), with at least one voxel.
        box: its place in the grid.
        grid: where the voxels are.
    """
    z, y, x = np.nonzero(contour)
    centre = [x.mean() + box[2].start, y.mean() + box[1].start, z.mean() + box[0].start]
    lps = grid.to_mm(centre).tolist()
    return len(z) * grid.voxel_mm3 / 1000, (lps[0], lps[1], lps[2])


def expected_dice(probability: Floats, contour: npt.NDArray[np.bool_]) -> float:
    """Expected Dice of a contour under the probability of its class."""
    inside, everywhere = float(probability[contour].sum()), float(probability.sum(dtype=np.float64))
    return 2 * inside / (float(contour.sum()) + everywhere)


def logit(share: float) -> float:
    """log(s / (1 - s)), with s kept from 0.01 to 0.99."""
    share = min(max(share, 0.01), 0.99)
    return float(np.log(share / (1 - share)))
