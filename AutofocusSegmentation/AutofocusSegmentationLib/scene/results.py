"""A finished run becomes nodes: segmentation, attention, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from AutofocusSegmentationLib.scene.attention_nodes import AttentionSet, add_attention
from AutofocusSegmentationLib.scene.provenance_node import add_provenance
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation
from AutofocusSegmentationLib.worker.frame_runs import FrameRuns
from AutofocusSegmentationLib.worker.run import Result


@dataclass(frozen=True)
class Added:
    """The nodes of a result; no attention where none was wanted or the network has none."""

    segmentation: Any
    attention: AttentionSet | None
    provenance: Any


def add_to_scene(reference: Any, result: Result, model: dict[str, Any] | None, *, replace: Any = None) -> Added:
    """Put a result beside the volume that it was computed from.

    Args:
        reference: the volume node of the first channel.
        result: what the worker gave.
        model: its description, for the name.
        replace: the segmentation node to update; None adds one.
    """
    segmentation, provenance = add_labels(reference, result, model, replace=replace)
    return Added(segmentation, add_maps(reference, result, segmentation), provenance)


def add_labels(reference: Any, result: Result, model: dict[str, Any] | None, *, replace: Any = None) -> tuple[Any, Any]:
    """The first part of `add_to_scene`: the nodes of the segmentation and of its provenance."""
    segmentation = add_segmentation(
        reference,
        result.labels,
        result.index_to_lps,
        result.structures,
        name=_name(reference, result, model),
        replace=replace,
    )
    return segmentation, add_provenance(segmentation, reference, result.provenance)


def add_maps(reference: Any, result: Result, segmentation: Any, *, at_once: bool = True) -> AttentionSet | None:
    """The second part: the attention, if there is any.

    Args:
        reference, result: as for `add_to_scene`.
        segmentation: beside which it is put.
        at_once: False leaves the volumes of single dilation rates to `AttentionSet.make_next`.
    """
    if not result.layers:
        return None
    return add_attention(
        reference, result.layers, segmentation=segmentation, rates=at_once, recalibration=result.recalibration
    )


def add_frames(reference: Any, frames: FrameRuns, model: dict[str, Any] | None) -> tuple[Any, Any]:
    """As `add_labels`, for all frames of a sequence; the provenance is that of the frame that is shown.

    Args:
        reference: the volume node of the first channel, which the sequence's browser plays.
        frames: the finished runs.
        model: its description, for the name.
    """
    result = frames.shown_result()
    segmentation = frames.into_scene(_name(reference, result, model))
    return segmentation, add_provenance(segmentation, reference, result.provenance)


def _name(reference: Any, result: Result, model: dict[str, Any] | None) -> str:
    title = (model or {}).get("title") or result.provenance.get("model", {}).get("name") or "Autofocus"
    return f"{reference.GetName()} - {title}"
