"""The surroundings of a contour: the box round it, and how far each voxel there is from its surface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.geometry import Grid
from AutofocusCore.review.probabilities import bounding_box

NEAR_MM = 12.0
"""What is further from a contour than this is no question of the contour."""

Box = tuple[slice, slice, slice]


def surroundings(contour: npt.NDArray[np.bool_], grid: Grid) -> tuple[Box, npt.NDArray[np.float32]]:
    """The box round a contour, wider by `NEAR_MM`, and the distances there.

    Args:
        contour: (D, H, W) with at least one voxel.
        grid: where it is.

    Returns:
        The box, and the distance in mm of each of its voxels from the surface, negative inside.
    """
    x, y, z = (int(np.ceil(NEAR_MM / edge)) for edge in grid.spacing)
    box = bounding_box(contour, (z, y, x))
    image = sitk.GetImageFromArray(contour[box].astype(np.uint8))
    image.SetSpacing(grid.spacing)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return box, sitk.GetArrayFromImage(distance).astype(np.float32)
