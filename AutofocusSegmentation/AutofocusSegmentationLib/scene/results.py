"""A finished run becomes nodes: segmentation, attention, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from AutofocusCore.result import SegmentationResult
from AutofocusSegmentationLib.scene.attention_nodes import remove_attention
from AutofocusSegmentationLib.scene.attention_set import AttentionSet, add_attention
from AutofocusSegmentationLib.scene.provenance_node import add_provenance
from AutofocusSegmentationLib.scene.result_identity import is_edited, is_result_of, keep_copy, mark_result
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation
from AutofocusSegmentationLib.worker.frame_runs import FrameRuns


@dataclass(frozen=True)
class Added:
    """The nodes of a result.

    Attributes:
        segmentation: with the result's segments.
        attention: None where none was wanted or the network has none.
        kept: the copy of what the result replaced, where that was edited or no result of the same scan and model.
    """

    segmentation: Any
    attention: AttentionSet | None
    kept: Any = None


def add_to_scene(
    reference: Any,
    result: SegmentationResult,
    model: dict[str, Any] | None,
    *,
    replace: Any = None,
    everything: bool = False,
) -> Added:
    """Put a result beside the volume that it was computed from.

    Args:
        reference: the volume node of the first channel.
        result: what the worker gave.
        model: its description, for the name.
        replace: the segmentation node to update; None adds one. Of one that was edited, or is no result of this scan
            and model, a copy is kept.
        everything: make all attention maps at once, not on demand.
    """
    segmentation, kept = add_labels(reference, result, model, replace=replace)
    return Added(segmentation, add_maps(reference, result, segmentation, everything=everything), kept)


def add_labels(
    reference: Any, result: SegmentationResult, model: dict[str, Any] | None, *, replace: Any = None
) -> tuple[Any, Any]:
    """The first part of `add_to_scene`: the segmentation with its provenance, and the copy that was kept or None."""
    name, kept = result_name(reference, result, model), None
    if replace is not None:
        replace, kept = _make_room(replace, reference, result, name)
    segmentation = add_segmentation(
        reference,
        result.label_array,
        result.grid.index_to_lps,
        [structure.to_dict() for structure in result.structures],
        name=reference.GetScene().GenerateUniqueName(name),
        replace=replace,
    )
    add_provenance(segmentation, result.provenance)
    mark_result(segmentation, result.provenance.get("model", {}))
    return segmentation, kept


def add_maps(
    reference: Any, result: SegmentationResult, segmentation: Any, *, everything: bool = False
) -> AttentionSet | None:
    """The second part: attention and uncertainty, if there are any; those of an earlier run go in any case."""
    if not result.attention and result.uncertainty is None:
        remove_attention(segmentation)
        return None
    return add_attention(
        reference,
        result.attention,
        segmentation=segmentation,
        reach=result.reach,
        recalibration=result.recalibration,
        uncertainty=result.uncertainty,
        everything=everything,
    )


def add_frames(
    reference: Any, frames: FrameRuns, model: dict[str, Any] | None, *, replace: Any = None
) -> tuple[Any, Any]:
    """As `add_labels`, for all frames of a sequence; the provenance is that of the frame that is shown.

    Args:
        reference: the volume node of the first channel, which the sequence's browser plays.
        frames: the finished runs.
        model: its description, for the name.
        replace: the segmentation node to update; None adds one.
    """
    result, kept = frames.shown_result(), None
    name = result_name(reference, result, model)
    if replace is not None:
        replace, kept = _make_room(replace, reference, result, name)
    segmentation = frames.into_scene(reference.GetScene().GenerateUniqueName(name), replace=replace)
    add_provenance(segmentation, result.provenance)
    mark_result(segmentation, result.provenance.get("model", {}))
    return segmentation, kept


def result_name(reference: Any, result: SegmentationResult, model: dict[str, Any] | None) -> str:
    """What a result is called: scan and model."""
    title = (model or {}).get("title") or result.provenance.get("model", {}).get("name") or "Autofocus"
    return f"{reference.GetName()} - {title}"


def _make_room(node: Any, reference: Any, result: SegmentationResult, name: str) -> tuple[Any, Any]:
    """The node to fill, and the copy of what it held where somebody might miss it."""
    same = is_result_of(node, reference, result.provenance.get("model", {}))
    kept = None
    if not same or is_edited(node):
        kept = keep_copy(node) if node.GetSegmentation().GetNumberOfSegments() else None
    if not same:
        node.GetSegmentation().RemoveAllSegments()
        node.SetName(reference.GetScene().GenerateUniqueName(name))
    return node, kept
