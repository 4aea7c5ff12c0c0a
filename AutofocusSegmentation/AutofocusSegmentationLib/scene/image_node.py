"""A SimpleITK image as a volume node: the same voxels at the same place."""

from __future__ import annotations

from typing import Any

import SimpleITK as sitk

from AutofocusCore.images.geometry import Grid
from AutofocusSegmentationLib.scene.volume_node import add_volume


def add_image(scene: Any, name: str, image: sitk.Image) -> Any:
    """A scalar volume node with a display node, from a 3-D image with one value a voxel."""
    return add_volume(scene, scene.GenerateUniqueName(name), sitk.GetArrayFromImage(image), Grid.of(image).index_to_lps)
