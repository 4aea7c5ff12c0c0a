"""Voxels and regions of interest reach the engine with their place in millimetres, whatever the volume's geometry."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.geometry import roi_box, snapshot
from AutofocusSegmentationLib.scene.placing import as_vtk, local_to_local
from AutofocusSegmentationLib.worker.exchange_volumes import write_volume

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.segmentation import RoiBox
from Testing.module.conftest import GEOMETRIES, SHAPE, SceneMaker, index_to_ras, oblique, to_world, world_of_voxel

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def rotation(*, scale: float = 1.0, shift: tuple[float, float, float] = (12.0, -7.0, 30.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = oblique() * scale
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_snapshot_has_the_voxels_and_their_place_in_lps(scene: SceneMaker, geometry: str) -> None:
    volume = scene.volume(geometry)
    taken = snapshot(volume)
    assert taken.array.shape == SHAPE
    assert taken.size == SHAPE[::-1]
    assert taken.spacing == pytest.approx(GEOMETRIES[geometry][0])
    np.testing.assert_allclose(taken.index_to_lps, LPS @ index_to_ras(geometry), atol=1e-12)
    i, j, k = 3, 12, 7
    assert taken.array[k, j, i] == volume.GetImageData().GetScalarComponentAsDouble(i, j, k, 0)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_what_the_engine_reads_has_the_place_of_the_scene(scene: SceneMaker, geometry: str, tmp_path) -> None:
    import SimpleITK as sitk

    volume = scene.volume(geometry)
    write_volume(snapshot(volume), tmp_path / "ct.nrrd")
    image = sitk.ReadImage(str(tmp_path / "ct.nrrd"))
    lps = np.array(image.TransformIndexToPhysicalPoint((16, 2, 10)))
    np.testing.assert_allclose(lps * (-1, -1, 1), world_of_voxel(volume, (16, 2, 10)), atol=1e-9)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), snapshot(volume).array)


def test_a_large_volume_is_neither_copied_nor_waited_for(scene: SceneMaker) -> None:
    volume = scene.volume(array=np.zeros((512, 512, 512), np.int16))
    snapshot(volume)
    start = time.process_time()
    taken = snapshot(volume)
    assert time.process_time() - start < 0.01
    volume.GetImageData().SetScalarComponentFromDouble(4, 5, 6, 0, 77)
    assert taken.array[6, 5, 4] == 77, "it is the node's own memory"


def test_the_voxels_outlive_their_node(scene: SceneMaker) -> None:
    volume = scene.volume()
    taken = snapshot(volume)
    expected = taken.array.copy()
    scene.mrml.RemoveNode(volume)
    del volume
    gc.collect()
    np.testing.assert_array_equal(taken.array, expected)


def test_the_own_transform_is_left_out_for_the_result_gets_it_too(scene: SceneMaker) -> None:
    volume = scene.volume()
    before = snapshot(volume).index_to_lps
    for transform in (scene.linear(rotation(scale=2.0)), scene.warp()):
        volume.SetAndObserveTransformNodeID(transform.GetID())
        np.testing.assert_array_equal(snapshot(volume).index_to_lps, before)
        np.testing.assert_array_equal(snapshot(volume, volume).index_to_lps, before)


def test_another_channels_linear_transform_is_folded_into_its_place(scene: SceneMaker) -> None:
    ct, mr = scene.volume("flipped"), scene.volume("oblique", name="MR")
    outer = scene.linear(rotation(shift=(1, 2, 3)), name="Outer")
    ct.SetAndObserveTransformNodeID(scene.linear(rotation(), name="CT to room", parent=outer).GetID())
    mr.SetAndObserveTransformNodeID(scene.linear(np.linalg.inv(rotation()), name="MR to room").GetID())
    local_lps = snapshot(mr, ct).index_to_lps @ [2, 3, 4, 1]
    np.testing.assert_allclose(to_world(ct, (LPS @ local_lps)[:3]), world_of_voxel(mr, (2, 3, 4)), atol=1e-9)


def test_channels_under_one_warp_are_simply_beside_each_other(scene: SceneMaker) -> None:
    ct, mr = scene.volume(), scene.volume(name="MR")
    warp = scene.warp()
    ct.SetAndObserveTransformNodeID(warp.GetID())
    shift = scene.linear(rotation())
    shift.SetAndObserveTransformNodeID(warp.GetID())
    mr.SetAndObserveTransformNodeID(shift.GetID())
    np.testing.assert_allclose(local_to_local(mr, ct), rotation(), atol=1e-12)
    local_lps = snapshot(mr, ct).index_to_lps @ [2, 3, 4, 1]
    np.testing.assert_allclose(to_world(ct, (LPS @ local_lps)[:3]), world_of_voxel(mr, (2, 3, 4)), atol=1e-6)


@pytest.mark.parametrize("which", ["ct", "mr"])
def test_a_warp_on_one_channel_alone_is_refused_with_the_way_out(scene: SceneMaker, which: str) -> None:
    nodes = {"ct": scene.volume(), "mr": scene.volume(name="MR")}
    nodes[which].SetAndObserveTransformNodeID(scene.warp().GetID())
    with pytest.raises(InputError, match=r"MR and CT .* Warp; .*[Hh]arden"):
        snapshot(nodes["mr"], nodes["ct"])


@pytest.mark.parametrize("kind", ["scale", "shear"])
def test_a_channel_that_is_scaled_or_sheared_against_the_other_is_refused(scene: SceneMaker, kind: str) -> None:
    matrix = rotation(scale=1.1) if kind == "scale" else np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0] * 4])
    matrix[3, 3] = 1
    ct, mr = scene.volume(), scene.volume(name="MR")
    mr.SetAndObserveTransformNodeID(scene.linear(matrix).GetID())
    with pytest.raises(InputError, match=r"MR and CT differ by a scale or shear; harden"):
        snapshot(mr, ct)


def test_what_cannot_be_segmented_is_refused_by_its_name(scene: SceneMaker) -> None:
    import slicer

    colour = scene.volume(array=np.zeros((4, 5, 6, 3), np.uint8), name="Photo", node_class="vtkMRMLVectorVolumeNode")
    empty = scene.mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    sequence = scene.mrml.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    model = scene.mrml.AddNode(slicer.vtkMRMLModelNode())
    for node, pattern in [
        (colour, "Photo is a colour image of 3 values"),
        (empty, "Nothing holds no image; load"),
        (sequence, "Cine is a sequence.*one frame"),
        (model, "is no volume"),
        (None, "No volume is chosen"),
    ]:
        with pytest.raises(InputError, match=pattern):
            snapshot(node)


def test_a_labelmap_may_be_an_input_too(scene: SceneMaker) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 3] = 4
    node = scene.volume(array=labels, node_class="vtkMRMLLabelMapVolumeNode")
    np.testing.assert_array_equal(snapshot(node).array, labels)


def region(scene: SceneMaker, centre: np.ndarray, size: tuple[float, float, float], axes: np.ndarray):
    roi = scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    roi.SetSize(*size)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, centre
    roi.SetAndObserveObjectToNodeMatrix(as_vtk(matrix))
    roi.SetCenter(*centre)
    return roi


def inside_region(roi, world: np.ndarray) -> bool:
    """Whether a point of the world lies in the ROI, asked of the ROI's own matrix."""
    from AutofocusSegmentationLib.scene.placing import as_array

    own = np.linalg.solve(as_array(roi.GetObjectToWorldMatrix()), np.append(world, 1.0))[:3]
    return bool((np.abs(own) <= np.asarray(roi.GetSize()) / 2 + 1e-6).all())


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("moved", [False, True])
def test_the_voxels_in_an_oblique_region_are_those_that_the_engine_takes(
    scene: SceneMaker, geometry: str, moved: bool
) -> None:
    volume = scene.volume(geometry)
    centre = (index_to_ras(geometry) @ [8, 6, 5, 1])[:3]
    roi = region(scene, centre, (5.0, 7.0, 6.0), oblique())
    if moved:
        volume.SetAndObserveTransformNodeID(scene.linear(rotation()).GetID())
        roi.SetAndObserveTransformNodeID(scene.linear(rotation(scale=1.2), name="Of the region").GetID())
        roi.SetCenterWorld(*world_of_voxel(volume, (8, 6, 5)))
    numbers = roi_box(roi, volume)
    assert len(numbers) == 15
    box = RoiBox(tuple(numbers[:3]), tuple(numbers[3:6]), tuple(numbers[6:]))
    taken = snapshot(volume)
    direction = taken.index_to_lps[:3, :3] / taken.spacing
    grid = Grid(taken.size, taken.spacing, tuple(taken.index_to_lps[:3, 3]), tuple(direction.ravel()))
    expected = np.zeros(SHAPE, bool)
    for k, j, i in np.ndindex(*SHAPE):
        expected[k, j, i] = inside_region(roi, world_of_voxel(volume, (i, j, k)))
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(box.mask_on(grid), expected)


def test_a_region_that_is_empty_elsewhere_or_bent_is_refused(scene: SceneMaker) -> None:
    volume = scene.volume()
    centre = (index_to_ras("oblique") @ [8, 6, 5, 1])[:3]
    with pytest.raises(InputError, match="Region is empty"):
        roi_box(scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region"), volume)
    with pytest.raises(InputError, match="does not touch CT"):
        roi_box(region(scene, centre + 200, (5.0, 5.0, 5.0), np.eye(3)), volume)
    with pytest.raises(InputError, match=r"0.4 × 0.4 × 0.4 mm, is smaller than a voxel of CT; make it larger"):
        roi_box(region(scene, centre, (0.4, 0.4, 0.4), np.eye(3)), volume)
    bent = region(scene, centre, (5.0, 5.0, 5.0), np.eye(3))
    bent.SetAndObserveTransformNodeID(scene.warp().GetID())
    with pytest.raises(InputError, match=r"Region and CT .*Warp; put Region under the transform of CT"):
        roi_box(bent, volume)
    sheared = region(scene, centre, (5.0, 5.0, 5.0), oblique())
    sheared.SetAndObserveTransformNodeID(scene.linear(np.diag([1.0, 1.0, 1.5, 1.0])).GetID())
    sheared.SetCenterWorld(*centre)
    with pytest.raises(InputError, match="without right angles"):
        roi_box(sheared, volume)
