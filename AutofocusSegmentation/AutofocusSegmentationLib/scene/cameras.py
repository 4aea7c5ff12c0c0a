"""Cameras of the 3-D views: they look at what has just been shown, from where they looked before."""

from __future__ import annotations

from typing import Any

import numpy as np


def look_at(node: Any) -> None:
    """Let all 3-D views show the whole of a segmentation or volume node, as large as it fits."""
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    if not (high > low).any():
        return  # nothing was found
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    cameras = node.GetScene().GetNodesByClass("vtkMRMLCameraNode")
    for index in range(cameras.GetNumberOfItems()):
        camera = cameras.GetItemAsObject(index)
        direction = np.array(camera.GetCamera().GetDirectionOfProjection())
        distance = radius / np.sin(np.radians(camera.GetViewAngle()) / 2)
        modified = camera.StartModify()
        camera.SetFocalPoint(*middle)
        camera.SetPosition(*(middle - distance * direction))
        camera.SetParallelScale(radius)
        camera.EndModify(modified)
        camera.ResetClippingRange()
