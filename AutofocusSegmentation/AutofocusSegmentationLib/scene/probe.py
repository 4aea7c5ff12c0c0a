"""The attention at one point: the weights of the dilation rates, and the reach as a circle.

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

from AutofocusSegmentationLib.scene.attention_nodes import LEAST
from AutofocusSegmentationLib.scene.attention_set import AttentionSet
from AutofocusSegmentationLib.scene.layer_volumes import AttentionLayer

MARKER_NAME = "How far the network looked"
MARKER_CORNERS = 48  # of the circle that a slice cuts out of the sphere


@dataclass(frozen=True)
class Probe:
    """The attention in one voxel.

    Attributes:
        weights: (K,), of the dilation rates; their mean over the layers where all of them are looked at.
        rates: in voxels.
        rates_mm: in mm.
        distance_mm: how far the network looked: Σₖ Λᵏ rₖ of a layer, the reach of all of them; 0 outside.
        inside: whether the point is in the patient and the numbers are known.
        all_layers: whether this is the reach of all layers.
    """

    weights: NDArray[np.float32] = field(repr=False)
    rates: tuple[float, ...]
    rates_mm: tuple[float, ...]
    distance_mm: float
    inside: bool
    all_layers: bool = False


OUTSIDE = Probe(np.zeros(0, np.float32), (), (), 0.0, False)


def probe_at(attention: AttentionSet, layer: AttentionLayer | None, point: Any) -> Probe:
    """The attention in the voxel that holds a point.

    Args:
        attention: of a run.
        layer: the autofocus layer to look at; None: all of them together.
        point: (x, y, z) in mm, RAS, in the world, where all transforms have been applied.
    """
    anchor = attention.anchor
    if anchor is None or anchor.GetImageData() is None:
        return OUTSIDE
    index = _voxel(anchor, point)
    if index is None:
        return OUTSIDE
    value = anchor.GetImageData().GetScalarComponentAsFloat(*index, 0)
    if anchor.GetAttribute(LEAST) and value < float(anchor.GetAttribute(LEAST)) / 2:
        return OUTSIDE  # the air around the patient
    layers = attention.layers if layer is None else [layer]
    found = [weights for one in layers if (weights := one.weights(*index)) is not None]
    if not found and layer is not None:
        return OUTSIDE
    if not found:
        return Probe(np.zeros(0, np.float32), (), (), value, True, all_layers=True)
    weights = np.mean(found, axis=0)
    rates, rates_mm = layers[0].rates, layers[0].rates_mm
    if layer is None and attention.reach is not None:
        return Probe(weights, rates, rates_mm, value, True, all_layers=True)
    distance = sum(float(weight) * rate for weight, rate in zip(weights, rates_mm, strict=True))
    return Probe(weights, rates, rates_mm, distance, True)


def _voxel(volume: Any, point: Any) -> tuple[int, int, int] | None:
    """The indices (i, j, k) of the voxel of a volume that holds a point of the world; None outside of the volume."""
    local = [0.0, 0.0, 0.0]
    volume.TransformPointFromWorld(point, local)
    matrix = vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    i, j, k, _ = (int(np.floor(value + 0.5)) for value in matrix.MultiplyPoint((*local, 1.0)))
    width, height, depth = volume.GetImageData().GetDimensions()
    return (i, j, k) if 0 <= i < width and 0 <= j < height and 0 <= k < depth else None


class DistanceMarker:
    """A sphere that slice views cut into a circle: how far the network looked from its middle.

    It is not saved with the scene, hidden from lists and not seen in 3-D views.

    Args:
        scene: where it goes.
        colour: red, green and blue, 0 to 1.
    """

    def __init__(self, scene: Any, colour: tuple[float, float, float] = (1.0, 0.95, 0.1)) -> None:
        self._sphere = vtkSphereSource()
        self._sphere.SetThetaResolution(MARKER_CORNERS)
        self._sphere.SetPhiResolution(MARKER_CORNERS)
        display = slicer.vtkMRMLModelDisplayNode()
        display.SetSaveWithScene(False)
        display.SetHideFromEditors(True)
        display.SetColor(*colour)
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
