"""Exports are read back by other readers than Slicer's, at the right place, or refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from AutofocusSegmentationLib.scene.exports import export
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader

from AutofocusCore.errors import InputError, OutputError
from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker, oblique, world_of_voxel


@pytest.fixture
def labels() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:6, 3:9, 4:10] = 1
    array[7:10, 2:6, 10:15] = 5
    return array


@pytest.fixture
def segmentation(scene: SceneMaker, labels: np.ndarray) -> Any:
    volume = scene.volume("oblique")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = oblique(), (40, -20, 10)
    volume.SetAndObserveTransformNodeID(scene.linear(matrix).GetID())
    return add_segmentation(volume, labels, snapshot(volume).index_to_lps, STRUCTURES, name="Pelvis: CT")


def test_seg_nrrd_has_names_label_values_and_codes(segmentation: Any, labels: np.ndarray, tmp_path: Path) -> None:
    import slicerio

    assert export(segmentation, tmp_path / "out", ".seg.nrrd") == [tmp_path / "out.seg.nrrd"]
    read = slicerio.read_segmentation(str(tmp_path / "out.seg.nrrd"))
    assert [(s["name"], s["labelValue"]) for s in read["segments"]] == [
        ("Prostate", 1), ("Bladder", 3), ("Left femur", 5)
    ]  # fmt: skip
    assert read["segments"][2]["terminology"]["type"] == ["SCT", "71341001", "Femur"]
    voxels = np.asarray(read["voxels"])
    assert {int(value): int((voxels == value).sum()) for value in np.unique(voxels)} == {
        int(value): int((labels == value).sum()) for value in np.unique(labels)
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out.seg.nrrd"]


def test_nifti_lies_on_the_volumes_own_grid(
    scene: SceneMaker, segmentation: Any, labels: np.ndarray, tmp_path: Path
) -> None:
    written = export(segmentation, tmp_path / "out.nii.gz", ".nii.gz")
    assert written == [tmp_path / "out.nii.gz", tmp_path / "out.json"]
    image = sitk.ReadImage(str(written[0]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels)
    expected = (snapshot(scene.node("CT")).index_to_lps @ [3, 4, 5, 1])[:3]
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((3, 4, 5)), expected, atol=1e-3)
    sidecar = json.loads(written[1].read_text("utf-8"))["structures"]
    assert sidecar[2] == {"label": 5, "name": "Left femur", "color": [80, 150, 240]}


def test_a_json_file_of_others_beside_the_labelmap_is_kept(segmentation: Any, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"EchoTime": 0.02}', encoding="utf-8")
    with pytest.raises(OutputError, match=r"would replace .*out\.json"):
        export(segmentation, tmp_path / "out.nii.gz", ".nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    (tmp_path / "out.json").unlink()
    export(segmentation, tmp_path / "out.nii.gz", ".nii.gz")
    export(segmentation, tmp_path / "out.nii.gz", ".nii.gz")  # its own sidecar may be replaced


def test_segments_of_the_users_with_the_same_label_value_get_a_free_one(segmentation: Any, tmp_path: Path) -> None:
    import slicer

    cyst = slicer.vtkSegment()
    cyst.SetName("Cyst")
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(segmentation.GetBinaryLabelmapInternalRepresentation("Segment_1"))
    image.GetPointData().GetScalars().Fill(0)
    image.SetScalarComponentFromDouble(0, 0, 0, 0, 1)
    cyst.AddRepresentation("Binary labelmap", image)
    cyst.SetLabelValue(1)
    segmentation.GetSegmentation().AddSegment(cyst, "Cyst")
    written = export(segmentation, tmp_path / "out.nii.gz", ".nii.gz")
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(written[0])))[0, 0, 0] == 6
    assert json.loads(written[1].read_text("utf-8"))["structures"][3]["name"] == "Cyst"


def surface_bounds(scene: SceneMaker, first: tuple[int, int, int], last: tuple[int, int, int]) -> np.ndarray:
    """Lowest and highest corner of a block of voxels (i, j, k) in the world, mm, LPS."""
    ends = np.array([np.subtract(first, 0.5), np.add(last, 0.5)])
    indices = [(ends[a, 0], ends[b, 1], ends[c, 2]) for a, b, c in np.ndindex(2, 2, 2)]
    corners = np.array([world_of_voxel(scene.node("CT"), index) * (-1, -1, 1) for index in indices])
    return np.array([corners.min(0), corners.max(0)])


def test_each_segment_with_voxels_becomes_an_stl_in_the_patients_millimetres(
    scene: SceneMaker, segmentation: Any, tmp_path: Path
) -> None:
    segmentation.GetSegmentation().GetSegment("Segment_5").SetName("Femur/left: 1")
    written = export(segmentation, tmp_path, ".stl")
    assert [path.name for path in written] == ["Prostate.stl", "Femur_left_ 1.stl"]
    assert b"SPACE=LPS" in written[0].read_bytes()[:80]
    reader = vtkSTLReader()
    reader.SetFileName(str(written[0]))
    reader.Update()
    bounds = np.reshape(reader.GetOutput().GetBounds(), (3, 2)).T
    np.testing.assert_allclose(bounds, surface_bounds(scene, (4, 3, 2), (9, 8, 5)), atol=2.5)


def test_obj_holds_all_surfaces_with_their_colours(scene: SceneMaker, segmentation: Any, tmp_path: Path) -> None:
    written = export(segmentation, tmp_path / "out.obj", ".obj")
    assert [path.name for path in written] == ["out.obj", "out.mtl"]
    reader = vtkOBJReader()
    reader.SetFileName(str(written[0]))
    reader.Update()
    bounds = np.reshape(reader.GetOutput().GetBounds(), (3, 2)).T
    both = np.array([surface_bounds(scene, (4, 3, 2), (9, 8, 5)), surface_bounds(scene, (10, 2, 7), (14, 5, 9))])
    np.testing.assert_allclose(bounds, [both[:, 0].min(0), both[:, 1].max(0)], atol=2.5)
    text = written[0].read_text("utf-8")
    assert "mtllib out.mtl" in text
    assert "usemtl Left_femur" in text
    assert "newmtl Left_femur\nKd 0.3137 0.5882 0.9412" in written[1].read_text("utf-8")


def test_nothing_to_export_is_said_and_nothing_written(scene: SceneMaker, tmp_path: Path) -> None:
    volume = scene.volume()
    empty = np.zeros(SHAPE, np.uint8)
    node = add_segmentation(volume, empty, snapshot(volume).index_to_lps, STRUCTURES, name="Pelvis")
    for extension in (".seg.nrrd", ".nii.gz", ".stl", ".obj"):
        with pytest.raises(InputError, match="Pelvis is empty, there is nothing to export; segment"):
            export(node, tmp_path, extension)
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_and_a_missing_folder_are_refused(segmentation: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.ply is no format .* \.seg\.nrrd"):
        export(segmentation, tmp_path / "out.ply", ".ply")
    for extension in (".seg.nrrd", ".nii.gz", ".stl", ".obj"):
        with pytest.raises(OutputError, match="does not exist"):
            export(segmentation, tmp_path / "missing" / "out", extension)


@pytest.mark.parametrize("extension", [".seg.nrrd", ".nii.gz", ".obj"])
def test_what_cannot_get_its_name_leaves_nothing_behind(segmentation: Any, tmp_path: Path, extension: str) -> None:
    (tmp_path / f"out{extension}").mkdir()
    (tmp_path / f"out{extension}" / "older").write_text("older")
    with pytest.raises(OutputError, match=r"Cannot write .*out\."):
        export(segmentation, tmp_path / "out", extension)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{extension}"]
    assert (tmp_path / f"out{extension}" / "older").read_text() == "older"
