"""Makes requests to the worker from the choices in the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from AutofocusCore.errors import InputError
from AutofocusSegmentationLib.scene.geometry import roi_box, snapshot
from AutofocusSegmentationLib.worker.run import SegmentationRequest


def make_request(
    channels: Sequence[Any], model: str, settings: dict[str, Any], parameters: Any, images: Sequence[Any] | None = None
) -> SegmentationRequest:
    """The request for a click on Segment.

    Args:
        channels: the volume nodes, in the model's order; the first one is the reference.
        model: its name.
        settings: device, precision and mode.
        parameters: the parameter node.
        images: snapshots of other frames, in place of the nodes' own.

    Raises:
        InputError: a volume or the region of interest cannot be used; nothing has been started.
    """
    reference = channels[0]
    if images is None:
        images = [snapshot(node, None if node is reference else reference) for node in channels]
    chosen = dict(settings)
    if parameters.roi is not None:
        chosen["roi_box"] = roi_box(parameters.roi, reference)
    if parameters.smallest_island > 0:
        chosen["smallest_island_mm3"] = float(parameters.smallest_island)
    return SegmentationRequest(images=images, model=model, settings=chosen, attention=bool(parameters.keep_attention))


def plan_fields(reference: Any, roi: Any, settings: dict[str, Any], attention: bool) -> dict[str, Any]:
    """The fields of the worker's request "plan".

    Raises:
        InputError: the volume or the region of interest cannot be used.
    """
    grid = snapshot(reference).grid
    fields: dict[str, Any] = {
        "size": list(grid.size),
        "spacing": list(grid.spacing),
        "origin": list(grid.origin),
        "direction": list(grid.direction),
        "attention": attention,
        "settings": settings,
    }
    if roi is not None:
        fields["roi_box"] = roi_box(roi, reference)
    return fields


def region_fault(reference: Any, roi: Any) -> list[str]:
    """A sentence where the region of interest cannot be used on this volume; nothing where it can."""
    if roi is None or reference is None:
        return []
    try:
        roi_box(roi, reference)
    except InputError as error:
        return [str(error)]
    return []
