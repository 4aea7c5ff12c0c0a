"""A labelmap as a segmentation node: named, coloured, coded segments that lie where the volume lies.

All segments share one labelmap, whose voxels are the array that came from the worker: nothing is copied, whatever the
number of segments. A segment of ours says in a tag which structure it was made for:

    Segment_3   name "Bladder"   label value 3   tag AutofocusSegmentation.Structure = "Bladder"

so that a later run replaces it, and leaves alone what the user has added, or has renamed in order to keep it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import reference as by_reference
from vtkmodules.vtkImagingStatistics import vtkImageHistogram

from AutofocusCore.errors import InputError
from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS, as_vtk, place_beside
from AutofocusSegmentationLib.scene.terminology import set_terminology

STRUCTURE_TAG = "AutofocusSegmentation.Structure"
LABELMAP = "Binary labelmap"
FILL_OPACITY = 0.45  # the scan is seen beneath
SMOOTHING = "0.5"  # of surfaces


def add_segmentation(
    reference: Any,
    labels: NDArray[np.uint8],
    index_to_lps: ArrayLike,
    structures: Sequence[Mapping[str, Any]],
    *,
    name: str,
    replace: Any = None,
) -> Any:
    """Make, or update, the segmentation of a volume.

    Args:
        reference: the volume node; the segmentation comes under its parent transform and beside it in the subject
            hierarchy, and takes its grid.
        labels: (z, y, x); the segmentation keeps this very array, which must not be changed afterwards.
        index_to_lps: 4 × 4, from (i, j, k, 1) to mm, LPS, in the reference's local coordinates.
        structures: what the label values mean: "label", "name", "color" (0 to 255) and the codes of `terminology.py`.
            One without a voxel gets an empty segment.
        name: of a new node.
        replace: the segmentation node to update. It stays the same node, its segments of these structures or of an
            earlier run get the new voxels and keep colour and visibility, and the user's own segments stay as they are.
            Surfaces are removed; make them again where they were shown.

    Raises:
        InputError: the labels are no 8-bit volume.
    """
    labelmap = _labelmap(labels, index_to_lps)
    scene = reference.GetScene()
    scene.SaveStateForUndo()  # which does nothing where the application has switched undo off
    if replace is None:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.SetUndoEnabled(True)
    else:
        node = replace
    modified = node.StartModify()
    try:
        place_beside(node, reference)
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        segmentation = node.GetSegmentation()
        if replace is None:
            segmentation.SetConversionParameter("Smoothing factor", SMOOTHING)
        node.CreateDefaultDisplayNodes()
        _fill(node, labelmap, structures)
        if replace is None:
            show_segments(node)
    finally:
        node.EndModify(modified)
    return node


def fill_segmentation(
    node: Any, labels: NDArray[np.uint8], index_to_lps: ArrayLike, structures: Sequence[Mapping[str, Any]]
) -> None:
    """Give a segmentation node, which need not be in a scene, the segments alone; arguments as above."""
    _fill(node, _labelmap(labels, index_to_lps), structures)


def our_segments(node: Any) -> dict[str, str]:
    """Id and structure of the segments made by a run and not renamed since, in their order."""
    segmentation = node.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        structure = by_reference("")
        if segment.GetTag(STRUCTURE_TAG, structure) and str(structure) == segment.GetName():
            found[segmentation.GetNthSegmentID(index)] = str(structure)
    return found


def volumes_ml(node: Any) -> dict[str, float]:
    """The volume of every segment in mL, by its id, counted in voxels of its labelmap (50 ms for 512 × 512 × 200).

    The parent transform is left out, as in Slicer's own statistics of a segmentation on its grid.
    """
    segmentation = node.GetSegmentation()
    counts: dict[int, tuple[NDArray[np.int64], float]] = {}
    volumes = {}
    for index in range(segmentation.GetNumberOfSegments()):
        name, segment = segmentation.GetNthSegmentID(index), segmentation.GetNthSegment(index)
        image = segment.GetRepresentation(LABELMAP)
        scalars = None if image is None else image.GetPointData().GetScalars()
        if scalars is None or scalars.GetNumberOfTuples() == 0:
            volumes[name] = 0.0
            continue
        layer = id(image)  # VTK hands out one Python object as long as this one lives, and `counts` is local
        if layer not in counts:
            counts[layer] = (_count(image), float(np.prod(np.abs(image.GetSpacing()))))
        numbers, voxel_mm3 = counts[layer]
        value = int(segment.GetLabelValue())
        volumes[name] = float(numbers[value]) * voxel_mm3 / 1000 if value < len(numbers) else 0.0
    return volumes


def _count(image: Any) -> NDArray[np.int64]:
    """How often each label value occurs; by VTK, on all processors; numpy would take a third of a second."""
    histogram = vtkImageHistogram()
    histogram.SetInputData(image)
    histogram.AutomaticBinningOff()
    histogram.SetBinOrigin(0)
    histogram.SetBinSpacing(1)
    histogram.SetNumberOfBins(256 if image.GetScalarSize() == 1 else max(0, int(image.GetScalarRange()[1])) + 1)
    histogram.Update()
    return vtk_to_numpy(histogram.GetHistogram()).astype(np.int64)


def _labelmap(labels: NDArray[np.uint8], index_to_lps: ArrayLike) -> Any:
    """The labels as vtkOrientedImageData, in the memory that they have."""
    labels = np.require(labels, requirements=["C", "W"])  # the segment editor will write into it
    if labels.dtype != np.uint8 or labels.ndim != 3:
        raise InputError(f"The labels are {labels.ndim}-D of {labels.dtype}", "give a volume of 8-bit labels")
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(labels.shape[::-1])
    scalars = numpy_to_vtk(labels.reshape(-1), deep=False)  # which keeps the array
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(as_vtk(RAS_TO_LPS @ np.asarray(index_to_lps, dtype=np.float64)))
    return image


def _fill(node: Any, labelmap: Any, structures: Sequence[Mapping[str, Any]]) -> None:
    """Give every structure its segment with these voxels; take away those of earlier runs that are no more."""
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != LABELMAP:
        node.CreateBinaryLabelmapRepresentation()  # the user has made the surfaces the source
    segmentation.SetSourceRepresentationName(LABELMAP)
    segmentation.InvalidateNonSourceRepresentations()
    names = [str(structure["name"]) for structure in structures]
    old = _segments_to_replace(node, names)
    for key in _sharing_with(segmentation, set(old.values())):
        segmentation.SeparateSegmentLabelmap(key)  # so that the user's own segment keeps its voxels
    for name, key in old.items():
        segment = segmentation.GetSegment(key)
        if name in names:
            segment.AddRepresentation(LABELMAP, labelmap)
        else:
            segment.AddRepresentation(LABELMAP, slicer.vtkOrientedImageData())  # else all voxels are copied once more
            segmentation.RemoveSegment(key)
    for name, structure in zip(names, structures, strict=True):
        new = name not in old
        segment = slicer.vtkSegment() if new else segmentation.GetSegment(old[name])
        segment.SetLabelValue(int(structure["label"]))
        segment.SetName(name)
        segment.SetNameAutoGenerated(False)
        segment.SetTag(STRUCTURE_TAG, name)
        set_terminology(segment, structure)
        if new:
            segment.SetColor(*(channel / 255 for channel in structure["color"]))
            segment.SetColorAutoGenerated(False)
            segment.AddRepresentation(LABELMAP, labelmap)
            segmentation.AddSegment(segment, _free_id(segmentation, f"Segment_{structure['label']}"))


def _segments_to_replace(node: Any, names: Sequence[str]) -> dict[str, str]:
    """Id by name of the segments of an earlier run and of those that are called like one of the structures."""
    old = {name: key for key, name in our_segments(node).items()}
    segmentation = node.GetSegmentation()
    for name in names:
        key = old.get(name) or segmentation.GetSegmentIdBySegmentName(name)
        if key and segmentation.GetSegment(key).GetName() == name:  # the search looks away from capitals
            old[name] = key
    return old


def _sharing_with(segmentation: Any, keys: set[str]) -> list[str]:
    """The segments whose voxels are in one labelmap with those of `keys`."""
    images = [segmentation.GetSegment(key).GetRepresentation(LABELMAP) for key in keys]
    others = [key for key in segmentation.GetSegmentIDs() if key not in keys]
    return [key for key in others if any(segmentation.GetSegment(key).GetRepresentation(LABELMAP) is i for i in images)]


def _free_id(segmentation: Any, wanted: str) -> str:
    """The id itself, unless a segment of the user's has it."""
    taken, free, number = set(segmentation.GetSegmentIDs()), wanted, 1
    while free in taken:
        number += 1
        free = f"{wanted}_{number}"
    return free


def show_segments(node: Any) -> None:
    """Filled lightly and outlined in slices."""
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName2D(LABELMAP)
    display.SetPreferredDisplayRepresentationName3D("Closed surface")
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DFill(FILL_OPACITY)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(2)
