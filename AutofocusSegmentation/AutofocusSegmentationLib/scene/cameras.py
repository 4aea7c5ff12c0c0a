"""Cameras of the 3-D views: they look at what has just been shown, from where they looked before."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

SURFACE = "Closed surface"
Box = tuple[NDArray[np.float64], NDArray[np.float64]]


def look_at(node: Any) -> None:
    """Let all 3-D views show a volume, or the surfaces of a segmentation, as large as it fits."""
    box = _box(node)
    if box is None:
        return  # nothing was found
    low, high = box
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


def _box(node: Any) -> Box | None:
    """The lowest and the highest corner in mm, RAS, of the world; None of what is empty."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        bounds = [0.0] * 6
        node.GetRASBounds(bounds)
        return np.array(bounds[::2]), np.array(bounds[1::2])
    corners = []
    for key in node.GetSegmentation().GetSegmentIDs():  # the bounds of a segment are those of its whole labelmap
        surface = node.GetSegmentation().GetSegment(key).GetRepresentation(SURFACE)
        if surface is None or surface.GetNumberOfPoints() == 0:
            continue
        bounds = surface.GetBounds()
        for corner in itertools.product(bounds[:2], bounds[2:4], bounds[4:]):
            world = [0.0, 0.0, 0.0]
            node.TransformPointToWorld(corner, world)
            corners.append(world)
    return (np.min(corners, axis=0), np.max(corners, axis=0)) if corners else None
