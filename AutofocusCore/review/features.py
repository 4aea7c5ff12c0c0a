"""Features of each structure's contour, from calibrated probabilities: the inputs of a quality estimate.

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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid
from AutofocusCore.review.cohort import Cohort, Point
from AutofocusCore.review.near import NEAR_MM, Surroundings
from AutofocusCore.review.probabilities import Box, Floats

FEATURES = ("expected Dice near the contour", "probability inside", "thickness", "odd volume")
"""Names, in the order of `StructureEvidence.features`."""
LEAST_DEPTH_MM = 0.1


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
