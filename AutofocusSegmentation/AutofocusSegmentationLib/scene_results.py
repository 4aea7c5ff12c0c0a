"""A finished run becomes nodes: segmentation, attention, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from AutofocusSegmentationLib.attention_nodes import AttentionSet, add_attention
from AutofocusSegmentationLib.frame_runs import FrameRuns
from AutofocusSegmentationLib.provenance_node import add_provenance
from AutofocusSegmentationLib.run import Result
from AutofocusSegmentationLib.segmentation_node import add_segmentation


@dataclass(frozen=True)
class Added:
    """The nodes of a result; no attention where none was wanted or the network has none."""

    segmentation: Any
    attention: AttentionSet | None
    provenance: Any


def add_to_scene(
    reference: Any, result: Result, model: dict[str, Any] | None, *, replace: Any = None, at_once: bool = True
) -> Added:
    """Put a result beside the volume that it was computed from.

    Args:
        reference: the volume node of the first channel.
        result: what the worker gave.
        model: its description, for the name.
        replace: the segmentation node to update; None adds one.
        at_once: False leaves the volumes of single dilation rates to `AttentionSet.make_next`.
    """
    segmentation = add_segmentation(
        reference,
        result.labels,
        result.index_to_lps,
        result.structures,
        name=_name(reference, result, model),
        replace=replace,
    )
    attention = _add_attention(reference, result, segmentation, at_once)
    return Added(segmentation, attention, add_provenance(segmentation, reference, result.provenance))


def add_frames_to_scene(
    reference: Any, frames: FrameRuns, model: dict[str, Any] | None, *, at_once: bool = True
) -> Added:
    """Put the results of all frames beside the volume; attention and provenance are those of the frame that is shown.

    Args:
        reference: the volume node of the first channel, which the sequence's browser plays.
        frames: the finished runs.
        model: its description, for the name.
        at_once: as for `add_to_scene`.
    """
    result = frames.shown_result()
    segmentation = frames.into_scene(_name(reference, result, model))
    attention = _add_attention(reference, result, segmentation, at_once)
    return Added(segmentation, attention, add_provenance(segmentation, reference, result.provenance))


def _add_attention(reference: Any, result: Result, segmentation: Any, at_once: bool) -> AttentionSet | None:
    if not result.layers:
        return None
    return add_attention(reference, result.layers, segmentation=segmentation, rates=at_once)


def _name(reference: Any, result: Result, model: dict[str, Any] | None) -> str:
    title = (model or {}).get("title") or result.provenance.get("model", {}).get("name") or "Autofocus"
    return f"{reference.GetName()} - {title}"
