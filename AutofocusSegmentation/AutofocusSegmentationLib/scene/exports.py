"""A segmentation as files that other programs read. Each file has its name only when all of it is there.

`.seg.nrrd` and `.nii.gz` hold voxels on the grid of the volume that was segmented, in its own coordinates, like the
volume's file. Surfaces, `.stl` and `.obj`, are in mm, LPS, of the world, where all transforms have been applied.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkIntArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkFiltersCore import vtkTriangleFilter
from vtkmodules.vtkIOGeometry import vtkSTLWriter

from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.outputs import check_sidecar, sidecar_path
from AutofocusCore.io.results import write_image
from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS, as_array
from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml

STL_HEADER = "AutofocusSegmentation. SPACE=LPS"  # Slicer looks for the last word


def export(node: Any, path: str | os.PathLike[str], extension: str) -> list[Path]:
    """Write a segmentation node.

    Args:
        node: the segmentation.
        path: the file; for ".stl" the folder, into which every segment goes as a file of its own.
        extension: ".seg.nrrd", ".nii.gz", ".stl" or ".obj"; added to the file's name if it has another.

    Returns:
        The files that were written.

    Raises:
        InputError: no segment has a voxel.
        OutputError: another extension, a .json of others that the sidecar would replace, or the file system refused.
    """
    writers: dict[str, Callable[[Any, Path, list[str], Staging], None]] = {
        ".seg.nrrd": _write_seg_nrrd,
        ".nii.gz": _write_labelmap,
        ".stl": _write_stl,
        ".obj": _write_obj,
    }
    if extension not in writers:
        raise OutputError(f"{extension} is no format for a segmentation", f"use one of {', '.join(writers)}")
    filled = [key for key, volume in volumes_ml(node).items() if volume > 0]
    if not filled:
        raise InputError(f"{node.GetName()} is empty, there is nothing to export", "segment a volume first")
    path = Path(path)
    if extension != ".stl" and not path.name.lower().endswith(extension):
        path = path.with_name(path.name + extension)
    folder = path if extension == ".stl" else path.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist", "make it, or choose another one")
    with Staging() as staging:
        writers[extension](node, path, filled, staging)
    return staging.finals


def label_values(node: Any) -> dict[str, int]:
    """The value that each segment gets in one labelmap for all: its own, or a free one where two have the same."""
    segmentation = node.GetSegmentation()
    values: dict[str, int] = {}
    for key in segmentation.GetSegmentIDs():
        value = int(segmentation.GetSegment(key).GetLabelValue())
        values[key] = value if value not in values.values() else -1
    for key, value in values.items():
        if value < 0:
            values[key] = max(values.values()) + 1
    return values


def merged_labels(node: Any, values: dict[str, int]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """All segments in one labelmap on the grid of the scan; where segments overlap, the later one has the voxel.

    Args:
        node: the segmentation.
        values: of each segment, by its id.

    Returns:
        The labels (z, y, x), a copy, and the 4 × 4 matrix from (i, j, k, 1) to mm, LPS, in the scan's own coordinates.
    """
    keys, numbers = vtkStringArray(), vtkIntArray()
    for key, value in values.items():
        keys.InsertNextValue(key)
        numbers.InsertNextValue(value)
    merged = slicer.vtkOrientedImageData()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    logic.GenerateMergedLabelmapInReferenceGeometry(node, reference, keys, extent, merged, numbers)
    matrix = vtkMatrix4x4()
    merged.GetImageToWorldMatrix(matrix)
    index_to_lps = RAS_TO_LPS @ as_array(matrix)
    index_to_lps[:, 3] = index_to_lps @ np.array([*merged.GetExtent()[::2], 1.0])
    return vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(merged.GetDimensions()[::-1]), index_to_lps


def _write_seg_nrrd(node: Any, path: Path, filled: list[str], staging: Staging) -> None:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    part = staging.aside(path)
    storage.SetFileName(str(part))
    if not storage.WriteData(node) or not part.is_file():
        raise _not_written(path)


def _write_labelmap(node: Any, path: Path, filled: list[str], staging: Staging) -> None:
    """One labelmap of all segments; where segments overlap, the later one has the voxel."""
    check_sidecar(path)
    values = label_values(node)
    write_image(staging.aside(path), _as_image(*merged_labels(node, values)))
    sidecar = sidecar_path(path)
    assert sidecar is not None
    segmentation = node.GetSegmentation()
    entries = [
        {
            "label": value,
            "name": segmentation.GetSegment(key).GetName(),
            "color": [round(255 * channel) for channel in segmentation.GetSegment(key).GetColor()],
        }
        for key, value in values.items()
    ]
    text = json.dumps({"structures": entries}, indent=2, ensure_ascii=False) + "\n"
    staging.aside(sidecar).write_text(text, encoding="utf-8", newline="")


def _write_stl(node: Any, path: Path, filled: list[str], staging: Staging) -> None:
    taken: set[str] = set()
    for key in filled:
        name = _file_name(node, key, taken)
        part = staging.aside(path / f"{name}.stl")
        triangles = vtkTriangleFilter()
        triangles.SetInputData(_surface(node, key))
        writer = vtkSTLWriter()
        writer.SetInputConnection(triangles.GetOutputPort())
        writer.SetFileTypeToBinary()
        writer.SetHeader(STL_HEADER)
        writer.SetFileName(str(part))
        if not writer.Write() or not part.is_file():
            raise _not_written(path / f"{name}.stl")


def _write_obj(node: Any, path: Path, filled: list[str], staging: Staging) -> None:
    """One file of all surfaces, each a named group with a material of its segment's colour in a file beside it."""
    materials = path.with_suffix(".mtl")
    lines, colours, first, taken = [f"mtllib {materials.name}"], [], 1, set[str]()
    for key in filled:
        surface = _surface(node, key)
        points = vtk_to_numpy(surface.GetPoints().GetData())
        corners = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3) + first
        name = _file_name(node, key, taken).replace(" ", "_")
        lines += [f"o {name}", f"usemtl {name}"]
        lines += ["v {:.5f} {:.5f} {:.5f}".format(*point) for point in points.tolist()]
        lines += ["f {} {} {}".format(*face) for face in corners.tolist()]
        colours += [
            f"newmtl {name}",
            "Kd {:.4f} {:.4f} {:.4f}".format(*node.GetSegmentation().GetSegment(key).GetColor()),
        ]
        first += len(points)
    staging.aside(path).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    staging.aside(materials).write_text("\n".join(colours) + "\n", encoding="utf-8", newline="")


def _surface(node: Any, key: str) -> Any:
    """The triangles of a segment's surface in mm, LPS, of the world."""
    surface = vtkPolyData()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    name = node.GetSegmentation().GetSegment(key).GetName()
    if not logic.GetSegmentClosedSurfaceRepresentation(node, key, surface, True) or not surface.GetNumberOfPolys():
        raise OutputError(f"{name} has no surface", "export the voxels, as .seg.nrrd or .nii.gz")
    triangles = vtkTriangleFilter()
    triangles.SetInputData(surface)
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    triangles.Update()
    result = vtkPolyData()
    result.DeepCopy(triangles.GetOutput())
    points = vtk_to_numpy(result.GetPoints().GetData())
    points[:, :2] *= -1
    return result


def _as_image(values: NDArray[Any], index_to_lps: NDArray[np.float64]) -> sitk.Image:
    """Labels as an image of the same place."""
    image = sitk.GetImageFromArray(values)
    spacing = np.linalg.norm(index_to_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((index_to_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(index_to_lps[:3, 3].tolist())
    return image


def _file_name(node: Any, key: str, taken: set[str]) -> str:
    """A unique file name for a segment, valid on every file system."""
    name = re.sub(r"[^\w .+-]", "_", node.GetSegmentation().GetSegment(key).GetName()).strip(" .") or key
    while name.lower() in taken:
        name += "_"
    taken.add(name.lower())
    return name


def _not_written(path: Path) -> OutputError:
    return OutputError(f"{path} was not written", "check the free space and the rights there")
