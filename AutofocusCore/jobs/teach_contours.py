"""The contours of a corrected case with a model's label values: from a segmentation's file, or from an RTSTRUCT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import AutofocusError, InputError, SettingError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.polygons import fill, fill_skipped
from AutofocusCore.images.resampling import to_image
from AutofocusCore.images.structure_set import StructureSet
from AutofocusCore.io.atomic import suffix_of
from AutofocusCore.jobs.saved_result import read_result

if TYPE_CHECKING:
    from AutofocusCore.models.spec import ModelSpec

MOST_SKIPPED = 3
"""Slices in a row that a structure may lack between its contours: they are filled; a longer gap separates parts."""
MOST_OUTSIDE = 0.5
"""Share of the contours' points that may lie outside the image, which can be a part of what was drawn on."""
Named = Sequence[tuple[str, str]]
"""Other names of structures, each with the model's."""


def plain_name(name: str) -> str:
    """A name for comparing: letters and digits in lower case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def labels_by_name(spec: ModelSpec, named: Named) -> dict[str, int]:
    """The model's labels by plain names: those of its structures, and those that the user has given besides.

    Raises:
        SettingError: a structure that the model does not have.
    """
    own = {plain_name(structure.name): structure.label for structure in spec.structures}
    for other, name in named:
        if plain_name(name) not in own:
            known = ", ".join(structure.name for structure in spec.structures)
            cause = f"The model {spec.name} has no structure {name!r}, as which {other!r} is to count"
            raise SettingError(cause, f"choose among {known}")
    return own | {plain_name(other): own[plain_name(name)] for other, name in named}


def labels_of_result(path: Path, spec: ModelSpec, named: Named) -> tuple[sitk.Image, list[str]]:
    """The labels of a segmentation's file, and warnings about segments that are not the model's.

    Raises:
        InputError: it cannot be read, or has none of the model's structures.
    """
    result = read_result(path, spec.structures)
    given = sitk.GetArrayViewFromImage(result.labels)
    by_name = labels_by_name(spec, named)
    there = {structure.label: structure.name for structure in result.structures}
    values = np.zeros(256, dtype=np.uint8)
    unknown = []
    for value in np.unique(given):
        name = there.get(int(value))
        label = by_name.get(plain_name(name)) if name is not None else None
        if label is not None:
            values[value] = label
        elif value:
            unknown.append(name or f"label {value}")
    if unknown and not values.any():
        raise _none_of_them(path, unknown, spec)
    return to_image(values[given], Grid.of(result.labels)), _left_out(path, unknown, spec)


def labels_of_structure_set(
    drawn: StructureSet, path: Path, grid: Grid, spec: ModelSpec, named: Named
) -> tuple[sitk.Image, list[str]]:
    """The labels of an RTSTRUCT's contours; where two structures overlap, the later one's.

    Args:
        drawn: what the file describes.
        path: of the file, for messages.
        grid: of the series that the contours were drawn on.
        spec: of the model.
        named: other names of structures.

    Raises:
        InputError: it has none of the model's structures, or contours outside the series or between its slices.
    """
    by_name = labels_by_name(spec, named)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    unknown, warnings, found = [], list[str](), list[NDArray[np.float64]]()
    known = False
    for name, contours in drawn.structures:
        label = by_name.get(plain_name(name))
        if label is None:
            unknown.append(name or "a structure without a name")
            continue
        known = True
        found += contours
        try:
            mask, notes = fill(contours, grid)
        except AutofocusError as error:
            raise InputError(f"{path.name}, {name}: {error.cause}", error.remedy) from None
        filled = fill_skipped(mask, MOST_SKIPPED)
        notes += [f"was filled between its neighbours on {filled} of them"] if filled else []
        warnings += [f"{path.name}: {name} {note}." for note in notes]
        labels[mask] = label
    if unknown and not known:
        raise _none_of_them(path, unknown, spec, drawn=True)
    outside = float(np.mean(grid.outside(np.concatenate(found)))) if found else 0.0
    if outside > MOST_OUTSIDE:
        cause = f"{100 * outside:.0f} % of what {path.name} contours lies outside the image"
        raise InputError(cause, "give image and contours of one patient")
    return to_image(labels, grid), _left_out(path, unknown, spec) + warnings


def _none_of_them(path: Path, unknown: Sequence[str], spec: ModelSpec, *, drawn: bool = False) -> InputError:
    names = ", ".join(structure.name for structure in spec.structures)
    remedy = f"it has {names}"
    if drawn:
        remedy = f"say which of them is which (--names); the model has {names}"
    elif suffix_of(path) == ".seg.nrrd":
        remedy = f"name the segments as the model does: {names}"
    return InputError(f"{path.name} has {', '.join(unknown)}, and the model has none of them", remedy)


def _left_out(path: Path, unknown: Sequence[str], spec: ModelSpec) -> list[str]:
    if not unknown:
        return []
    names = ", ".join(structure.name for structure in spec.structures)
    what, left = ("is not a structure", "is") if len(unknown) == 1 else ("are not structures", "are")
    return [f"{path.name}: {', '.join(unknown)} {what} of the model ({names}), and {left} left out."]
