"""A corrected result of the scene as a case to teach with: its scans, and the contours that somebody looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from AutofocusCore.batch.collected import safe_case_name
from AutofocusCore.errors import InputError
from AutofocusCore.jobs.teach_contours import plain_name
from AutofocusCore.models.parts import Structure, from_mapping
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot, snapshot
from AutofocusSegmentationLib.scene.handover import hand_over


@dataclass(frozen=True)
class TeachingCase:
    """What is written of a case.

    Attributes:
        images: by the channels' names, in the model's order.
        labels: contours, in the local coordinates of the first image.
        structures: what the labels' values mean.
    """

    images: Mapping[str, VolumeSnapshot]
    labels: VolumeSnapshot
    structures: Sequence[Structure]


def teaching_case(
    channels: Sequence[Mapping[str, Any]], volumes: Sequence[Any], segmentation: Any, segments: Collection[str]
) -> TeachingCase:
    """The case as it is now; voxels of the scans are not copied.

    Args:
        channels: of the model.
        volumes: a node for each.
        segmentation: its contours.
        segments: ids of those to learn from.

    Raises:
        InputError: a volume cannot be used, or none of the segments has a voxel.
    """
    reference = volumes[0]
    images = {
        channel["name"]: snapshot(node, None if node is reference else reference)
        for channel, node in zip(channels, volumes, strict=True)
    }
    handed = hand_over(segmentation, beside=reference, segments=segments)
    there = set(np.unique(handed.labels.array).tolist())
    found = [entry for entry in handed.structures if entry["label"] in there]
    if not found:
        raise InputError(f"Nothing of {segmentation.GetName()} that is ticked has a contour", "contour something first")
    return TeachingCase(images, handed.labels, [from_mapping(Structure, entry, "structure") for entry in found])


def segments_of_model(segmentation: Any, model: Mapping[str, Any]) -> dict[str, bool]:
    """The segments by their ids, and whether the model has a structure of that name."""
    known = {plain_name(structure["name"]) for structure in model["structures"]}
    segments = segmentation.GetSegmentation()
    return {key: plain_name(segments.GetSegment(key).GetName()) in known for key in segments.GetSegmentIDs()}


def suggested_name(volume: Any) -> str:
    """The name of a case: the patient's in the subject hierarchy, if there is one, and the volume's."""
    if volume.GetScene() is None:  # it is being removed
        return safe_case_name(volume.GetName() or "")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume)
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient()
    patient = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
    names = [hierarchy.GetItemName(patient) if patient else "", volume.GetName() or ""]
    return safe_case_name(" ".join(name for name in names if name))
