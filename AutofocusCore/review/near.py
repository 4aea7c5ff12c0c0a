"""The surroundings of a contour: the box round it, and for each voxel the probability and how far the surface is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.evidence import Evidence
from AutofocusCore.review.probabilities import Box, Floats, bounding_box, probability_of

NEAR_MM = 12.0
"""Doubtful voxels farther from a contour than this are not counted."""


@dataclass(frozen=True)
class Surroundings:
    """A contour and what lies round it, up to `NEAR_MM` and a little more.

    Attributes:
        box: place of these arrays in the evidence's grid.
        contour: (d, h, w), true inside the delivered contour.
        probability: of the structure, calibrated.
        distance: in mm from the surface, negative inside.
    """

    box: Box
    contour: npt.NDArray[np.bool_]
    probability: Floats
    distance: Floats


def surroundings(evidence: Evidence, label: int, temperature: float) -> Surroundings | None:
    """The surroundings of a structure's contour; None where it has no voxel.

    Args:
        evidence: of the run.
        label: of the structure.
        temperature: of the calibration.
    """
    whole, grid = evidence.delivered == label, evidence.grid
    if not whole.any():
        return None
    x, y, z = (int(np.ceil(NEAR_MM / edge)) for edge in grid.spacing)
    box = bounding_box(whole, (z, y, x))
    contour = np.ascontiguousarray(whole[box])
    image = sitk.GetImageFromArray(contour.astype(np.uint8))
    image.SetSpacing(grid.spacing)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    probability = probability_of(label, evidence.probabilities, box, temperature)
    return Surroundings(box, contour, probability, sitk.GetArrayFromImage(distance).astype(np.float32, copy=False))
