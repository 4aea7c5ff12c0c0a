"""Views of a run's whole attention: all rates side by side, a map in 3-D, a sequence over layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction

from AutofocusSegmentationLib.scene.attention_display import show_behind, show_overlay, shown_range
from AutofocusSegmentationLib.scene.attention_nodes import (
    ATTENTION,
    LEAST,
    OWNER_ROLE,
    REFERENCE_ROLE,
    SEQUENCE,
    remove_sequence,
)
from AutofocusSegmentationLib.scene.attention_set import AttentionSet
from AutofocusSegmentationLib.scene.details import put_into_details
from AutofocusSegmentationLib.scene.placing import as_array
from AutofocusSegmentationLib.scene.volume_node import add_display
from AutofocusSegmentationLib.scene.zoom_colours import BETWEEN, ZOOMED_IN, ZOOMED_OUT, colour_function

FIRST_LAYOUT = 18050  # layout identifiers from here on are this module's: 18050 + number of views
VIEW_GROUP = 1805  # so that linked views of other layouts stay as they are
VIEW_NAME = "AutofocusRate"
ENDS = (1.0, 8.0, 92.0, 99.0)  # percentiles in the patient between which a map in 3-D becomes clear and opaque again
OPAQUE = 0.35
LAYERS_NAME = "Dilation in mm by layer"


@dataclass(frozen=True)
class Layout:
    """A layout of slice views: what Slicer's layout node is told, and the views' names."""

    identifier: int
    xml: str
    view_names: tuple[str, ...]


def side_by_side_layout(scene: Any, labels: Sequence[str]) -> Layout:
    """A layout of slice views in a grid, nearly square, each with its label, of which the scene's layout node is told.

    Args:
        scene: whose layout node.
        labels: of the views, such as "8 mm"; one view for each.

    Raises:
        ValueError: no view at all.
    """
    count = len(labels)
    if count < 1:
        raise ValueError(f"A layout of {count} views")
    names = tuple(f"{VIEW_NAME}{number}" for number in range(1, count + 1))
    per_row = math.isqrt(count - 1) + 1
    views = [_view(name, label) for name, label in zip(names, labels, strict=True)]
    rows = [views[start : start + per_row] for start in range(0, count, per_row)]
    lines = "".join(f"<item>{_row(row)}</item>" for row in rows)
    layout = Layout(FIRST_LAYOUT + count, f'<layout type="vertical">{lines}</layout>', names)
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is not None:
        if node.IsLayoutDescription(layout.identifier):
            node.SetLayoutDescription(layout.identifier, layout.xml)
        else:
            node.AddLayoutDescription(layout.identifier, layout.xml)
    return layout


def show_side_by_side(
    scene: Any, layout: Layout, volumes: Sequence[Any], *, background: Any, opacity: float, linked: bool = True
) -> None:
    """Show one volume in each view of a layout, over the same background; linked, the views move together."""
    for name, volume in zip(layout.view_names, volumes, strict=False):
        composite = _composite(scene, name)
        show_behind([composite], background)
        show_overlay([composite], volume, opacity=opacity, linked=linked)


def label_views(scene: Any, layout: Layout, labels: Sequence[str]) -> None:
    """Write the labels on the views' bars; a view that was shown before keeps its old one otherwise."""
    for name, label in zip(layout.view_names, labels, strict=False):
        node = _slice_node(scene, name)
        if node is not None:
            node.SetLayoutLabel(label)


def same_place(scene: Any, layout: Layout, source: Any) -> bool:
    """Let all views of a layout show the plane, the place and the zoom of another slice view.

    Args:
        scene: of the views.
        layout: whose views.
        source: the vtkMRMLSliceNode to follow.

    Returns:
        Whether one of them showed something else.
    """
    width, _, _ = source.GetDimensions()
    millimetres = source.GetFieldOfView()[0] / max(width, 1)  # for one pixel
    moved = False
    for name in layout.view_names:
        node = _slice_node(scene, name)
        if node is None:
            continue
        columns, rows, _ = node.GetDimensions()
        field = (columns * millimetres, rows * millimetres, source.GetFieldOfView()[2])
        there = np.allclose(as_array(node.GetSliceToRAS()), as_array(source.GetSliceToRAS()), atol=1e-3)
        if there and np.allclose(node.GetFieldOfView()[:2], field[:2], atol=1e-3):
            continue
        moved = True
        node.GetSliceToRAS().DeepCopy(source.GetSliceToRAS())
        node.SetFieldOfView(*field)
        node.SetXYZOrigin(*source.GetXYZOrigin())
        node.UpdateMatrices()
    return moved


def render_map(logic: Any, volume: Any) -> Any:
    """Show a map in 3-D views: where the network looked nearest and where farthest, and nothing between.

    Args:
        logic: Slicer's vtkSlicerVolumeRenderingLogic.
        volume: an attention volume.

    Returns:
        The display node of the volume rendering, visible; made once for a volume.
    """
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    if display is None:
        display = logic.CreateDefaultVolumeRenderingNodes(volume)
    values = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars())
    in_patient = values[values > 0] if volume.GetAttribute(LEAST) else values
    least, near, far, most = _rising(np.percentile(in_patient if in_patient.size else values, ENDS).tolist())
    opacity = vtkPiecewiseFunction()
    for value, share in (
        (0.98 * float(volume.GetAttribute(LEAST) or least), 0.0),  # less is air
        (least, OPAQUE), (near, 0.0), (far, 0.0), (most, OPAQUE),
    ):  # fmt: skip
        opacity.AddPoint(value, share)
    rendering = display.GetVolumePropertyNode()
    rendering.SetScalarOpacity(opacity)
    rendering.SetColor(colour_function((ZOOMED_IN, BETWEEN, ZOOMED_OUT), *shown_range(volume)))
    even = vtkPiecewiseFunction()  # edges count no more than the rest
    even.AddPoint(0.0, 1.0)
    rendering.SetGradientOpacity(even)
    rendering.GetVolumeProperty().ShadeOn()
    display.SetVisibility(True)
    return display


def _rising(values: list[float]) -> list[float]:
    """The values, each a little above the one before where they are equal."""
    for index in range(1, len(values)):
        values[index] = max(values[index], values[index - 1] + 1e-6)
    return values


def layer_sequence(attention: AttentionSet) -> tuple[Any, Any, Any]:
    """The zoom maps of all layers as a sequence, and a browser that plays it; those of an earlier call are replaced.

    Returns:
        The vtkMRMLSequenceNode, index "layer" from 1, the vtkMRMLSequenceBrowserNode, and the volume that plays.
    """
    reference = attention.reference
    scene = reference.GetScene()
    remove_sequence(scene, attention.owner)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", LAYERS_NAME)
    sequence.SetIndexName("layer")
    sequence.SetIndexUnit("")
    sequence.SetIndexType(sequence.NumericIndex)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{LAYERS_NAME} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetPlaybackRateFps(2.0)
    browser.SetPlaybackLooped(True)
    shown = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{LAYERS_NAME}, shown")
    add_display(shown, (0.0, 1.0)).CopyContent(attention.layers[-1].zoom.GetDisplayNode())
    shown.CopyContent(attention.layers[-1].zoom, False)
    browser.AddProxyNode(shown, sequence, False)
    browser.SetSaveChanges(sequence, True)  # else every step would copy the voxels
    for node in (sequence, browser, shown):
        node.SetAttribute(ATTENTION, SEQUENCE)
        node.SetNodeReferenceID(REFERENCE_ROLE, reference.GetID())
        node.SetNodeReferenceID(OWNER_ROLE, attention.owner.GetID())
        put_into_details(node, attention.owner)
    shown.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    # Last of all: with voxels in the sequence, each step above would make or fill a volume of its own.
    for layer in attention.layers:
        data = sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), str(layer.index + 1))
        data.CopyContent(layer.zoom, False)  # now, as the sequence would have copied the voxels
        data.SetAttribute(ATTENTION, SEQUENCE)
    browser.SetSelectedItemNumber(len(attention.layers) - 1)
    return sequence, browser, shown


def _row(views: Sequence[str]) -> str:
    return f'<layout type="horizontal">{"".join(f"<item>{view}</item>" for view in views)}</layout>'


def _view(name: str, label: str) -> str:
    properties = {"orientation": "Axial", "viewlabel": label, "viewcolor": "#6F9BD1", "viewgroup": str(VIEW_GROUP)}
    inner = "".join(
        f'<property name="{key}" action="default">{escape(value)}</property>' for key, value in properties.items()
    )
    return f'<view class="vtkMRMLSliceNode" singletontag={quoteattr(name)}>{inner}</view>'


def _slice_node(scene: Any, view_name: str) -> Any:
    """The node of a slice view; None where it has not been shown yet."""
    nodes = scene.GetNodesByClass("vtkMRMLSliceNode")
    for index in range(nodes.GetNumberOfItems()):
        if nodes.GetItemAsObject(index).GetLayoutName() == view_name:
            return nodes.GetItemAsObject(index)
    return None


def _composite(scene: Any, view_name: str) -> Any:
    """The node of a slice view that says which volumes it shows; made if the view has not been shown yet."""
    nodes = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    for index in range(nodes.GetNumberOfItems()):
        if nodes.GetItemAsObject(index).GetLayoutName() == view_name:
            return nodes.GetItemAsObject(index)
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName(view_name)
    return scene.AddNode(node)
