"""The 3-D views show what has just been shown, as large as it fits."""

from __future__ import annotations

import numpy as np
from AutofocusSegmentationLib.scene.cameras import look_at
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker, world_of_voxel


def test_the_camera_moves_to_the_structures_and_keeps_its_direction(scene: SceneMaker) -> None:
    camera = scene.mrml.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetPosition(0.0, 500.0, 0.0)
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    volume = scene.volume()
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    node = add_segmentation(volume, labels, snapshot(volume).index_to_lps, STRUCTURES, name="Pelvis")
    node.CreateClosedSurfaceRepresentation()
    look_at(node)
    middle = world_of_voxel(volume, (4, 4, 4))
    np.testing.assert_allclose(camera.GetFocalPoint(), middle, atol=0.5)
    np.testing.assert_allclose(camera.GetCamera().GetDirectionOfProjection(), (0, -1, 0), atol=1e-9)
    distance = np.linalg.norm(np.subtract(camera.GetPosition(), camera.GetFocalPoint()))
    seen = 2 * distance * np.sin(np.radians(camera.GetViewAngle() / 2))
    assert 3 < seen < 16, "mm; the structure's three voxels, not the whole scan"


def test_an_empty_result_leaves_the_camera_where_it_is(scene: SceneMaker) -> None:
    camera = scene.mrml.AddNewNodeByClass("vtkMRMLCameraNode")
    before = camera.GetPosition()
    look_at(scene.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert camera.GetPosition() == before
