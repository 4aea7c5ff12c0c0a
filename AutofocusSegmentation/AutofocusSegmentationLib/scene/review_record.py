"""The review of a result in the scene: estimates and places to check, part of its provenance, saved with the scene."""

from __future__ import annotations

from typing import Any

from AutofocusSegmentationLib.scene.provenance_node import add_provenance, provenance_of


def review_of(segmentation: Any) -> dict[str, Any]:
    """What the worker said of the result; nothing where there is none."""
    record = provenance_of(segmentation) if segmentation is not None else None
    review = (record or {}).get("review")
    return review if isinstance(review, dict) else {}


def estimates_of(segmentation: Any) -> dict[str, Any]:
    """Estimates of quality by the structure's name."""
    return review_of(segmentation).get("estimates") or {}


def places_of(segmentation: Any) -> list[dict[str, Any]]:
    """Places to check; "done" says whether a user has ticked one."""
    return list(review_of(segmentation).get("places") or [])


def set_done(segmentation: Any, number: int, done: bool) -> None:
    """Tick a place, counted from 0, or take the tick away."""
    record = provenance_of(segmentation)
    if record is not None:
        record["review"]["places"][number]["done"] = done
        add_provenance(segmentation, record)


def to_ras(position_lps: list[float]) -> tuple[float, float, float]:
    """A place's position in the scene's millimetres."""
    x, y, z = position_lps
    return (-x, -y, z)
