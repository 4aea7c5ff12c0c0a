"""A segmentation of the scene as the worker takes it: one labelmap, and what its values mean."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusSegmentationLib.scene.exports import label_values, merged_labels
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot
from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS, is_rigid, local_to_local
from AutofocusSegmentationLib.scene.result_identity import scan_of
from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml
from AutofocusSegmentationLib.scene.terminology import codes_of

MOST_LABELS, LONGEST_NAME = 255, 64


@dataclass(frozen=True)
class Handover:
    """A segmentation as it is now, with the user's corrections.

    Attributes:
        labels: 8-bit labelmap on the grid of its scan, in that scan's own coordinates.
        structures: what the values mean: "label", "name", "color" (0 to 255) and codes, as in a model's metadata.
    """

    labels: VolumeSnapshot
    structures: list[dict[str, Any]]


def hand_over(node: Any, beside: Any = None, segments: Collection[str] | None = None) -> Handover:
    """A segmentation node for the worker.

    Args:
        node: the segmentation.
        beside: a volume, or another segmentation for its scan, in whose coordinates the place is wanted; None: those of
            the segmentation's own scan.
        segments: ids of those to hand over; None: all.

    Raises:
        InputError: it is empty, has too many segments, or lies under a transform that no file can express.
    """
    if not any(volume > 0 for volume in volumes_ml(node).values()):
        raise InputError(f"{node.GetName()} is empty", "segment a volume first")
    values = {key: value for key, value in label_values(node).items() if segments is None or key in segments}
    if len(values) > MOST_LABELS:
        raise InputError(f"{node.GetName()} has {len(values)} segments", f"keep {MOST_LABELS} of them at most")
    if not all(1 <= value <= MOST_LABELS for value in values.values()):
        values = {key: number for number, key in enumerate(values, start=1)}
    array, index_to_lps = merged_labels(node, values)
    labels = VolumeSnapshot(array.astype(np.uint8), index_to_lps, node.GetName())
    if beside is not None:
        labels = _moved(labels, node, beside)
    segmentation = node.GetSegmentation()
    structures = []
    for key, value in values.items():
        segment = segmentation.GetSegment(key)
        colour = [round(255 * part) for part in segment.GetColor()]
        name = segment.GetName()[:LONGEST_NAME] or key
        structures.append({"label": value, "name": name, "color": colour, **codes_of(segment)})
    return Handover(labels, structures)


def _moved(labels: VolumeSnapshot, node: Any, beside: Any) -> VolumeSnapshot:
    """The labels in the local coordinates of a volume, or of another segmentation's scan."""
    own = scan_of(node) or node
    other = beside if beside.IsA("vtkMRMLVolumeNode") else scan_of(beside) or beside
    relative = local_to_local(own, other)
    if not is_rigid(relative):
        raise InputError(
            f"The transforms of {own.GetName()} and {other.GetName()} differ by a scale or shear",
            "register them rigidly, or harden the transform: right-click it in the module Data, then Harden transform",
        )
    return replace(labels, index_to_lps=RAS_TO_LPS @ relative @ RAS_TO_LPS @ labels.index_to_lps)
