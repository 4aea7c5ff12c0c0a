"""The clinical meaning of a segment: SNOMED CT codes, as Slicer keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from AutofocusCore.io.slicer_nrrd import terminology_entry

TISSUE = {"scheme": "SCT", "value": "85756007", "meaning": "Tissue"}  # as Slicer says of new segments


def set_terminology(segment: Any, structure: Mapping[str, Any]) -> None:
    """Give a vtkSegment the codes of a structure; one without a type keeps what it has."""
    if not structure.get("type"):
        return
    entry = terminology_entry(structure)
    if hasattr(segment, "SetTerminology"):
        segment.SetTerminology(entry)
    else:  # before Slicer 5.8
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)


def codes_of(segment: Any) -> dict[str, dict[str, str] | None]:
    """The codes of a vtkSegment, as `terminology_entry` takes them; tissue where it has no category or type."""
    from vtkmodules.vtkCommonCore import reference as by_reference

    entry = by_reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    if hasattr(segment, "GetTerminology"):
        entry = segment.GetTerminology() or entry
    fields = [*str(entry).split("~"), *7 * [""]]
    names = ("category", "type", "modifier", "", "region", "region_modifier")
    codes = {name: _code(field) for name, field in zip(names, fields[1:7], strict=True) if name}
    return {**codes, "category": codes["category"] or TISSUE, "type": codes["type"] or TISSUE}


def _code(field: str) -> dict[str, str] | None:
    parts = [part.strip() for part in field.split("^")]
    return dict(zip(("scheme", "value", "meaning"), parts, strict=True)) if len(parts) == 3 and all(parts) else None
