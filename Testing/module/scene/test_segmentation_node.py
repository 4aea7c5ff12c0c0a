"""A labelmap becomes segments with names, colours, codes and their place; a second run leaves the user's alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.placing import as_array, hierarchy_of, item_of
from AutofocusSegmentationLib.scene.provenance_node import add_provenance, provenance_of
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation, our_segments, volumes_ml
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from Testing.module.conftest import GEOMETRIES, SHAPE, STRUCTURES, SceneMaker, oblique, to_world, world_of_voxel

PROSTATE, FEMUR = (4, 6, 7), (8, 2, 12)  # (k, j, i) of the only voxel of each; there is no bladder


def labels() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[PROSTATE], array[FEMUR] = 1, 5
    return array


def segment(scene: SceneMaker, volume: Any, array: np.ndarray | None = None, **options: Any) -> Any:
    array = labels() if array is None else array
    structures = options.pop("structures", STRUCTURES)
    return add_segmentation(volume, array, snapshot(volume).index_to_lps, structures, name="Pelvis", **options)


def where(node: Any, key: str) -> list[np.ndarray]:
    """The points of the world where a segment has voxels, asked of the segmentation alone."""
    image = node.GetBinaryLabelmapInternalRepresentation(key)
    extent = image.GetExtent()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    found = np.argwhere(values == node.GetSegmentation().GetSegment(key).GetLabelValue())[:, ::-1] + extent[::2]
    return [to_world(node, (as_array(matrix) @ [*index, 1])[:3]) for index in found]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("transform", ["none", "linear", "warp"])
def test_segments_lie_on_the_voxels_that_they_were_found_in(scene: SceneMaker, geometry: str, transform: str) -> None:
    volume = scene.volume(geometry)
    if transform != "none":
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = oblique() * 1.3, (5, 6, 7)
        node = scene.linear(matrix) if transform == "linear" else scene.warp()
        volume.SetAndObserveTransformNodeID(node.GetID())
    made = segment(scene, volume)
    for key, voxel in (("Segment_1", PROSTATE), ("Segment_5", FEMUR)):
        (point,) = where(made, key)
        np.testing.assert_allclose(point, world_of_voxel(volume, voxel[::-1]), atol=1e-9)
    assert where(made, "Segment_3") == []


def test_segments_have_name_colour_label_value_and_codes(scene: SceneMaker) -> None:
    made = segment(scene, scene.volume())
    segments = made.GetSegmentation()
    assert list(segments.GetSegmentIDs()) == ["Segment_1", "Segment_3", "Segment_5"]
    for structure in STRUCTURES:
        found = segments.GetSegment(f"Segment_{structure['label']}")
        assert found.GetName() == structure["name"]
        assert found.GetLabelValue() == structure["label"]
        assert found.GetColor() == pytest.approx(np.array(structure["color"]) / 255)
    check_codes(segments.GetSegment("Segment_5").GetTerminology())


def check_codes(text: str) -> None:
    """What Slicer's own parser makes of the left femur's line."""
    import slicer

    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
    assert entry.GetCategoryObject().GetCodeValue() == "123037004"
    kind, modifier = entry.GetTypeObject(), entry.GetTypeModifierObject()
    assert (kind.GetCodingSchemeDesignator(), kind.GetCodeValue(), kind.GetCodeMeaning()) == (
        "SCT", "71341001", "Femur"
    )  # fmt: skip
    assert (modifier.GetCodeValue(), modifier.GetCodeMeaning()) == ("7771000", "Left")


def test_the_segmentation_stands_beside_the_volume_in_its_study(scene: SceneMaker) -> None:
    volume = scene.volume()
    hierarchy = hierarchy_of(scene.mrml)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(item_of(volume), study)
    volume.SetAndObserveTransformNodeID(scene.warp().GetID())
    made = segment(scene, volume)
    note = add_provenance(made, {"model": "pelvis"})
    assert hierarchy.GetItemParent(item_of(made)) == study
    folder = hierarchy.GetItemParent(item_of(note))
    assert hierarchy.GetItemName(folder) == f"{made.GetName()}: details"
    assert hierarchy.GetItemParent(folder) == study
    assert not hierarchy.GetItemExpanded(folder), "out of the way"
    assert made.GetParentTransformNode() is volume.GetParentTransformNode()
    assert made.GetNodeReference(made.GetReferenceImageGeometryReferenceRole()) is volume


def test_segments_are_filled_lightly_and_outlined(scene: SceneMaker) -> None:
    display = segment(scene, scene.volume()).GetDisplayNode()
    assert display.GetVisibility2DFill()
    assert display.GetVisibility2DOutline()
    assert display.GetOpacity2DFill() == pytest.approx(0.45)


def test_all_segments_share_the_array_that_was_given(scene: SceneMaker) -> None:
    array = labels()
    made = segment(scene, scene.volume(), array)
    assert made.GetSegmentation().GetNumberOfLayers() == 1
    array[0, 0, 0] = 3
    assert len(where(made, "Segment_3")) == 1


def test_a_large_labelmap_is_there_within_a_tenth_of_a_second(scene: SceneMaker) -> None:
    volume = scene.volume(array=np.zeros((200, 512, 512), np.int16))
    array = np.zeros((200, 512, 512), np.uint8)
    array[50:150, 100:400, 100:400] = 1
    start = time.process_time()
    made = segment(scene, volume, array)
    assert time.process_time() - start < 0.1
    array = array.copy()
    start = time.process_time()
    segment(scene, volume, array, replace=made)
    assert time.process_time() - start < 0.1


def test_a_read_only_array_is_copied_for_the_segment_editor_writes_into_it(scene: SceneMaker) -> None:
    array = labels()
    array.flags.writeable = False
    made = segment(scene, scene.volume(), array)
    image = made.GetBinaryLabelmapInternalRepresentation("Segment_1")
    image.SetScalarComponentFromDouble(0, 0, 0, 0, 3)
    assert array[0, 0, 0] == 0


def test_volumes_are_counted_in_millilitres(scene: SceneMaker) -> None:
    array = labels()
    array[0, :, :] = 3
    made = segment(scene, scene.volume("anisotropic"), array)
    voxel = 0.5 * 0.7 * 3.0 / 1000
    assert volumes_ml(made) == {
        "Segment_1": pytest.approx(voxel),
        "Segment_3": pytest.approx(13 * 17 * voxel),
        "Segment_5": pytest.approx(voxel),
    }


def test_volumes_of_segments_on_their_own_layers_are_counted_there(scene: SceneMaker) -> None:
    made = segment(scene, scene.volume("straight"))
    draw(made, "Cyst", (2, 2, 2))
    made.GetSegmentation().AddEmptySegment("Empty", "Empty")
    found = volumes_ml(made)
    assert found["Cyst"] == pytest.approx(0.001)
    assert found["Segment_1"] == pytest.approx(0.001)
    assert found["Empty"] == 0.0


def draw(node: Any, name: str, voxel: tuple[int, int, int], *, shared_value: int = 0) -> None:
    """A segment of the user's of one voxel (k, j, i): on a layer of its own, or in the labelmap of the others."""
    import slicer

    shared = node.GetBinaryLabelmapInternalRepresentation("Segment_1")
    new = slicer.vtkSegment()
    new.SetName(name)
    if shared_value:
        image = shared
    else:
        image = slicer.vtkOrientedImageData()
        image.DeepCopy(shared)
        vtk_to_numpy(image.GetPointData().GetScalars())[:] = 0
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    values[voxel] = shared_value or 1
    new.AddRepresentation("Binary labelmap", image)
    new.SetLabelValue(shared_value or 1)
    assert node.GetSegmentation().AddSegment(new, name)


@pytest.mark.parametrize("shared_value", [0, 9])
def test_a_second_run_updates_its_own_segments_and_keeps_the_users(scene: SceneMaker, shared_value: int) -> None:
    volume = scene.volume()
    made = segment(scene, volume)
    draw(made, "Cyst", (2, 2, 2), shared_value=shared_value)
    made.GetSegmentation().GetSegment("Segment_5").SetColor(0, 1, 0)
    made.GetDisplayNode().SetSegmentVisibility("Segment_1", False)
    (cyst,) = where(made, "Cyst")

    array = np.zeros(SHAPE, np.uint8)
    array[1, 1, 1] = 5
    again = segment(scene, volume, array, replace=made)

    assert again is made
    assert list(made.GetSegmentation().GetSegmentIDs()) == ["Segment_1", "Segment_3", "Segment_5", "Cyst"]
    np.testing.assert_allclose(where(made, "Cyst"), [cyst])
    (femur,) = where(made, "Segment_5")
    np.testing.assert_allclose(femur, world_of_voxel(volume, (1, 1, 1)))
    assert where(made, "Segment_1") == []
    assert not made.GetDisplayNode().GetSegmentVisibility("Segment_1")
    assert made.GetDisplayNode().GetSegmentVisibility("Segment_5")
    assert made.GetSegmentation().GetSegment("Segment_5").GetColor() == (0, 1, 0)


def test_another_models_run_takes_away_the_structures_that_it_does_not_know(scene: SceneMaker) -> None:
    volume = scene.volume()
    made = segment(scene, volume)
    draw(made, "Segment_2", (2, 2, 2))  # an id such as Slicer gives
    other = [{**STRUCTURES[0], "label": 2}, {**STRUCTURES[1], "label": 1, "name": "Rectum"}]
    array = np.zeros(SHAPE, np.uint8)
    array[PROSTATE], array[3, 3, 3] = 2, 1
    segment(scene, volume, array, structures=other, replace=made)
    named = {key: made.GetSegmentation().GetSegment(key).GetName() for key in made.GetSegmentation().GetSegmentIDs()}
    assert sorted(named.values()) == ["Prostate", "Rectum", "Segment_2"]
    keys = {name: key for key, name in named.items()}
    for name, voxel in (("Prostate", PROSTATE), ("Rectum", (3, 3, 3)), ("Segment_2", (2, 2, 2))):
        (point,) = where(made, keys[name])
        np.testing.assert_allclose(point, world_of_voxel(volume, voxel[::-1]))


def test_a_segment_that_the_user_renamed_is_kept_and_its_structure_is_made_anew(scene: SceneMaker) -> None:
    volume = scene.volume()
    made = segment(scene, volume)
    made.GetSegmentation().GetSegment("Segment_1").SetName("Prostate, corrected")
    array = np.zeros(SHAPE, np.uint8)
    array[1, 1, 1] = 1
    segment(scene, volume, array, replace=made)
    assert our_segments(made) == {"Segment_3": "Bladder", "Segment_5": "Left femur", "Segment_1_2": "Prostate"}
    (kept,) = where(made, "Segment_1")
    np.testing.assert_allclose(kept, world_of_voxel(volume, PROSTATE[::-1]))
    (new,) = where(made, "Segment_1_2")
    np.testing.assert_allclose(new, world_of_voxel(volume, (1, 1, 1)))


def test_surfaces_are_those_of_the_last_run_only(scene: SceneMaker) -> None:
    volume = scene.volume()
    array = np.zeros(SHAPE, np.uint8)
    array[2:6, 2:6, 2:6] = 1
    made = segment(scene, volume, array)
    made.CreateClosedSurfaceRepresentation()
    array = np.zeros(SHAPE, np.uint8)
    array[5:9, 5:10, 5:12] = 1
    segment(scene, volume, array, replace=made)
    assert not made.GetSegmentation().ContainsRepresentation("Closed surface")
    made.CreateClosedSurfaceRepresentation()
    bounds = made.GetClosedSurfaceInternalRepresentation("Segment_1").GetBounds()
    ends = [(5 + 6 * i, 5 + 4 * j, 5 + 3 * k) for i, j, k in np.ndindex(2, 2, 2)]
    corners = np.array([world_of_voxel(volume, index) for index in ends])
    np.testing.assert_allclose(bounds[::2], corners.min(0), atol=3)
    np.testing.assert_allclose(bounds[1::2], corners.max(0), atol=3)


def test_later_edits_are_noticed_after_an_update(scene: SceneMaker) -> None:
    """The node observes the labelmap that it has now, so that the views follow the segment editor."""
    made = segment(scene, scene.volume())
    segment(scene, made.GetNodeReference(made.GetReferenceImageGeometryReferenceRole()), replace=made)
    seen = []
    made.GetSegmentation().AddObserver(made.GetSegmentation().SourceRepresentationModified, lambda *_: seen.append(1))
    made.GetBinaryLabelmapInternalRepresentation("Segment_1").Modified()
    assert seen


def test_a_run_can_be_undone_where_the_application_allows_it(scene: SceneMaker) -> None:
    volume = scene.volume()
    scene.mrml.SetUndoOn()
    made = segment(scene, volume)
    array = np.zeros(SHAPE, np.uint8)
    segment(scene, volume, array, replace=made)
    assert where(made, "Segment_1") == []
    scene.mrml.Undo()
    made = scene.node("Pelvis")
    (point,) = where(made, "Segment_1")
    np.testing.assert_allclose(point, world_of_voxel(volume, PROSTATE[::-1]))


def test_provenance_is_found_again_and_replaced_by_the_next_run(scene: SceneMaker) -> None:
    volume = scene.volume()
    made = segment(scene, volume)
    assert provenance_of(made) is None
    first = add_provenance(made, {"model": "pelvis", "note": "½"})
    assert provenance_of(made) == {"model": "pelvis", "note": "½"}
    assert add_provenance(made, {"model": "other"}) is first
    assert provenance_of(made) == {"model": "other"}
    first.SetText("my notes")
    assert provenance_of(made) is None


def test_a_saved_scene_keeps_segments_codes_and_provenance(scene: SceneMaker, tmp_path) -> None:
    volume = scene.volume()
    made = segment(scene, volume)
    made.GetDisplayNode().SetSegmentVisibility("Segment_5", False)
    add_provenance(made, {"model": "pelvis", "note": "½"})
    again = scene.reopened(tmp_path)
    opened = again.node("Pelvis")
    segments = opened.GetSegmentation()
    assert list(segments.GetSegmentIDs()) == ["Segment_1", "Segment_3", "Segment_5"]
    for structure in STRUCTURES:
        found = segments.GetSegment(f"Segment_{structure['label']}")
        assert (found.GetName(), found.GetLabelValue()) == (structure["name"], structure["label"])
        assert found.GetColor() == pytest.approx(np.array(structure["color"]) / 255, abs=1e-4)
    check_codes(segments.GetSegment("Segment_5").GetTerminology())
    assert not opened.GetDisplayNode().GetSegmentVisibility("Segment_5")
    assert provenance_of(opened) == {"model": "pelvis", "note": "½"}
    assert our_segments(opened) == {"Segment_1": "Prostate", "Segment_3": "Bladder", "Segment_5": "Left femur"}
    (point,) = where(opened, "Segment_5")
    np.testing.assert_allclose(point, world_of_voxel(volume, FEMUR[::-1]), atol=1e-3)

    array = np.zeros(SHAPE, np.uint8)
    array[1, 1, 1] = 3
    segment(again, again.node("CT"), array, replace=opened)
    (point,) = where(opened, "Segment_3")
    np.testing.assert_allclose(point, world_of_voxel(volume, (1, 1, 1)), atol=1e-3)
