"""Label maps with segment names (Slicer's `.seg.nrrd`): names are used, not label values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from AutofocusCore.errors import InputError
from AutofocusCore.io.slicer_nrrd import read_keys, segments_of

SUFFIX = ".seg.nrrd"


def segments_by_name(path: Path, structures: Mapping[int, str]) -> dict[int, int]:
    """The label of a structure for each value in a segmentation of Slicer, told by the segments' names.

    Slicer numbers segments in the order in which they were made, so that one patient's bladder may be 1 and the next
    one's 3.

    Args:
        path: of the labels.
        structures: names by label.

    Returns:
        Empty for a file of another kind.

    Raises:
        InputError: a segment whose name is none of the structures, or two segments of one name.
    """
    if not path.name.lower().endswith(SUFFIX):
        return {}
    try:
        segments = segments_of(read_keys(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path.name} is not a segmentation of Slicer, or is damaged ({error})", "export it again"
        ) from None
    label_of = {_plain(name): label for label, name in structures.items()}
    found: dict[int, int] = {}
    for segment in segments:
        name, label = segment["name"], label_of.get(_plain(segment["name"]))
        if label is None:
            known = ", ".join(structures.values())
            raise InputError(
                f"Its labels hold a segment {name!r}, which is not one of the structures ({known})",
                "name the segments as the structures are named, or add it to --structures",
            )
        if label in found.values() or segment["layer"] != 0 or segment["label"] in found:
            raise InputError(
                f"Its segment {name!r} occurs twice, or overlaps others", "merge or separate the segments in Slicer"
            )
        found[segment["label"]] = label
    return found


def _plain(name: str) -> str:
    """Names match whatever their case, blanks, dashes and underscores."""
    return "".join(letter for letter in name.casefold() if letter not in " -_")
