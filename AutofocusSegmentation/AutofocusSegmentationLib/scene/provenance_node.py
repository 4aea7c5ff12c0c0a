"""How a segmentation was made, as a text node beside it that every user of the scene can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from AutofocusSegmentationLib.scene.placing import place_beside

PROVENANCE_ROLE = "AutofocusProvenance"


def add_provenance(segmentation: Any, reference: Any, record: Mapping[str, Any]) -> Any:
    """Note how the segmentation was made, in the text node that it refers to; made where there is none.

    Args:
        segmentation: the segmentation node.
        reference: the volume node that was segmented, beside which the text is put.
        record: model, settings, device, versions, times: whatever JSON can hold.
    """
    scene = segmentation.GetScene()
    node = segmentation.GetNodeReference(PROVENANCE_ROLE)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", f"{segmentation.GetName()} provenance")
        node.SetUndoEnabled(True)
        segmentation.SetNodeReferenceID(PROVENANCE_ROLE, node.GetID())
    node.SetText(json.dumps(dict(record), indent=2, ensure_ascii=False))
    place_beside(node, reference)
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
