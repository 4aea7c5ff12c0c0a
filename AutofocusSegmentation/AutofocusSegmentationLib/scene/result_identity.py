"""Whose result a segmentation is: of which scan, by which model, and whether somebody has edited it since.

Attributes of a segmentation node that a run has made:

    AutofocusSegmentation.Model     name and checksum of the model
    AutofocusSegmentation.Content   checksum of its segments as the run made them
    AutofocusSegmentation.Made      seconds since 1970, by which the newest is found
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from AutofocusSegmentationLib.scene.frames import segmentation_frames
from AutofocusSegmentationLib.scene.placing import place_beside
from AutofocusSegmentationLib.scene.segmentation_node import LABELMAP

MODEL, CONTENT, MADE = (f"AutofocusSegmentation.{name}" for name in ("Model", "Content", "Made"))


def model_identity(model: Mapping[str, Any]) -> str:
    """Name and identity of a model, from its description or from the record of a run."""
    return f"{model.get('name')} {model.get('identity') or model.get('sha256')}"


def mark_result(segmentation: Any, model: Mapping[str, Any]) -> None:
    """Note that a run has just made this segmentation."""
    marks = {MODEL: model_identity(model), CONTENT: content_of(segmentation), MADE: repr(time.time())}
    for node in [segmentation, *segmentation_frames(segmentation)]:  # playing copies the attributes of a frame
        for name, value in marks.items():
            node.SetAttribute(name, value)


def scan_of(segmentation: Any) -> Any:
    """The volume that was segmented; None where it is unknown or gone."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def is_result_of(segmentation: Any, scan: Any, model: Mapping[str, Any]) -> bool:
    """Whether a run of this very model on this scan has made the segmentation."""
    return scan_of(segmentation) is scan and segmentation.GetAttribute(MODEL) == model_identity(model)


def is_edited(segmentation: Any) -> bool:
    """Whether the segments are no longer as the run made them; True for what no run has made."""
    return segmentation.GetAttribute(CONTENT) != content_of(segmentation)


def newest_result(scan: Any) -> Any:
    """The segmentation that a run made last of a scan; None where there is none."""
    if scan is None or scan.GetScene() is None:
        return None
    nodes = scan.GetScene().GetNodesByClass("vtkMRMLSegmentationNode")
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    ours = [node for node in found if node.GetAttribute(MADE) and scan_of(node) is scan]
    return max(ours, key=lambda node: float(node.GetAttribute(MADE)), default=None)


def keep_copy(segmentation: Any) -> Any:
    """A copy of a segmentation beside it, which no run will touch."""
    scene = segmentation.GetScene()
    name = scene.GenerateUniqueName(f"{segmentation.GetName()} (kept)")
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    copy.GetSegmentation().DeepCopy(segmentation.GetSegmentation())
    copy.CreateDefaultDisplayNodes()
    if segmentation.GetDisplayNode() is not None:
        copy.GetDisplayNode().CopyContent(segmentation.GetDisplayNode())
    copy.SetDisplayVisibility(False)  # else the copy would lie over the new result
    scan = scan_of(segmentation)
    if scan is not None:
        copy.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    place_beside(copy, segmentation)
    return copy


def content_of(segmentation: Any) -> str:
    """Checksum of names and voxels of all segments, of every frame.

    Colours and visibility do not count, nor does how far the labelmap extends beyond its voxels, which changes when a
    scene is saved.
    """
    digest = hashlib.blake2b(digest_size=16)
    for node in segmentation_frames(segmentation):
        for part in _parts(node.GetSegmentation()):
            digest.update(part)
    return digest.hexdigest()


def _parts(segmentation: Any) -> Iterator[bytes]:
    cropped: dict[int, tuple[Any, tuple[int, ...]]] = {}
    for key in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(key)
        yield segment.GetName().encode()
        image = segment.GetRepresentation(LABELMAP)
        scalars = None if image is None else image.GetPointData().GetScalars()
        if scalars is None or scalars.GetNumberOfTuples() == 0:
            continue
        if id(image) not in cropped:  # VTK hands out one Python object as long as the segment lives
            cropped[id(image)] = _box(vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]), image)
        values, _ = cropped[id(image)]
        mask, place = _box(values == int(segment.GetLabelValue()), None)
        if mask.size:
            first = np.add(place, cropped[id(image)][1])
            point = [0.0, 0.0, 0.0, 1.0]
            matrix = image_to_world(image)
            matrix.MultiplyPoint((float(first[2]), float(first[1]), float(first[0]), 1.0), point)
            yield " ".join(f"{value:.2f}" for value in (*point[:3], *mask.shape)).encode()
            yield np.packbits(mask).tobytes()


def image_to_world(image: Any) -> Any:
    """The matrix from indices of a vtkOrientedImageData to mm."""
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return matrix


def _box(values: Any, image: Any) -> tuple[Any, tuple[int, ...]]:
    """The part of an array (z, y, x) that is not 0, and the index of its first voxel, in the image's extent."""
    ends = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(values.any(axis=others))
        if not found.size:
            return values[:0, :0, :0], (0, 0, 0)
        ends.append((int(found[0]), int(found[-1]) + 1))
    offset = (0, 0, 0) if image is None else image.GetExtent()[::2][::-1]
    part = values[tuple(slice(*end) for end in ends)]
    return part, tuple(start + shift for (start, _), shift in zip(ends, offset, strict=True))
