"""What the network did at one point: the weights of the dilation rates there, and its effective field drawn around it.

Both are called at every move of the mouse, so they take microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkFiltersSources import vtkSphereSource

from AutofocusSegmentationLib.scene.attention_nodes import AttentionLayer

MARKER_NAME = "Effective field"
MARKER_COLOUR = (1.0, 0.85, 0.2)
MARKER_CORNERS = 48  # of the circle that a slice cuts out of the sphere


@dataclass(frozen=True)
class Probe:
    """The attention in one voxel.

    Attributes:
        weights: (K,), of the dilation rates; all 0 outside.
        rates: in voxels.
        rates_mm: in mm.
        effective_mm: Σₖ Λᵏ rₖ; 0 outside.
        inside: whether the point is in the volume and its weights are known.
    """

    weights: NDArray[np.float32] = field(repr=False)
    rates: tuple[float, ...]
    rates_mm: tuple[float, ...]
    effective_mm: float
    inside: bool


def weights_at(layer: AttentionLayer, point: Any) -> Probe:
    """The attention in the voxel that holds a point.

    Args:
        layer: the autofocus layer.
        point: (x, y, z) in mm, RAS, in the world, where all transforms have been applied.
    """
    zoom = layer.zoom
    image = zoom.GetImageData()
    weights = None
    if image is not None:
        local = [0.0, 0.0, 0.0]
        zoom.TransformPointFromWorld(point, local)
        matrix = vtkMatrix4x4()
        zoom.GetRASToIJKMatrix(matrix)
        i, j, k, _ = (int(np.floor(value + 0.5)) for value in matrix.MultiplyPoint((*local, 1.0)))
        width, height, depth = image.GetDimensions()
        if 0 <= i < width and 0 <= j < height and 0 <= k < depth:
            weights = layer.weights(i, j, k)
    if weights is None:
        return Probe(np.zeros(len(layer.rates), np.float32), layer.rates, layer.rates_mm, 0.0, False)
    effective = sum(float(w) * rate for w, rate in zip(weights, layer.rates_mm, strict=True))
    return Probe(weights, layer.rates, layer.rates_mm, effective, True)


class FieldMarker:
    """A sphere that slice views cut into a circle: how far the dilated convolution reaches from its middle.

    It is not saved with the scene, hidden from lists and not seen in 3-D views.

    Args:
        scene: where it goes.
    """

    def __init__(self, scene: Any) -> None:
        self._sphere = vtkSphereSource()
        self._sphere.SetThetaResolution(MARKER_CORNERS)
        self._sphere.SetPhiResolution(MARKER_CORNERS)
        display = slicer.vtkMRMLModelDisplayNode()
        display.SetSaveWithScene(False)
        display.SetHideFromEditors(True)
        display.SetColor(*MARKER_COLOUR)
        display.SetVisibility2D(True)
        display.SetVisibility3D(False)
        display.SetSliceIntersectionThickness(2)
        self._display = scene.AddNode(display)
        model = slicer.vtkMRMLModelNode()
        model.SetName(MARKER_NAME)
        model.SetSaveWithScene(False)
        model.SetHideFromEditors(True)
        model.SetSelectable(False)
        model.SetPolyDataConnection(self._sphere.GetOutputPort())
        self.node = scene.AddNode(model)
        self.node.SetAndObserveDisplayNodeID(self._display.GetID())

    def update(self, point: Any, radius_mm: float) -> None:
        """Move it to a point, (x, y, z) in mm, RAS, of the world, and give it a radius in mm."""
        if self.node.GetScene() is None:
            return  # the scene was closed
        self._sphere.SetCenter(*point)
        self._sphere.SetRadius(max(float(radius_mm), 1e-3))
        self._sphere.Update()
        self._display.SetVisibility(True)

    def hide(self) -> None:
        """Show it no longer, until the next update."""
        self._display.SetVisibility(False)

    def remove(self) -> None:
        """Take it out of the scene."""
        for node in (self.node, self._display):
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
