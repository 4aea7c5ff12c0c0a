"""Attention in the scene: volumes with units and place, made on demand, bound to their segmentation, found again."""

from __future__ import annotations

import time

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_display import show_legend
from AutofocusSegmentationLib.scene.attention_nodes import first_range, is_attention
from AutofocusSegmentationLib.scene.attention_set import AttentionSet, add_attention
from AutofocusSegmentationLib.scene.attention_views import layer_sequence
from AutofocusSegmentationLib.scene.colour_range import occurring_range
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.placing import hierarchy_of, item_of, parent_item
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation
from AutofocusSegmentationLib.scene.zoom_colours import NODE_NAME

from AutofocusCore.images.geometry import Grid
from AutofocusCore.result import AttentionMap
from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker, oblique, world_of_voxel
from Testing.module.scene.attention_examples import RATES, RATES_MM, grid, layer, layers, reach, voxels


def test_the_effective_dilation_is_the_mean_of_the_rates_under_the_weights() -> None:
    made = layer()
    np.testing.assert_allclose(made.dilation_mm, np.tensordot(RATES_MM, made.weights, axes=1), rtol=1e-5)
    assert made.dilation_mm[3, 4, 5] == pytest.approx(21.0)
    assert made.dilation_mm[3, 4, 6] == pytest.approx(0.5 * 3 + 0.25 * 9 + 0.25 * 15)
    with pytest.raises(ValueError, match="4 weights"):
        AttentionMap(made.weights, (2, 6), made.grid)


def detail_folders(scene: SceneMaker) -> list[int]:
    """The folders of details in the subject hierarchy."""
    from vtkmodules.vtkCommonCore import vtkIdList

    hierarchy, found = hierarchy_of(scene.mrml), vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    items = [found.GetId(index) for index in range(found.GetNumberOfIds())]
    return [item for item in items if hierarchy.GetItemName(item).endswith(": details")]


def test_what_occurs_in_the_patient_is_the_range_of_the_colours() -> None:
    values = np.zeros((10, 10, 100), np.float32)
    assert occurring_range(values, air_is_zero=True) == (0.0, 1.0), "there is no patient"
    values[5:] = np.linspace(100, 200, 5000, dtype=np.float32).reshape(5, 10, 100)
    low, high = occurring_range(values, air_is_zero=True)
    assert (low, high) == pytest.approx((102, 198), abs=0.1)
    assert occurring_range(values)[0] == 0.0, "zeros count where they are no air"
    low, high = occurring_range(np.full((2, 2, 2), 7, np.float32))
    assert low < 7 < high, "never empty"


def test_a_run_adds_the_reach_alone_and_the_other_maps_when_they_are_asked_for(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers(2), reach=reach())
    assert [node.GetName() for node in attention.volumes()] == ["Reach in mm: CT"]
    assert attention.reach.GetVoxelValueUnits().GetCodeValue() == "mm"
    display = attention.reach.GetDisplayNode()
    window = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
    assert window == pytest.approx(tuple(np.percentile(reach().values, (2, 98)))) == first_range(attention.reach)
    assert display.GetColorNode().GetName() == NODE_NAME
    attention.zoom(1)
    assert len(attention.volumes()) == 2
    attention.rates(0)
    assert len(attention.volumes()) == 6
    assert len(attention.make_all()) == 1 + 2 * (1 + 4)
    assert len(attention.make_all()) == 11, "nothing is made twice"


def test_every_layer_and_rate_is_a_volume_with_name_unit_and_window(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers(2))
    assert [one.index for one in attention.layers] == [0, 1]
    zoom = attention.zoom(1)
    assert zoom.GetName() == "Dilation in mm, layer 2: CT"
    assert zoom.GetVoxelValueUnits().GetCodeValue() == "mm"
    assert zoom.GetVoxelValueQuantity().GetCodeMeaning() == "Length"
    display = zoom.GetDisplayNode()
    expected = np.percentile(layer(1).dilation_mm, (2, 98))
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx(tuple(expected))
    assert display.GetColorNode().GetName() == NODE_NAME
    rates = attention.rates(1)
    assert [node.GetName() for node in rates] == [
        f"Weight of rate {rate} ({size:g} mm), layer 2: CT" for rate, size in zip(RATES, RATES_MM, strict=True)
    ]
    windows = set()
    for k, node in enumerate(rates):
        np.testing.assert_array_equal(voxels(node), layer(1).weights[k])
        assert node.GetVoxelValueUnits().GetCodeValue() == "1"
        windows.add((node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()))
    assert len(windows) == 1, "side by side, one scale holds for all"
    assert all(is_attention(node) and attention.holds(node) for node in attention.volumes())
    assert not is_attention(attention.reference)


def test_the_arrays_are_not_copied(scene: SceneMaker) -> None:
    made = layer()
    attention = add_attention(scene.volume(), {0: made})
    assert np.shares_memory(voxels(attention.zoom(0)), made.dilation_mm)
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
    place = Grid.from_index_to_lps(SHAPE, taken.index_to_lps)
    made = AttentionMap(np.ones((4, *SHAPE), np.float32) / 4, RATES, place)
    attention = add_attention(volume, {0: made}, segmentation=segmentation)
    for node in attention.volumes():
        np.testing.assert_allclose(world_of_voxel(node, (3, 4, 5)), world_of_voxel(volume, (3, 4, 5)), atol=1e-9)
        folder = parent_item(node)
        assert hierarchy.GetItemName(folder) == "Pelvis: details"
        assert not hierarchy.GetItemExpanded(folder)
        assert hierarchy.GetItemParent(folder) == parent_item(segmentation) == study


def test_a_rate_that_the_user_deleted_is_made_again(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers())
    names = [node.GetName() for node in attention.rates(0)]
    scene.mrml.RemoveNode(attention.rates(0)[1])
    assert [node.GetName() for node in attention.rates(0)] == names
    assert len(attention.volumes()) == 5


def test_a_second_run_replaces_the_attention_of_its_segmentation_and_no_other(scene: SceneMaker) -> None:
    volume, other = scene.volume(), scene.volume(name="Other")
    before = scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    add_attention(other, layers(), everything=True)
    first = add_attention(volume, layers(2), everything=True)
    assert len(detail_folders(scene)) == 2
    displays = scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeDisplayNode")
    show_legend(first.zoom(0))
    add_attention(volume, layers(), everything=True)
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before + 10
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeDisplayNode") == displays - 5
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 0
    assert len(detail_folders(scene)) == 2
    assert len(AttentionSet.find(scene.mrml, other).volumes()) == 5


def test_each_segmentation_of_a_scan_has_the_maps_of_its_own_run(scene: SceneMaker) -> None:
    volume = scene.volume()
    labels, place = np.zeros(SHAPE, np.uint8), snapshot(volume).index_to_lps
    first, second = (add_segmentation(volume, labels, place, STRUCTURES, name=name) for name in ("First", "Second"))
    add_attention(volume, layers(), segmentation=first, everything=True)
    add_attention(volume, {1: layer(1)}, segmentation=second, everything=True)
    for node, index in ((first, 0), (second, 1)):
        found = AttentionSet.find(scene.mrml, node)
        assert [one.index for one in found.layers] == [index]
        assert found.reference is volume
        np.testing.assert_array_equal(voxels(found.zoom(index)), layer(index).dilation_mm)
    AttentionSet.find(scene.mrml, second).remove()
    assert AttentionSet.find(scene.mrml, second) is None
    assert len(AttentionSet.find(scene.mrml, first).volumes()) == 5
    AttentionSet.find(scene.mrml, first).remove()
    assert detail_folders(scene) == []


def test_removing_after_the_scene_was_closed_does_nothing(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers())
    scene.mrml.Clear(0)
    assert attention.volumes() == []
    assert not attention.there


def test_large_maps_are_in_the_scene_at_once(scene: SceneMaker) -> None:
    weights = np.zeros((4, 150, 256, 256), np.float32)
    made = {index: AttentionMap(weights, RATES, grid("oblique", weights.shape[1:])) for index in range(2)}
    ct = scene.volume()
    start = time.process_time()
    attention = add_attention(ct, made)
    layer_sequence(attention)
    assert time.process_time() - start < 1.5  # percentiles of 10 million voxels, a tenth of it each on an idle computer
