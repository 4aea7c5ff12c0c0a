"""Rates side by side, a map in 3-D, layers played one after the other, all of it saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_display import set_range, show_legend, shown_range
from AutofocusSegmentationLib.scene.attention_nodes import first_range, is_attention
from AutofocusSegmentationLib.scene.attention_set import AttentionSet, add_attention
from AutofocusSegmentationLib.scene.attention_views import (
    label_views,
    layer_sequence,
    render_map,
    same_place,
    show_side_by_side,
    side_by_side_layout,
)
from AutofocusSegmentationLib.scene.probe import DistanceMarker, probe_at
from AutofocusSegmentationLib.scene.zoom_colours import NODE_NAME
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from Testing.module.conftest import SceneMaker, world_of_voxel
from Testing.module.scene.attention_examples import RATES, RATES_MM, layer, layers, reach, voxels


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (2, [2]), (4, [2, 2]), (5, [3, 2]), (8, [3, 3, 2])])
def test_the_layout_has_a_view_for_each_rate(scene: SceneMaker, count: int, rows: list[int]) -> None:
    from xml.etree import ElementTree

    import slicer

    node = scene.mrml.AddNode(slicer.vtkMRMLLayoutNode())
    labels = [f"{size} mm < {size + 1}" for size in range(count)]
    layout = side_by_side_layout(scene.mrml, labels)
    assert side_by_side_layout(scene.mrml, labels) == layout
    assert node.IsLayoutDescription(layout.identifier)
    tree = ElementTree.fromstring(layout.xml)
    assert [len(row.findall("./layout/item/view")) for row in tree.findall("./item")] == rows
    assert tuple(view.get("singletontag") for view in tree.iter("view")) == layout.view_names
    assert [item.text for item in tree.iter("property") if item.get("name") == "viewlabel"] == labels
    node.SetViewArrangement(layout.identifier)
    assert node.GetViewArrangement() == layout.identifier


def test_each_view_shows_its_rate_over_the_scan(scene: SceneMaker) -> None:
    ct = scene.volume()
    attention = add_attention(ct, layers())
    layout = side_by_side_layout(scene.mrml, ["3 mm", "9 mm", "15 mm", "21 mm"])
    for _ in range(2):
        show_side_by_side(scene.mrml, layout, attention.rates(0), background=ct, opacity=0.5)
    nodes = scene.mrml.GetNodesByClass("vtkMRMLSliceCompositeNode")
    shown = {nodes.GetItemAsObject(i).GetLayoutName(): nodes.GetItemAsObject(i) for i in range(4)}
    assert nodes.GetNumberOfItems() == 4
    for name, volume in zip(layout.view_names, attention.rates(0), strict=True):
        assert shown[name].GetForegroundVolumeID() == volume.GetID()
        assert shown[name].GetBackgroundVolumeID() == ct.GetID()
        assert shown[name].GetLinkedControl()


def test_views_side_by_side_keep_place_and_zoom_and_tell_their_rate(scene: SceneMaker) -> None:
    import slicer

    layout = side_by_side_layout(scene.mrml, ["3 mm", "9 mm"])
    source = scene.mrml.AddNode(slicer.vtkMRMLSliceNode())
    source.SetSliceToRASByNTP(0, 1, 0, -1, 0, 0, 0, 0, 0, 0)  # coronal
    source.SetDimensions(400, 200, 1)
    source.SetFieldOfView(80.0, 40.0, 1.0)
    source.JumpSliceByCentering(11.0, 22.0, 33.0)
    nodes = []
    for name in layout.view_names:
        node = slicer.vtkMRMLSliceNode()
        node.SetLayoutName(name)
        node.SetDimensions(150, 300, 1)
        nodes.append(scene.mrml.AddNode(node))
    same_place(scene.mrml, layout, source)
    label_views(scene.mrml, layout, ["3 mm", "9 mm"])
    for node, label in zip(nodes, ["3 mm", "9 mm"], strict=True):
        matrix = node.GetSliceToRAS()
        assert [matrix.GetElement(row, 3) for row in range(3)] == [11.0, 22.0, 33.0]
        assert [matrix.GetElement(row, 2) for row in range(3)] == [0.0, 1.0, 0.0], "coronal"
        assert node.GetFieldOfView()[:2] == pytest.approx((30.0, 60.0)), "0.2 mm a pixel, as before"
        assert node.GetLayoutLabel() == label


def test_the_rendering_shows_the_farthest_and_the_nearest_and_nothing_between(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers(2), reach=reach(air=True))
    values = reach().values[:, 3:]
    display = render_map(scene.logics["VolumeRendering"], attention.reach)
    assert display.GetVisibility()
    rendering = display.GetVolumePropertyNode()
    opacity = rendering.GetScalarOpacity()
    seen = np.array([opacity.GetValue(value) for value in values.ravel()])
    assert 0.1 < (seen > 0).mean() < 0.2, "no fog"
    assert seen[values.ravel() == values.max()][0] > 0.2
    assert opacity.GetValue(0.0) == 0.0, "air"
    colour = rendering.GetColor()
    near, far = first_range(attention.reach)
    assert colour.GetBlueValue(near) > 2 * colour.GetRedValue(near)
    assert colour.GetRedValue(far) > 2 * colour.GetBlueValue(far)
    assert render_map(scene.logics["VolumeRendering"], attention.reach) is display


def test_the_sequence_plays_the_zoom_map_of_each_layer(scene: SceneMaker) -> None:
    volume = scene.volume()
    volume.SetAndObserveTransformNodeID(scene.linear(np.eye(4)).GetID())
    attention = add_attention(volume, layers(3))
    attention.make_all()
    count = scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    layer_sequence(attention)
    sequence, browser, playing = layer_sequence(attention)
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count + 1, (
        "the one that plays, and no other"
    )
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 1
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") == 1
    assert [sequence.GetNthIndexValue(i) for i in range(3)] == ["1", "2", "3"]
    shown = browser.GetProxyNode(sequence)
    assert shown is playing
    for i in range(3):
        browser.SetSelectedItemNumber(i)
        scene.logics["Sequences"].UpdateProxyNodesFromSequences(browser)
        np.testing.assert_array_equal(voxels(shown), layer(i).dilation_mm)
        assert np.shares_memory(voxels(sequence.GetNthDataNode(i)), voxels(attention.zoom(i)))
    assert shown.GetDisplayNode().GetColorNode().GetName() == NODE_NAME
    assert shown.GetParentTransformNode() is volume.GetParentTransformNode()
    assert is_attention(shown)
    assert len(AttentionSet.find(scene.mrml, volume).layers) == 3, "what is played is no layer of its own"
    add_attention(volume, layers())
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0, "it was of the run before"
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") == 0


def value_at(node: Any, world: Any) -> float:
    """The value of a volume without a transform at a point of the world."""
    matrix = vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    i, j, k, _ = (round(value) for value in matrix.MultiplyPoint((*world, 1.0)))
    return float(voxels(node)[k, j, i])


def test_a_saved_scene_keeps_attention_its_display_and_what_the_probe_needs(scene: SceneMaker, tmp_path: Any) -> None:
    ct = scene.volume()
    attention = add_attention(ct, layers(2), reach=reach(), everything=True)
    set_range(attention.zoom(1), 3.0, 10.0, only=True)
    show_legend(attention.zoom(1))
    layer_sequence(attention)
    DistanceMarker(scene.mrml).update((0.0, 0.0, 0.0), 3.0)
    again = scene.reopened(tmp_path)
    assert again.mrml.GetNumberOfNodesByClass("vtkMRMLModelNode") == 0
    found = AttentionSet.find(again.mrml, again.node("CT"))
    assert [one.index for one in found.layers] == [0, 1]
    assert (found.layer(1).rates, found.layer(1).rates_mm) == (RATES, RATES_MM)
    zoom = found.zoom(1)
    for index in ((0, 0, 0), (6, 4, 3), (11, 9, 8)):  # by place: Slicer turns left-handed volumes when it opens them
        point = tuple(world_of_voxel(attention.zoom(1), index))
        assert probe_at(found, found.layer(1), point).weights == pytest.approx(
            layer(1).weights[:, index[2], index[1], index[0]]
        )
        assert value_at(zoom, point) == pytest.approx(layer(1).dilation_mm[index[::-1]])
    assert zoom.GetVoxelValueUnits().GetCodeValue() == "mm"
    display = zoom.GetDisplayNode()
    assert display.GetColorNode().GetName() == NODE_NAME
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (3.0, 10.0)
    assert display.GetApplyThreshold()
    assert shown_range(zoom) == pytest.approx((3.0, 10.0))
    assert first_range(zoom) == first_range(attention.zoom(1)), "to which it can be reset"
    assert show_legend(zoom).GetTitleText() == "Dilation (mm)"
    assert found.reach.GetName() == "Reach in mm: CT"
    assert len(found.rates(0)) == len(found.rates(1)) == 4
    assert again.mrml.GetFirstNodeByClass("vtkMRMLSequenceNode").GetNumberOfDataNodes() == 2
