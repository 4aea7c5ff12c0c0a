"""A real MRML scene with scan, segmentation and attention, as in Slicer.

Points are millimetres (x, y, z) in Slicer's world, RAS: x grows to the patient's right, y to the front, z to the head.
Voxel arrays are (z, y, x).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkCollection
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.io.slicer_nrrd import PROVENANCE_KEY
from Demo.attention import LEGEND_TITLE
from Demo.colours import add_zoom_colours

SOFT_TISSUE = (400.0, 40.0)  # window and level in HU for the pelvis
LEGEND_SIZE = (0.10, 0.5)  # height and width as shares of the view
HIDDEN = -10000.0
ALIKE = 0.02  # share of the span of the rates below which effective dilations are all alike


@dataclass(frozen=True)
class Scene:
    """The scene and the logics that fill it, without drawing."""

    mrml: Any  # vtkMRMLScene
    application: Any  # vtkSlicerApplicationLogic
    volumes: Any  # vtkSlicerVolumesLogic
    segmentations: Any  # vtkSlicerSegmentationsModuleLogic


def new_scene() -> Scene:
    """An empty scene with support for volumes, segmentations, colour legends and radiological slice orientations."""
    mrml = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(mrml)

    mrml.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    application.GetColorLogic().SetMRMLScene(mrml)
    application.SetModuleLogic("Colors", application.GetColorLogic())
    application.SetSliceLogics(vtkCollection())  # views register themselves here, and colour legends look them up
    application.SetViewLogics(vtkCollection())

    def register(logic: Any, name: str) -> Any:
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(mrml)
        application.SetModuleLogic(name, logic)  # which does not keep it alive
        return logic

    volumes = register(slicer.vtkSlicerVolumesLogic(), "Volumes")
    segmentations = register(slicer.vtkSlicerSegmentationsModuleLogic(), "Segmentations")
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(mrml, True)  # the patient's right is the screen's left
    return Scene(mrml, application, volumes, segmentations)


def load_scan(scene: Scene, path: Path, *, name: str, window_level: tuple[float, float] | None = SOFT_TISSUE) -> Any:
    """Load a volume file as a scalar volume node; with `window_level` None, Slicer chooses it, as for MR."""
    node = _load_volume(scene, path, name)
    if window_level is not None:
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(*window_level)
    return node


def load_segmentation(scene: Scene, path: Path, *, name: str, scan: Any) -> Any:
    """Load a `.seg.nrrd` as a segmentation node in the scan's geometry: filled, outlined, with smooth surfaces."""
    node = scene.segmentations.LoadSegmentationFromFile(str(path), True, name)
    if node is None or node.GetSegmentation().GetNumberOfSegments() == 0:
        raise InputError(f"{path} holds no segment that Slicer can read", "write it again with: autofocus segment")
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    node.GetSegmentation().SetConversionParameter("Smoothing factor", "0.5")
    node.CreateClosedSurfaceRepresentation()
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D("Closed surface")
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetAllSegmentsOpacity2DFill(0.45)
    display.SetAllSegmentsOpacity3D(1.0)
    display.SetSliceIntersectionThickness(2)
    display.SetAmbient(0.15)
    display.SetDiffuse(0.92)
    display.SetSpecular(0.12)
    display.SetPower(12)
    place_beside(scene, node, scan)
    return node


def load_effective_dilation(
    scene: Scene,
    path: Path,
    *,
    name: str,
    scan: Any,
    rates_mm: Sequence[float],
    inside: NDArray[np.bool_] | None = None,
    legend_title: str = LEGEND_TITLE,
) -> Any:
    """The effective dilation of one layer, or the reach (scalar volumes in mm), as an overlay with a colour legend.

    Args:
        scene: the scene for the node.
        path: the volume's file.
        name: name of the node.
        scan: the volume node below the overlay.
        rates_mm: the layer's dilation rates in mm, or the limits of the reach. The colours run over what occurs in the
            voxels that are shown, see :func:`range_of`.
        inside: the voxels to show, (z, y, x) on the file's grid; None: all.
        legend_title: title of the colour legend.
    """
    node = _load_volume(scene, path, name)
    low, high = range_of(voxels(node) if inside is None else voxels(node)[inside], rates_mm)
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(add_zoom_colours(scene.mrml).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    if inside is not None:
        _hide(node, ~inside, below=min(rates_mm) - 1.0)
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(legend_title)
    legend.SetNumberOfLabels(4)
    legend.SetLabelFormat("%.0f" if high - low > 6 else "%.1f")
    legend.SetOrientation(legend.Horizontal)
    legend.SetSize(*LEGEND_SIZE)
    legend.SetPosition(0.5, 0.02)
    legend.GetLabelTextProperty().SetFontFamilyToArial()
    place_beside(scene, node, scan)
    return node


def range_of(values: NDArray[Any], rates_mm: Sequence[float]) -> tuple[float, float]:
    """Ends of the colours in mm: the 2nd and 98th percentile, or the smallest and largest rate where all is alike."""
    least, most = min(rates_mm), max(rates_mm)
    if values.size:
        low, high = np.percentile(values, [2, 98])
        if high - low > ALIKE * (most - least):
            return float(low), float(high)
    return least, most


def _hide(volume: Any, where: NDArray[np.bool_], *, below: float) -> None:
    """Make voxels transparent: their values are so low that no interpolation with a neighbour passes the threshold."""
    voxels(volume)[where] = HIDDEN
    volume.GetImageData().Modified()
    display = volume.GetDisplayNode()
    display.SetAutoThreshold(False)
    display.SetThreshold(below, -HIDDEN)
    display.SetApplyThreshold(True)


def note_provenance(scene: Scene, segmentation: Path, *, scan: Any) -> Any:
    """Provenance of the segmentation, from its file's header, as a text node; None if the header has none."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(segmentation))
    reader.ReadImageInformation()
    if not reader.HasMetaDataKey(PROVENANCE_KEY):
        return None
    node = scene.mrml.AddNewNodeByClass("vtkMRMLTextNode", "Provenance")
    node.SetText(json.dumps(json.loads(reader.GetMetaData(PROVENANCE_KEY)), indent=2, ensure_ascii=False))
    place_beside(scene, node, scan)
    return node


def segment_names_and_colours(segmentation: Any) -> list[tuple[str, tuple[int, int, int]]]:
    """Name and colour (0 to 255) of every segment, in their order."""
    segments = segmentation.GetSegmentation()
    found = (segments.GetNthSegment(index) for index in range(segments.GetNumberOfSegments()))
    return [(segment.GetName(), tuple(round(255 * part) for part in segment.GetColor())) for segment in found]


def segment_points(segmentation: Any) -> list[NDArray[np.float64]]:
    """Positions of the voxels of each segment, (n, 3), in RAS."""
    segments = segmentation.GetSegmentation()
    points = []
    for index in range(segments.GetNumberOfSegments()):
        name = segments.GetNthSegmentID(index)
        labelmap = segmentation.GetBinaryLabelmapInternalRepresentation(name)
        x0, _, y0, _, z0, _ = labelmap.GetExtent()
        found = np.argwhere(_image_array(labelmap) == segments.GetSegment(name).GetLabelValue())
        matrix = vtkMatrix4x4()
        labelmap.GetImageToWorldMatrix(matrix)
        points.append(_transformed(found[:, ::-1] + (x0, y0, z0), _as_array(matrix)))
    return points


def place_beside(scene: Scene, node: Any, scan: Any) -> None:
    """Put `node` under the scan's transform, and beside the scan in the subject hierarchy."""
    if node.IsA("vtkMRMLTransformableNode"):
        node.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene.mrml)
    item = hierarchy.GetItemByDataNode(scan) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), scan)
    hierarchy.CreateItem(hierarchy.GetItemParent(item), node)


def voxels(volume: Any) -> NDArray[Any]:
    """The voxels of a scalar volume node (z, y, x), not copied."""
    return _image_array(volume.GetImageData())


def ijk_to_ras(volume: Any) -> NDArray[np.float64]:
    """The 4 × 4 matrix from voxel indices (i, j, k), that is (x, y, z), to RAS in mm."""
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return _as_array(matrix)


def save(scene: Scene, path: Path) -> None:
    """Save the whole scene as one `.mrb` file, which Slicer opens."""
    path = path.absolute()  # Slicer fails to bundle into a relative path
    aside = path.with_name(path.stem + ".part.mrb")
    try:
        if not scene.mrml.WriteToMRB(str(aside)) or not aside.is_file():
            raise OutputError(f"The scene could not be written to {path}", "check the free space and the rights there")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _load_volume(scene: Scene, path: Path, name: str) -> Any:
    node = scene.volumes.AddArchetypeVolume(str(path), name)
    if node is None or node.GetImageData() is None:
        raise InputError(f"Slicer cannot read {path}", "convert it to .nii.gz, .nrrd or .mha")
    node.GetDisplayNode().SetInterpolate(True)
    return node


def _image_array(image: Any) -> NDArray[Any]:
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _as_array(matrix: vtkMatrix4x4) -> NDArray[np.float64]:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _transformed(points: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
