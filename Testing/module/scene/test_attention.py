"""Attention in the scene: volumes with units and place, found again; overlays, views, the probe at the cursor."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_display import (
    hide_overlay,
    set_colours,
    set_threshold,
    show_legend,
    show_overlay,
)
from AutofocusSegmentationLib.scene.attention_nodes import AttentionSet, Layer, add_attention, is_attention
from AutofocusSegmentationLib.scene.attention_views import (
    layer_sequence,
    render_zoom_map,
    show_side_by_side,
    side_by_side_layout,
)
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.placing import hierarchy_of, item_of, parent_item
from AutofocusSegmentationLib.scene.probe import FieldMarker, weights_at
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation
from AutofocusSegmentationLib.scene.zoom_colours import NODE_NAME, colour_choices, colour_node, zoom_colour
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker, index_to_ras, oblique, world_of_voxel

RATES, RATES_MM = (2, 6, 10, 14), (3.0, 9.0, 15.0, 21.0)
GRID = (9, 10, 12)  # (z, y, x) of the model's grid, which is not the scan's
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def layer(index: int = 0) -> Layer:
    """Weights that differ from voxel to voxel and sum to 1, but for one voxel that zooms out wholly."""
    weights = np.random.default_rng(index).random((4, *GRID)).astype(np.float32)
    weights /= weights.sum(0)
    weights[:, 3, 4, 5] = (0, 0, 0, 1)
    weights[:, 3, 4, 6] = (0.5, 0.25, 0.25, 0)
    return Layer(index, RATES, RATES_MM, weights, LPS @ index_to_ras("left-handed"))


def voxels(node: Any) -> np.ndarray:
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def test_the_effective_dilation_is_the_mean_of_the_rates_under_the_weights() -> None:
    made = layer()
    np.testing.assert_allclose(made.effective_mm, np.tensordot(RATES_MM, made.weights, axes=1), rtol=1e-5)
    assert made.effective_mm[3, 4, 5] == 21.0
    assert made.effective_mm[3, 4, 6] == pytest.approx(0.5 * 3 + 0.25 * 9 + 0.25 * 15)
    with pytest.raises(ValueError, match="4 weights"):
        Layer(0, (2, 6), (3.0, 9.0), made.weights, np.eye(4))


def children_called_attention(scene: SceneMaker) -> list[int]:
    """The folders of attention in the subject hierarchy."""
    from vtkmodules.vtkCommonCore import vtkIdList

    hierarchy, found = hierarchy_of(scene.mrml), vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    items = [found.GetId(index) for index in range(found.GetNumberOfIds())]
    return [item for item in items if hierarchy.GetItemName(item) == "Attention"]


def test_every_layer_and_rate_is_a_volume_with_name_unit_and_window(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer(0), layer(1)])
    assert [one.index for one in attention.layers] == [0, 1]
    zoom = attention.zoom(1)
    assert zoom.GetName() == "Effective dilation, layer 2"
    assert zoom.GetVoxelValueUnits().GetCodeValue() == "mm"
    assert zoom.GetVoxelValueQuantity().GetCodeMeaning() == "Length"
    display = zoom.GetDisplayNode()
    window = (display.GetLevel() - display.GetWindow() / 2, display.GetLevel() + display.GetWindow() / 2)
    assert window == pytest.approx((3.0, 21.0))
    assert display.GetColorNode().GetName() == NODE_NAME
    rates = attention.rates(1)
    assert [node.GetName() for node in rates] == [f"Attention, layer 2, rate {rate}" for rate in RATES]
    for k, node in enumerate(rates):
        np.testing.assert_array_equal(voxels(node), layer(1).weights[k])
        assert node.GetVoxelValueUnits().GetCodeValue() == "1"
        assert node.GetDisplayNode().GetWindow() == 1.0
    assert len(attention.volumes()) == 10
    assert all(is_attention(node) and attention.holds(node) for node in attention.volumes())
    assert not is_attention(attention.reference)


def test_the_arrays_are_not_copied(scene: SceneMaker) -> None:
    made = layer()
    attention = add_attention(scene.volume(), [made])
    assert np.shares_memory(voxels(attention.zoom(0)), made.effective_mm)
    assert np.shares_memory(voxels(attention.rates(0)[2]), made.weights)


@pytest.mark.parametrize("transform", ["none", "linear", "warp"])
def test_attention_lies_on_the_anatomy_in_a_folder_beside_the_segmentation(scene: SceneMaker, transform: str) -> None:
    volume = scene.volume()
    hierarchy = hierarchy_of(scene.mrml)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(item_of(volume), study)
    if transform != "none":
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = oblique(), (5, 6, 7)
        node = scene.linear(matrix) if transform == "linear" else scene.warp()
        volume.SetAndObserveTransformNodeID(node.GetID())
    taken = snapshot(volume)
    segmentation = add_segmentation(volume, np.zeros(SHAPE, np.uint8), taken.index_to_lps, STRUCTURES, name="Pelvis")
    made = Layer(0, RATES, RATES_MM, np.ones((4, *SHAPE), np.float32) / 4, taken.index_to_lps)
    attention = add_attention(volume, [made], segmentation=segmentation)
    for node in attention.volumes():
        np.testing.assert_allclose(world_of_voxel(node, (3, 4, 5)), world_of_voxel(volume, (3, 4, 5)), atol=1e-9)
        folder = parent_item(node)
        assert hierarchy.GetItemName(folder) == "Attention"
        assert hierarchy.GetItemParent(folder) == parent_item(segmentation) == study


def test_rates_can_be_made_one_at_a_time(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer(0), layer(1)], rates=False)
    assert len(attention.volumes()) == 2
    count = 0
    while attention.make_next():
        count += 1
        assert len(attention.volumes()) == 2 + count
    assert count == 8


def test_a_rate_that_the_user_deleted_is_made_again(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer()])
    scene.mrml.RemoveNode(attention.rates(0)[1])
    assert [node.GetName() for node in attention.rates(0)] == [f"Attention, layer 1, rate {rate}" for rate in RATES]


def test_a_second_run_replaces_the_attention_and_its_folder(scene: SceneMaker) -> None:
    volume, other = scene.volume(), scene.volume(name="Other")
    before = scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    add_attention(other, [layer()])
    first = add_attention(volume, [layer(), layer(1)])
    folders = children_called_attention(scene)
    assert len(folders) == 2
    displays = scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeDisplayNode")
    show_legend(first.zoom(0))
    add_attention(volume, [layer()])
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before + 10
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeDisplayNode") == displays - 5
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 0
    assert len(children_called_attention(scene)) == 2
    assert len(AttentionSet.find(scene.mrml, other).volumes()) == 5


def test_runs_may_be_kept_beside_each_other_and_the_last_one_is_found(scene: SceneMaker) -> None:
    volume = scene.volume()
    first = add_attention(volume, [layer()])
    second = add_attention(volume, [layer(), layer(1)], replace=False)
    found = AttentionSet.find(scene.mrml, volume)
    assert {node.GetID() for node in found.volumes()} == {node.GetID() for node in second.volumes()}
    assert {node.GetID() for node in found.rates(0)} == {node.GetID() for node in second.rates(0)}
    second.remove()
    assert len(AttentionSet.find(scene.mrml, volume).volumes()) == len(first.volumes()) == 5
    first.remove()
    assert AttentionSet.find(scene.mrml, volume) is None
    assert children_called_attention(scene) == []


def test_removing_after_the_scene_was_closed_does_nothing(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer()])
    scene.mrml.Clear(0)
    assert attention.volumes() == []
    assert attention.rates(0) == []
    attention.remove()


def test_large_maps_are_in_the_scene_at_once(scene: SceneMaker) -> None:
    weights = np.zeros((4, 150, 256, 256), np.float32)
    made = [Layer(index, RATES, RATES_MM, weights, LPS @ index_to_ras("oblique")) for index in range(2)]
    ct = scene.volume()
    start = time.perf_counter()
    attention = add_attention(ct, made)
    layer_sequence(attention)
    assert time.perf_counter() - start < 0.1


# The probe


@pytest.mark.parametrize("transform", ["none", "linear", "warp"])
@pytest.mark.parametrize("saved", [False, True], ids=["from memory", "from the nodes"])
def test_the_probe_reads_the_voxel_under_the_cursor(scene: SceneMaker, transform: str, saved: bool) -> None:
    volume = scene.volume()
    if transform != "none":
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = oblique() * 1.3, (5, 6, 7)
        node = scene.linear(matrix) if transform == "linear" else scene.warp()
        volume.SetAndObserveTransformNodeID(node.GetID())
    attention = add_attention(volume, [layer()])
    if saved:
        attention = AttentionSet.find(scene.mrml, volume)
    for offset in ((0, 0, 0), (0.4, -0.4, 0.4)):
        point = world_of_voxel(attention.zoom(0), np.add((6, 4, 3), offset))
        found = weights_at(attention.layer(0), tuple(point))
        assert found.inside
        assert found.weights == pytest.approx([0.5, 0.25, 0.25, 0])
        assert found.effective_mm == pytest.approx(7.5)
        assert (found.rates, found.rates_mm) == (RATES, RATES_MM)
    outside = weights_at(attention.layer(0), tuple(world_of_voxel(attention.zoom(0), (-0.6, 4, 3))))
    assert not outside.inside
    assert not outside.weights.any()


def test_the_probe_keeps_up_with_the_mouse(scene: SceneMaker) -> None:
    volume = scene.volume()
    for attention in (add_attention(volume, [layer()]), AttentionSet.find(scene.mrml, volume)):
        point = tuple(world_of_voxel(attention.zoom(0), (6, 4, 3)))
        weights_at(attention.layer(0), point)
        one = attention.layer(0)
        start = time.perf_counter()
        for _ in range(200):
            weights_at(one, point)
        assert (time.perf_counter() - start) / 200 < 0.001


def test_without_the_volumes_of_the_rates_the_probe_says_that_it_knows_nothing(scene: SceneMaker) -> None:
    volume = scene.volume()
    add_attention(volume, [layer()], rates=False)
    one = AttentionSet.find(scene.mrml, volume).layer(0)
    assert not weights_at(one, tuple(world_of_voxel(one.zoom, (6, 4, 3)))).inside


def test_the_marker_has_the_true_size_and_is_neither_listed_nor_saved(scene: SceneMaker) -> None:
    marker = FieldMarker(scene.mrml)
    marker.update((10.0, 20.0, 30.0), 7.5)
    bounds = [0.0] * 6
    marker.node.GetRASBounds(bounds)
    assert bounds == pytest.approx([2.5, 17.5, 12.5, 27.5, 22.5, 37.5], abs=0.05)
    display = marker.node.GetDisplayNode()
    assert (display.GetVisibility2D(), display.GetVisibility3D()) == (1, 0)
    assert marker.node.GetHideFromEditors()
    assert not marker.node.GetSaveWithScene()
    seen = []
    marker.node.AddObserver(marker.node.PolyDataModifiedEvent, lambda *_: seen.append(1))
    marker.update((0.0, 0.0, 0.0), 2.0)
    assert seen, "the views hear of it"
    marker.remove()
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLModelNode") == 0
    marker.remove()
    marker.update((0.0, 0.0, 0.0), 2.0)


# Display


@pytest.fixture
def composite(scene: SceneMaker) -> Any:
    import slicer

    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName("Red")
    return scene.mrml.AddNode(node)


def test_the_overlay_comes_and_what_was_there_before_returns(scene: SceneMaker, composite: Any) -> None:
    ct, pet = scene.volume(), scene.volume(name="PET")
    attention = add_attention(ct, [layer()])
    composite.SetBackgroundVolumeID(ct.GetID())
    composite.SetForegroundVolumeID(pet.GetID())
    composite.SetForegroundOpacity(0.3)
    composite.SetLinkedControl(False)
    for volume in (attention.zoom(0), attention.rates(0)[0]):
        show_overlay([composite], volume, background=ct, opacity=0.6)
        assert composite.GetForegroundVolumeID() == volume.GetID()
        assert composite.GetForegroundOpacity() == 0.6
        assert composite.GetLinkedControl()
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() == pet.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    assert not composite.GetLinkedControl()
    composite.SetForegroundOpacity(0.9)
    hide_overlay([composite])
    assert composite.GetForegroundOpacity() == 0.9, "a second time there is nothing to put back"


def test_hiding_leaves_alone_what_the_user_has_chosen_meanwhile(scene: SceneMaker, composite: Any) -> None:
    ct, pet = scene.volume(), scene.volume(name="PET")
    attention = add_attention(ct, [layer()])
    show_overlay([composite], attention.zoom(0), background=ct, opacity=0.6)
    composite.SetForegroundVolumeID(pet.GetID())
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() == pet.GetID()


def test_hiding_works_when_what_was_before_is_gone(scene: SceneMaker, composite: Any) -> None:
    ct, pet = scene.volume(), scene.volume(name="PET")
    attention = add_attention(ct, [layer()])
    composite.SetForegroundVolumeID(pet.GetID())
    show_overlay([composite], attention.zoom(0), background=ct, opacity=0.6)
    scene.mrml.RemoveNode(pet)
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() is None


def test_the_threshold_makes_transparent_what_is_outside(scene: SceneMaker) -> None:
    zoom = add_attention(scene.volume(), [layer()]).zoom(0)
    set_threshold(zoom, 3.0, 10.0)
    display = zoom.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (3.0, 10.0)
    set_threshold(zoom, 3.0, 21.0)
    assert not display.GetApplyThreshold(), "all of it is shown"


def test_air_is_never_shown_whatever_else_is(scene: SceneMaker) -> None:
    whole = layer()
    air = np.zeros(GRID, bool)
    air[:, :3] = True
    effective = np.where(air, np.float32(0), whole.effective_mm)
    made = Layer(0, RATES, RATES_MM, whole.weights, whole.index_to_lps, effective, air_is_zero=True)
    attention = add_attention(scene.volume(), [made])
    zoom, rates = attention.zoom(0), attention.rates(0)
    for low, high in ((None, None), (3.0, 10.0), (3.0, 21.0)):
        if low is not None:
            set_threshold(zoom, low, high)
        display = zoom.GetDisplayNode()
        assert display.GetApplyThreshold()
        shown = (voxels(zoom) >= display.GetLowerThreshold()) & (voxels(zoom) <= display.GetUpperThreshold())
        assert not shown[air].any()
        assert shown[~air].all() == (high != 10.0)
    for k, rate in enumerate(rates):
        np.testing.assert_array_equal(voxels(rate), np.where(air, 0, whole.weights[k]))
        assert rate.GetDisplayNode().GetApplyThreshold()
        assert 0 < rate.GetDisplayNode().GetLowerThreshold() < whole.weights[k][whole.weights[k] > 0].min()


def test_colour_maps_can_be_chosen_and_ours_come_first(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer()])
    zoom_names = [name for _, name in colour_choices(scene.mrml, "zoom")]
    rate_names = [name for _, name in colour_choices(scene.mrml, "rate")]
    assert zoom_names[0] == NODE_NAME
    assert attention.rates(0)[0].GetDisplayNode().GetColorNode().GetName() == rate_names[0]
    for name in rate_names:
        set_colours(attention.zoom(0), name)
        assert attention.zoom(0).GetDisplayNode().GetColorNode().GetName() == name
    assert zoom_colour(0.0)[2] > 200 > zoom_colour(0.0)[0]
    assert zoom_colour(1.0)[0] > 200 > zoom_colour(1.0)[2]


def test_weights_have_colours_whose_lightness_rises_evenly(scene: SceneMaker) -> None:
    table = colour_node(scene.mrml, "Attention weight").GetLookupTable()
    rgb = np.array([table.GetTableValue(index)[:3] for index in range(256)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ (0.2126, 0.7152, 0.0722)) - 16
    np.testing.assert_allclose(lightness, np.linspace(5, 95, 256), atol=2.5)
    assert (np.diff(lightness[::4]) > 0).all()


def test_the_legend_tells_millimetres_at_the_rates_and_can_be_hidden(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer()])
    assert show_legend(attention.zoom(0), visible=False) is None
    legend = show_legend(attention.zoom(0))
    assert "mm" in legend.GetTitleText()
    assert (legend.GetNumberOfLabels(), legend.GetLabelFormat()) == (4, "%.0f")
    assert legend.GetVisibility()
    assert show_legend(attention.zoom(0), visible=False) is legend
    assert not legend.GetVisibility()
    assert show_legend(attention.rates(0)[0]).GetTitleText() == "Attention weight"


# Views


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (2, [2]), (4, [2, 2]), (5, [3, 2]), (8, [3, 3, 2])])
def test_the_layout_has_a_view_for_each_rate(scene: SceneMaker, count: int, rows: list[int]) -> None:
    from xml.etree import ElementTree

    import slicer

    node = scene.mrml.AddNode(slicer.vtkMRMLLayoutNode())
    layout = side_by_side_layout(scene.mrml, count)
    again = side_by_side_layout(scene.mrml, count)
    assert again == layout
    assert node.IsLayoutDescription(layout.identifier)
    tree = ElementTree.fromstring(layout.xml)
    assert [len(row.findall("./layout/item/view")) for row in tree.findall("./item")] == rows
    assert tuple(view.get("singletontag") for view in tree.iter("view")) == layout.view_names
    node.SetViewArrangement(layout.identifier)
    assert node.GetViewArrangement() == layout.identifier


def test_each_view_shows_its_rate_over_the_scan(scene: SceneMaker) -> None:
    ct = scene.volume()
    attention = add_attention(ct, [layer()])
    layout = side_by_side_layout(scene.mrml, 4)
    for _ in range(2):
        show_side_by_side(scene.mrml, layout, attention.rates(0), background=ct, opacity=0.5)
    nodes = scene.mrml.GetNodesByClass("vtkMRMLSliceCompositeNode")
    shown = {nodes.GetItemAsObject(i).GetLayoutName(): nodes.GetItemAsObject(i) for i in range(4)}
    assert nodes.GetNumberOfItems() == 4
    for name, volume in zip(layout.view_names, attention.rates(0), strict=True):
        assert shown[name].GetForegroundVolumeID() == volume.GetID()
        assert shown[name].GetBackgroundVolumeID() == ct.GetID()
        assert shown[name].GetLinkedControl()


def test_the_rendering_of_the_zoom_map_is_clear_in_the_middle_and_coloured_at_both_ends(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), [layer()])
    display = render_zoom_map(scene.logics["VolumeRendering"], attention.zoom(0))
    assert display.GetVisibility()
    rendering = display.GetVolumePropertyNode()
    opacity = rendering.GetScalarOpacity()
    assert opacity.GetValue(12.0) == 0.0
    assert opacity.GetValue(3.0) == opacity.GetValue(21.0) > 0.1
    colour = rendering.GetColor()
    assert colour.GetBlueValue(3.0) > 2 * colour.GetRedValue(3.0)
    assert colour.GetRedValue(21.0) > 2 * colour.GetBlueValue(21.0)
    assert render_zoom_map(scene.logics["VolumeRendering"], attention.zoom(0)) is display


def test_the_sequence_plays_the_zoom_map_of_each_layer(scene: SceneMaker) -> None:
    volume = scene.volume()
    volume.SetAndObserveTransformNodeID(scene.linear(np.eye(4)).GetID())
    attention = add_attention(volume, [layer(0), layer(1), layer(2)])
    count = scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    layer_sequence(attention)
    sequence, browser = layer_sequence(attention)
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count + 1, (
        "the one that plays, and no other"
    )
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 1
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") == 1
    assert [sequence.GetNthIndexValue(i) for i in range(3)] == ["1", "2", "3"]
    shown = browser.GetProxyNode(sequence)
    for i in range(3):
        browser.SetSelectedItemNumber(i)
        scene.logics["Sequences"].UpdateProxyNodesFromSequences(browser)
        np.testing.assert_array_equal(voxels(shown), layer(i).effective_mm)
        assert np.shares_memory(voxels(sequence.GetNthDataNode(i)), voxels(attention.zoom(i)))
    assert shown.GetDisplayNode().GetColorNode().GetName() == NODE_NAME
    assert shown.GetParentTransformNode() is volume.GetParentTransformNode()
    assert is_attention(shown)
    assert len(AttentionSet.find(scene.mrml, volume).layers) == 3, "what is played is no layer of its own"
    add_attention(volume, [layer(0)])
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0, "it was of the run before"
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") == 0
    assert len(children_called_attention(scene)) == 1


def value_at(node: Any, world: Any) -> float:
    """The value of a volume without a transform at a point of the world."""
    matrix = vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    i, j, k, _ = (round(value) for value in matrix.MultiplyPoint((*world, 1.0)))
    return float(voxels(node)[k, j, i])


def test_a_saved_scene_keeps_attention_its_display_and_what_the_probe_needs(scene: SceneMaker, tmp_path: Any) -> None:
    ct = scene.volume()
    attention = add_attention(ct, [layer(0), layer(1)])
    set_threshold(attention.zoom(1), 3.0, 10.0)
    show_legend(attention.zoom(1))
    layer_sequence(attention)
    FieldMarker(scene.mrml).update((0.0, 0.0, 0.0), 3.0)
    again = scene.reopened(tmp_path)
    assert again.mrml.GetNumberOfNodesByClass("vtkMRMLModelNode") == 0
    found = AttentionSet.find(again.mrml, again.node("CT"))
    assert [one.index for one in found.layers] == [0, 1]
    assert (found.layer(1).rates, found.layer(1).rates_mm) == (RATES, RATES_MM)
    zoom = found.zoom(1)
    for index in ((0, 0, 0), (6, 4, 3), (11, 9, 8)):  # by place: Slicer turns left-handed volumes when it opens them
        point = tuple(world_of_voxel(attention.zoom(1), index))
        assert weights_at(found.layer(1), point).weights == pytest.approx(
            layer(1).weights[:, index[2], index[1], index[0]]
        )
        assert value_at(zoom, point) == pytest.approx(layer(1).effective_mm[index[::-1]])
    assert zoom.GetVoxelValueUnits().GetCodeValue() == "mm"
    display = zoom.GetDisplayNode()
    assert display.GetColorNode().GetName() == NODE_NAME
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (3.0, 10.0)
    assert display.GetApplyThreshold()
    assert (display.GetWindow(), display.GetLevel()) == (18.0, 12.0)
    assert show_legend(zoom).GetNumberOfLabels() == 4
    assert len(found.rates(0)) == len(found.rates(1)) == 4
    assert again.mrml.GetFirstNodeByClass("vtkMRMLSequenceNode").GetNumberOfDataNodes() == 2
