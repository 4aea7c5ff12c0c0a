"""A real scene from slicer-core, and volumes at places that are hard to get right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "AutofocusSegmentation"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

if importlib.util.find_spec("slicer") is None:
    collect_ignore_glob = ["test_*.py"]  # the scene needs slicer-core

LEFT = {"scheme": "SCT", "value": "7771000", "meaning": "Left"}
STRUCTURES = [
    {
        "label": label,
        "name": name,
        "color": color,
        "category": {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"},
        "type": {"scheme": "SCT", "value": value, "meaning": meaning},
        "modifier": modifier,
        "region": None,
        "region_modifier": None,
    }
    for label, name, color, value, meaning, modifier in [
        (1, "Prostate", [230, 158, 140], "41216001", "Prostate", None),
        (3, "Bladder", [250, 210, 60], "89837001", "Bladder", None),
        (
            5,
            "Left femur",
            [80, 150, 240],
            "71341001",
            "Femur",
            {"scheme": "SCT", "value": "7771000", "meaning": "Left"},
        ),
    ]
]
SHAPE = (11, 13, 17)  # (z, y, x)
GEOMETRIES = {
    "straight": ((1.0, 1.0, 1.0), np.eye(3)),
    "anisotropic": ((0.5, 0.7, 3.0), np.eye(3)),
    "flipped": ((1.0, 2.0, 1.5), np.diag([-1.0, 1.0, -1.0])),
    "left-handed": ((1.0, 2.0, 1.5), np.diag([1.0, 1.0, -1.0])),
    "permuted": ((1.0, 2.0, 1.5), np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])),
    "oblique": ((0.8, 1.1, 2.5), None),  # turned about two axes
}


def oblique() -> np.ndarray:
    """A rotation by 20 degrees about z, then 35 about x."""
    a, b = np.radians(20), np.radians(35)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_x @ about_z


def index_to_ras(name: str) -> np.ndarray:
    """The 4 × 4 matrix of one of GEOMETRIES, with an origin off zero."""
    spacing, direction = GEOMETRIES[name]
    matrix = np.eye(4)
    matrix[:3, :3] = (oblique() if direction is None else direction) * np.asarray(spacing)
    matrix[:3, 3] = (-31.0, 17.5, 240.25)
    return matrix


class SceneMaker:
    """A scene with the logics that the application has, and short ways to fill it."""

    def __init__(self) -> None:
        import slicer
        from vtkmodules.vtkCommonCore import vtkCollection

        self.mrml = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.mrml)
        self.application.SetSliceLogics(vtkCollection())
        self.application.SetViewLogics(vtkCollection())
        self.mrml.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        self.application.GetColorLogic().SetMRMLScene(self.mrml)
        self.application.SetModuleLogic("Colors", self.application.GetColorLogic())
        self.logics = {}
        for name, logic in {
            "Volumes": slicer.vtkSlicerVolumesLogic(),
            "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
            "Markups": slicer.vtkSlicerMarkupsLogic(),
            "Sequences": slicer.vtkSlicerSequencesLogic(),
            "VolumeRendering": slicer.vtkSlicerVolumeRenderingLogic(),
        }.items():
            logic.SetMRMLApplicationLogic(self.application)
            logic.SetMRMLScene(self.mrml)
            self.application.SetModuleLogic(name, logic)
            self.logics[name] = logic

    def volume(
        self,
        geometry: str = "oblique",
        *,
        array: np.ndarray | None = None,
        name: str = "CT",
        node_class: str = "vtkMRMLScalarVolumeNode",
    ) -> Any:
        """A volume node; its voxels, unless given, are noise (seeded) of 16 bits."""
        from AutofocusSegmentationLib.scene.placing import as_vtk
        from vtkmodules.util.numpy_support import numpy_to_vtk
        from vtkmodules.vtkCommonDataModel import vtkImageData

        if array is None:
            array = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
        image = vtkImageData()
        image.SetDimensions(array.shape[2::-1])
        image.GetPointData().SetScalars(numpy_to_vtk(array.reshape(-1, *array.shape[3:]), deep=True))
        node = self.mrml.AddNewNodeByClass(node_class, name)
        node.SetIJKToRASMatrix(as_vtk(index_to_ras(geometry)))
        node.SetAndObserveImageData(image)
        node.CreateDefaultDisplayNodes()
        return node

    def linear(self, matrix: np.ndarray, *, name: str = "Shift", parent: Any = None) -> Any:
        """A linear transform node with this matrix to its parent."""
        from AutofocusSegmentationLib.scene.placing import as_vtk

        node = self.mrml.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        node.SetMatrixTransformToParent(as_vtk(matrix))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    def warp(self, *, name: str = "Warp") -> Any:
        """A non-linear transform node: a displacement that grows with the square of the place, some mm."""
        from vtkmodules.vtkCommonCore import vtkPoints
        from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform

        source, target = vtkPoints(), vtkPoints()
        for x in (-60.0, 0.0, 60.0):
            for y in (-30.0, 20.0, 70.0):
                for z in (200.0, 250.0, 300.0):
                    source.InsertNextPoint(x, y, z)
                    target.InsertNextPoint(x + 0.001 * y * y, y + 5 * np.sin(x / 40), z + 0.0005 * x * y)
        spline = vtkThinPlateSplineTransform()
        spline.SetBasisToR()
        spline.SetSourceLandmarks(source)
        spline.SetTargetLandmarks(target)
        node = self.mrml.AddNewNodeByClass("vtkMRMLTransformNode", name)
        node.SetAndObserveTransformToParent(spline)
        return node

    def unpack_into(self, folder: Path) -> None:
        """Where bundles, and those within bundles (sequences of segmentations), are unpacked for reading."""
        import slicer

        folder.mkdir()
        self._remote = slicer.vtkMRMLRemoteIOLogic()
        self._remote.GetCacheManager().SetRemoteCacheDirectory(str(folder))
        self._remote.SetMRMLScene(self.mrml)
        self._remote.AddDataIOToScene()

    def reopened(self, folder: Path) -> SceneMaker:
        """This scene, saved as `.mrb` and opened again in a new one."""
        path = folder / "scene.mrb"
        again = SceneMaker()
        again.unpack_into(folder / "unpacked")
        assert self.mrml.WriteToMRB(str(path))
        assert again.mrml.ReadFromMRB(str(path))
        return again

    def node(self, name: str) -> Any:
        """The node of this name."""
        found = self.mrml.GetFirstNodeByName(name)
        assert found is not None, name
        return found


@pytest.fixture
def scene() -> SceneMaker:
    return SceneMaker()


def world_of_voxel(volume: Any, index: tuple[float, float, float]) -> np.ndarray:
    """Where the voxel (i, j, k) of a volume node is in the world, RAS mm, all transforms applied."""
    from AutofocusSegmentationLib.scene.placing import as_array
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return to_world(volume, (as_array(matrix) @ [*index, 1.0])[:3])


def to_world(node: Any, local: Any) -> np.ndarray:
    """A point of a transformable node's local coordinates in the world."""
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld([float(value) for value in local], world)
    return np.array(world)
