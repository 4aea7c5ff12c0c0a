"""Ways to look at a run's attention as a whole: all rates side by side, the zoom map in 3-D, a sequence over layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

import slicer
from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction

from AutofocusSegmentationLib.scene.attention_display import show_overlay
from AutofocusSegmentationLib.scene.attention_nodes import ATTENTION, REFERENCE_ROLE, AttentionSet, remove_sequence
from AutofocusSegmentationLib.scene.placing import place_beside
from AutofocusSegmentationLib.scene.volume_node import add_display
from AutofocusSegmentationLib.scene.zoom_colours import BETWEEN, ZOOMED_IN, ZOOMED_OUT, colour_function

FIRST_LAYOUT = 18050  # layout identifiers from here on are this module's: 18050 + number of views
VIEW_GROUP = 1805  # so that linked views of other layouts stay as they are
OPAQUE, CLEAR = 0.25, 0.0  # of the zoom map in 3-D: at both ends, and in the middle
LAYERS_NAME = "Effective dilation by layer"


@dataclass(frozen=True)
class Layout:
    """A layout of slice views: what Slicer's layout node is told, and the views' names."""

    identifier: int
    xml: str
    view_names: tuple[str, ...]


def side_by_side_layout(scene: Any, count: int) -> Layout:
    """A layout of `count` axial slice views in a grid, nearly square, of which the scene's layout node is told.

    Raises:
        ValueError: no view at all.
    """
    if count < 1:
        raise ValueError(f"A layout of {count} views")
    names = tuple(f"AutofocusRate{number}" for number in range(1, count + 1))
    per_row = math.isqrt(count - 1) + 1
    rows = [names[start : start + per_row] for start in range(0, count, per_row)]
    lines = "".join(f"<item>{_row(row, start * per_row)}</item>" for start, row in enumerate(rows))
    xml = f'<layout type="vertical">{lines}</layout>'
    layout = Layout(FIRST_LAYOUT + count, xml, names)
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is not None and not node.IsLayoutDescription(layout.identifier):
        node.AddLayoutDescription(layout.identifier, xml)
    return layout


def show_side_by_side(
    scene: Any, layout: Layout, volumes: Sequence[Any], *, background: Any, opacity: float, linked: bool = True
) -> None:
    """Show one volume in each view of a layout, over the same background; linked, the views move together."""
    for name, volume in zip(layout.view_names, volumes, strict=False):
        show_overlay([_composite(scene, name)], volume, background=background, opacity=opacity, linked=linked)


def render_zoom_map(logic: Any, volume: Any) -> Any:
    """Show a zoom map in 3-D views: clear where the dilation is in the middle, opaque at both ends.

    Args:
        logic: Slicer's vtkSlicerVolumeRenderingLogic.
        volume: the zoom map.

    Returns:
        The display node of the volume rendering, visible; made once for a volume.
    """
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    if display is None:
        display = logic.CreateDefaultVolumeRenderingNodes(volume)
    level, half = volume.GetDisplayNode().GetLevel(), volume.GetDisplayNode().GetWindow() / 2
    low, high = level - half, level + half
    opacity = vtkPiecewiseFunction()
    opacity.AddPoint(0.98 * low, 0.0)  # air, where it is 0
    for place, value in ((0.0, OPAQUE), (0.35, CLEAR), (0.65, CLEAR), (1.0, OPAQUE)):
        opacity.AddPoint(low + (high - low) * place, value)
    rendering = display.GetVolumePropertyNode()
    rendering.SetScalarOpacity(opacity)
    rendering.SetColor(colour_function((ZOOMED_IN, BETWEEN, ZOOMED_OUT), low, high))
    even = vtkPiecewiseFunction()  # edges count no more than the rest
    even.AddPoint(0.0, 1.0)
    rendering.SetGradientOpacity(even)
    display.SetVisibility(True)
    return display


def layer_sequence(attention: AttentionSet) -> tuple[Any, Any]:
    """The zoom maps of all layers as a sequence, and a browser that plays it; those of an earlier call are replaced.

    Returns:
        The vtkMRMLSequenceNode, index "layer" from 1, and the vtkMRMLSequenceBrowserNode.
    """
    reference = attention.reference
    scene = reference.GetScene()
    remove_sequence(scene, reference)
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
        node.SetAttribute(ATTENTION, "sequence")
        node.SetNodeReferenceID(REFERENCE_ROLE, reference.GetID())
    place_beside(shown, attention.layers[-1].zoom)
    # Last of all: with voxels in the sequence, each step above would make or fill a volume of its own.
    for layer in attention.layers:
        data = sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), str(layer.index + 1))
        data.CopyContent(layer.zoom, False)  # now, as the sequence would have copied the voxels
        data.SetAttribute(ATTENTION, "sequence")
    browser.SetSelectedItemNumber(len(attention.layers) - 1)
    return sequence, browser


def _row(names: Sequence[str], first: int) -> str:
    items = "".join(f"<item>{_view(name, first + index + 1)}</item>" for index, name in enumerate(names))
    return f'<layout type="horizontal">{items}</layout>'


def _view(name: str, number: int) -> str:
    properties = {"orientation": "Axial", "viewlabel": str(number), "viewcolor": "#6F9BD1", "viewgroup": VIEW_GROUP}
    inner = "".join(f'<property name="{key}" action="default">{value}</property>' for key, value in properties.items())
    return f'<view class="vtkMRMLSliceNode" singletontag={quoteattr(name)}>{inner}</view>'


def _composite(scene: Any, view_name: str) -> Any:
    """The node of a slice view that says which volumes it shows; made if the view has not been shown yet."""
    nodes = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    for index in range(nodes.GetNumberOfItems()):
        if nodes.GetItemAsObject(index).GetLayoutName() == view_name:
            return nodes.GetItemAsObject(index)
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName(view_name)
    return scene.AddNode(node)
