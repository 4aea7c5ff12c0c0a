"""The clinical meaning of a segment, in the form in which Slicer keeps it: SNOMED CT codes in one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

GENERAL_ANATOMY = "Segmentation category and type - 3D Slicer General Anatomy list"
ANATOMIC_CODES = "Anatomic codes - DICOM master list"
RESERVED = str.maketrans({"~": "-", "^": "-"})  # they part the fields, and Slicer knows no escape for them


def terminology_entry(structure: Mapping[str, Any]) -> str:
    """Category, type, modifier, region and its modifier of a model's structure, as Slicer writes them in one line.

    Args:
        structure: with the keys "category", "type", "modifier", "region" and "region_modifier", each
            {"scheme", "value", "meaning"} or None or absent.
    """
    names = ("category", "type", "modifier", "region", "region_modifier")
    category, kind, modifier, region, region_modifier = (_triplet(structure.get(name)) for name in names)
    return "~".join([GENERAL_ANATOMY, category, kind, modifier, ANATOMIC_CODES, region, region_modifier])


def set_terminology(segment: Any, structure: Mapping[str, Any]) -> None:
    """Give a vtkSegment the codes of a structure; one without a type keeps what it has."""
    if not structure.get("type"):
        return
    entry = terminology_entry(structure)
    if hasattr(segment, "SetTerminology"):
        segment.SetTerminology(entry)
    else:  # before Slicer 5.8
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)


def _triplet(code: Mapping[str, str] | None) -> str:
    if not code:
        return "^^"
    return "^".join(str(code[key]).translate(RESERVED) for key in ("scheme", "value", "meaning"))
