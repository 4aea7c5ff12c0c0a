"""How a segmentation was made, as a text node among its details that every user of the scene can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from AutofocusSegmentationLib.scene.details import put_into_details

PROVENANCE_ROLE = "AutofocusProvenance"


def add_provenance(segmentation: Any, record: Mapping[str, Any]) -> Any:
    """Note how the segmentation was made, in the text node that it refers to; made where there is none.

    Args:
        segmentation: the segmentation node.
        record: model, settings, device, versions, times: whatever JSON can hold.
    """
    scene = segmentation.GetScene()
    node = segmentation.GetNodeReference(PROVENANCE_ROLE)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", f"Provenance: {segmentation.GetName()}")
        node.SetUndoEnabled(True)
        segmentation.SetNodeReferenceID(PROVENANCE_ROLE, node.GetID())
        put_into_details(node, segmentation)
    node.SetText(json.dumps(dict(record), indent=2, ensure_ascii=False))
    return node


def provenance_of(segmentation: Any) -> dict[str, Any] | None:
    """What is noted of a segmentation; None where nothing is, or where the user has written something else there."""
    node = segmentation.GetNodeReference(PROVENANCE_ROLE)
    if node is None:
        return None
    try:
        record = json.loads(node.GetText() or "")
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
