"""The 3-D views show what has just been shown, as large as it fits."""

from __future__ import annotations

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.cameras import look_at
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker


def test_the_camera_moves_to_the_structures_and_keeps_its_direction(scene: SceneMaker) -> None:
    camera = scene.mrml.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetPosition(0.0, 500.0, 0.0)
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    volume = scene.volume()
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    node = add_segmentation(volume, labels, snapshot(volume).index_to_lps, STRUCTURES, name="Pelvis")
    look_at(node)
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    np.testing.assert_allclose(camera.GetFocalPoint(), (low + high) / 2)
    np.testing.assert_allclose(camera.GetCamera().GetDirectionOfProjection(), (0, -1, 0), atol=1e-9)
    distance = np.linalg.norm(np.subtract(camera.GetPosition(), camera.GetFocalPoint()))
    seen = 2 * distance * np.sin(np.radians(camera.GetViewAngle() / 2))
    assert seen == pytest.approx(np.linalg.norm(high - low))


def test_an_empty_result_leaves_the_camera_where_it_is(scene: SceneMaker) -> None:
    camera = scene.mrml.AddNewNodeByClass("vtkMRMLCameraNode")
    before = camera.GetPosition()
    look_at(scene.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert camera.GetPosition() == before
