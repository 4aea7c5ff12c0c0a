"""Whose result a segmentation is, and that no run takes away what somebody might miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.placing import parent_item
from AutofocusSegmentationLib.scene.result_identity import (
    is_edited,
    is_result_of,
    keep_copy,
    newest_result,
    scan_of,
)
from AutofocusSegmentationLib.scene.results import add_to_scene
from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml
from vtkmodules.util.numpy_support import vtk_to_numpy

from AutofocusCore.images.geometry import Grid
from AutofocusCore.models.parts import Structure, from_mapping
from AutofocusCore.result import SegmentationResult
from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker
from Testing.module.scene.attention_examples import layers, reach

MODEL = {"name": "pelvis", "title": "Pelvis", "sha256": "abc"}
OTHER = {"name": "pelvis", "title": "Pelvis", "sha256": "def"}


def result(scan: Any, *, size: int = 3, attention: bool = False) -> SegmentationResult:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2 : 2 + size, 2:5, 2:5] = 1
    labels[7:9, 7:9, 7:9] = 3
    return SegmentationResult(
        label_array=labels,
        grid=Grid.from_index_to_lps(SHAPE, snapshot(scan).index_to_lps),
        structures=tuple(from_mapping(Structure, entry, "structure") for entry in STRUCTURES),
        attention=layers(2) if attention else {},
        reach=reach() if attention else None,
        provenance={"model": MODEL},
    )


def paint(node: Any) -> None:
    """One voxel more, as an editor would do it."""
    image = node.GetSegmentation().GetSegment("Segment_1").GetRepresentation("Binary labelmap")
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    voxels[9, 9, 2] = 1
    image.Modified()


def test_a_result_knows_its_scan_its_model_and_whether_somebody_has_edited_it(scene: SceneMaker) -> None:
    scan, other = scene.volume(), scene.volume(name="Other")
    node = add_to_scene(scan, result(scan), MODEL).segmentation
    assert scan_of(node) is scan
    assert is_result_of(node, scan, MODEL)
    assert not is_result_of(node, other, MODEL)
    assert not is_result_of(node, scan, OTHER), "another version of the model is another model"
    assert not is_edited(node)
    node.GetSegmentation().GetSegment("Segment_1").SetColor(1, 0, 0)
    node.GetDisplayNode().SetSegmentVisibility("Segment_3", False)
    assert not is_edited(node), "neither colour nor visibility is an edit"
    paint(node)
    assert is_edited(node)


@pytest.mark.parametrize("how", ["added", "removed", "renamed"])
def test_segments_that_come_go_or_are_renamed_are_edits(scene: SceneMaker, how: str) -> None:
    scan = scene.volume()
    node = add_to_scene(scan, result(scan), MODEL).segmentation
    if how == "added":
        node.GetSegmentation().AddEmptySegment("Mine", "Mine")
    elif how == "removed":
        node.GetSegmentation().RemoveSegment("Segment_3")
    else:
        node.GetSegmentation().GetSegment("Segment_3").SetName("Bladder, checked")
    assert is_edited(node)


def test_a_hand_made_segmentation_counts_as_edited(scene: SceneMaker) -> None:
    assert is_edited(scene.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine"))


def test_saving_and_opening_a_scene_is_no_edit(scene: SceneMaker, tmp_path: Any) -> None:
    scan = scene.volume("left-handed")
    name = add_to_scene(scan, result(scan), MODEL).segmentation.GetName()
    again = scene.reopened(tmp_path)
    node = again.node(name)
    assert is_result_of(node, again.node("CT"), MODEL)
    assert not is_edited(node)
    assert newest_result(again.node("CT")) is node


def test_the_second_patients_result_never_hides_under_the_first_ones_name(scene: SceneMaker) -> None:
    a, b = scene.volume(name="A"), scene.volume(name="B")
    first = add_to_scene(a, result(a, size=4), MODEL).segmentation
    before = volumes_ml(first)
    second = add_to_scene(b, result(b), MODEL).segmentation
    assert second is not first
    assert (first.GetName(), second.GetName()) == ("A - Pelvis", "B - Pelvis")
    assert volumes_ml(first) == before
    assert (newest_result(a), newest_result(b)) == (first, second)
    added = add_to_scene(b, result(b), MODEL, replace=first)  # as a script may ask for
    assert added.segmentation is first
    assert first.GetName().startswith("B - Pelvis")
    assert scan_of(first) is b
    assert added.kept.GetName() == "A - Pelvis (kept)"
    assert scan_of(added.kept) is a
    assert list(volumes_ml(added.kept).values()) == list(before.values())


def test_a_result_of_the_same_scan_and_model_is_updated_in_place(scene: SceneMaker) -> None:
    scan = scene.volume()
    node = add_to_scene(scan, result(scan), MODEL).segmentation
    before = volumes_ml(node)["Segment_1"]
    added = add_to_scene(scan, result(scan, size=5), MODEL, replace=node)
    assert added.segmentation is node
    assert added.kept is None
    assert volumes_ml(node)["Segment_1"] == pytest.approx(before * 5 / 3)
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert not is_edited(node)


def test_a_corrected_segmentation_survives_as_a_copy(scene: SceneMaker) -> None:
    scan = scene.volume()
    node = add_to_scene(scan, result(scan), MODEL).segmentation
    node.GetSegmentation().GetSegment("Segment_1").SetColor(0.1, 0.2, 0.3)
    paint(node)
    corrected = volumes_ml(node)
    added = add_to_scene(scan, result(scan), MODEL, replace=node)
    assert added.kept.GetName() == "CT - Pelvis (kept)"
    assert list(volumes_ml(added.kept).values()) == list(corrected.values())
    assert added.kept.GetSegmentation().GetSegment("Segment_1").GetColor() == pytest.approx((0.1, 0.2, 0.3))
    assert volumes_ml(node)["Segment_1"] < corrected["Segment_1"], "the new result is in its place"
    assert not added.kept.GetDisplayVisibility(), "the copy does not lie over it"
    again = add_to_scene(scan, result(scan), MODEL, replace=node)
    assert again.kept is None, "what a run has made itself needs no copy"


def test_a_hand_made_segmentation_is_kept_as_a_copy_where_it_gives_its_place(scene: SceneMaker) -> None:
    scan = scene.volume()
    mine = scene.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    mine.GetSegmentation().AddEmptySegment("Tumour", "Tumour")
    added = add_to_scene(scan, result(scan), MODEL, replace=mine)
    assert added.kept.GetName() == "Mine (kept)"
    assert list(added.kept.GetSegmentation().GetSegmentIDs()) == ["Tumour"]
    assert "Tumour" not in mine.GetSegmentation().GetSegmentIDs()
    assert mine.GetName() == "CT - Pelvis"


def test_two_results_never_have_the_same_name(scene: SceneMaker) -> None:
    scan = scene.volume()
    names = {add_to_scene(scan, result(scan), MODEL).segmentation.GetName() for _ in range(3)}
    assert len(names) == 3


def test_a_run_adds_one_folder_and_a_handful_of_nodes(scene: SceneMaker) -> None:
    scan = scene.volume()
    before = scene.mrml.GetNumberOfNodes()
    added = add_to_scene(scan, result(scan, attention=True), MODEL)
    kinds = ("vtkMRMLSegmentationNode", "vtkMRMLTextNode", "vtkMRMLScalarVolumeNode")
    assert [scene.mrml.GetNumberOfNodesByClass(kind) for kind in kinds] == [1, 1, 2], "the scan and its reach"
    assert scene.mrml.GetNumberOfNodes() - before <= 8, "with display nodes, the colours and the hierarchy"
    assert added.attention.reach.GetName() == "Reach in mm: CT - Pelvis"
    add_to_scene(scan, result(scan), MODEL, replace=added.segmentation)
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1, "the next run has no attention"


def test_a_copy_stands_beside_the_original(scene: SceneMaker) -> None:
    scan = scene.volume()
    scan.SetAndObserveTransformNodeID(scene.linear(np.eye(4)).GetID())
    node = add_to_scene(scan, result(scan), MODEL).segmentation
    copy = keep_copy(node)
    assert parent_item(copy) == parent_item(node)
    assert copy.GetParentTransformNode() is node.GetParentTransformNode()
    assert newest_result(scan) is node, "the copy is nobody's result"
