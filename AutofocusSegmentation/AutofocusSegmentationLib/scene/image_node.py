"""A SimpleITK image as a volume node: the same voxels at the same place."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.io.nrrd import grid_matrix
from AutofocusSegmentationLib.scene.volume_node import add_volume


def add_image(scene: Any, name: str, image: sitk.Image) -> Any:
    """A scalar volume node with a display node, from a 3-D image with one value a voxel."""
    return add_volume(scene, scene.GenerateUniqueName(name), sitk.GetArrayFromImage(image), index_to_lps(image))


def index_to_lps(image: sitk.Image) -> NDArray[np.float64]:
    """4 × 4, from voxel indices (i, j, k, 1) to mm (x, y, z, 1), LPS."""
    return grid_matrix(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
