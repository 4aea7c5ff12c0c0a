"""The clinical meaning of a segment: SNOMED CT codes, as Slicer keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from AutofocusCore.io.slicer_nrrd import terminology_entry


def set_terminology(segment: Any, structure: Mapping[str, Any]) -> None:
    """Give a vtkSegment the codes of a structure; one without a type keeps what it has."""
    if not structure.get("type"):
        return
    entry = terminology_entry(structure)
    if hasattr(segment, "SetTerminology"):
        segment.SetTerminology(entry)
    else:  # before Slicer 5.8
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
