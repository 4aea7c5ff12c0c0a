"""A sequence is segmented frame by frame, and the result plays with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.frames import Frames, SegmentationFrames, frames_of
from AutofocusSegmentationLib.scene.result_identity import is_edited, is_result_of, mark_result, newest_result
from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml

from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker, world_of_voxel


@pytest.fixture
def frames(scene: SceneMaker) -> Frames:
    """Three frames at 0, 250 and 500 ms whose voxels have the frame's number, under a transform."""
    sequence = scene.mrml.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("ms")
    for number in range(3):
        volume = scene.volume(array=np.full(SHAPE, number, np.int16), name="Frame")
        sequence.SetDataNodeAtValue(volume, str(250 * number))
        scene.mrml.RemoveNode(volume)
    browser = scene.mrml.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Cine browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    shown = scene.volume(array=np.full(SHAPE, 0, np.int16), name="Cine volume")
    shown.SetAndObserveTransformNodeID(scene.linear(np.diag([1.0, 1.0, 1.0, 1.0])).GetID())
    browser.AddProxyNode(shown, sequence, False)
    found = frames_of(shown)
    assert found is not None
    return found


def labels(number: int) -> np.ndarray:
    """A bladder of number + 1 voxels."""
    array = np.zeros(SHAPE, np.uint8)
    array[2, 3, : number + 1] = 3
    return array


def play(scene: SceneMaker, frames: Frames, number: int) -> None:
    frames.browser.SetSelectedItemNumber(number)
    scene.logics["Sequences"].UpdateProxyNodesFromSequences(frames.browser)


def test_every_frame_is_read_without_moving_the_browser(frames: Frames) -> None:
    assert len(frames) == 3
    assert [int(taken.array[0, 0, 0]) for taken in frames] == [0, 1, 2]
    assert frames.chosen == 0


def test_before_a_frame_is_chosen_the_first_one_counts(frames: Frames) -> None:
    frames.browser.SetSelectedItemNumber(-1)
    assert frames.chosen == 0
    frames.browser.SetSelectedItemNumber(2)
    frames.sequence.RemoveDataNodeAtValue("500")
    assert frames.chosen == 1


def test_a_volume_that_stands_alone_has_no_frames(scene: SceneMaker) -> None:
    assert frames_of(scene.volume()) is None


def test_the_segmentation_plays_with_the_volume(scene: SceneMaker, frames: Frames) -> None:
    collected = SegmentationFrames(frames, STRUCTURES, name="Pelvis")
    for number, taken in enumerate(frames):
        collected.add(number, labels(number), taken.index_to_lps)
    voxel_ml = 0.8 * 1.1 * 2.5 / 1000
    for number in (2, 0, 1):
        play(scene, frames, number)
        assert volumes_ml(collected.node)["Segment_3"] == pytest.approx((number + 1) * voxel_ml)
        assert names(collected.node) == ["Prostate", "Bladder", "Left femur"]
        assert collected.node.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.45)
    reference = collected.node.GetNodeReference(collected.node.GetReferenceImageGeometryReferenceRole())
    assert reference is frames.volume
    assert collected.node.GetParentTransformNode() is frames.volume.GetParentTransformNode()
    assert collected.sequence.GetIndexUnit() == "ms"
    assert [collected.sequence.GetNthIndexValue(i) for i in range(3)] == ["0", "250", "500"]


def test_a_result_stays_the_models_while_it_is_played(scene: SceneMaker, frames: Frames) -> None:
    collected = SegmentationFrames(frames, STRUCTURES, name="Pelvis")
    for number, taken in enumerate(frames):
        collected.add(number, labels(number), taken.index_to_lps)
    model = {"name": "pelvis-phantom", "sha256": "abc"}
    mark_result(collected.node, model)
    for number in (2, 0, 1):
        play(scene, frames, number)
        assert is_result_of(collected.node, frames.volume, model)
        assert not is_edited(collected.node)
        assert newest_result(frames.volume) is collected.node


def test_the_first_frame_is_seen_as_soon_as_it_is_done(scene: SceneMaker, frames: Frames) -> None:
    collected = SegmentationFrames(frames, STRUCTURES, name="Pelvis")
    collected.add(0, labels(0), frames.snapshot(0).index_to_lps)
    assert names(collected.node) == ["Prostate", "Bladder", "Left femur"]
    image = collected.node.GetBinaryLabelmapInternalRepresentation("Segment_3")
    assert image.GetScalarComponentAsDouble(0, 3, 2, 0) == 3
    bounds = [0.0] * 6
    image.GetBounds(bounds)
    point = world_of_voxel(frames.volume, (0, 3, 2))
    assert all(bounds[2 * axis] <= point[axis] <= bounds[2 * axis + 1] for axis in range(3))


def test_a_corrected_frame_stays_corrected(scene: SceneMaker, frames: Frames) -> None:
    collected = SegmentationFrames(frames, STRUCTURES, name="Pelvis")
    for number, taken in enumerate(frames):
        collected.add(number, labels(number), taken.index_to_lps)
    play(scene, frames, 1)
    collected.node.GetSegmentation().GetSegment("Segment_3").SetName("Corrected")
    scene.logics["Sequences"].UpdateSequencesFromProxyNodes(frames.browser, collected.node)
    play(scene, frames, 2)
    assert names(collected.node)[1] == "Bladder"
    play(scene, frames, 1)
    assert names(collected.node)[1] == "Corrected"


def test_a_saved_scene_keeps_every_frames_segments(scene: SceneMaker, frames: Frames, tmp_path: Any) -> None:
    collected = SegmentationFrames(frames, STRUCTURES, name="Pelvis")
    for number, taken in enumerate(frames):
        collected.add(number, labels(number), taken.index_to_lps)
    again = scene.reopened(tmp_path)
    found = frames_of(again.node("Cine volume"))
    assert len(found) == 3
    voxel_ml = 0.8 * 1.1 * 2.5 / 1000
    for number in range(3):
        play(again, found, number)
        assert volumes_ml(again.node("Pelvis"))["Segment_3"] == pytest.approx((number + 1) * voxel_ml, rel=1e-4)


def names(node: Any) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(index).GetName() for index in range(segmentation.GetNumberOfSegments())]
