"""The known structures of a case: contoured, in the convention that is learned, and not known to be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.models import ModelSpec
from Training.configuration.config import Data
from Training.loop.cases import some
from Training.preparing.contoured import CONTOURED
from Training.preparing.data_list import CaseEntry, DataList


@dataclass(frozen=True)
class Unused:
    """A contour that is not used.

    Args:
        case, structure: their names.
        volume_ml: of the contour.
        why: the end of a sentence.
    """

    case: str
    structure: str
    volume_ml: float
    why: str


def contoured_structures(folder: Path) -> dict[str, list[str]]:
    """Names of the structures that were contoured, by case, as the folder's contoured.json says; none without one.

    Raises:
        InputError: it is not a JSON file of lists.
    """
    path = folder / CONTOURED
    if not path.is_file():
        return {}
    try:
        return {str(case): [str(name) for name in names] for case, names in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} cannot be used ({error})", "give a JSON file with a list of names by case") from None


def contoured_in(
    case: CaseEntry, listed: DataList, beside: Mapping[str, Sequence[str]], model: ModelSpec
) -> tuple[str, ...] | None:
    """The model's names of the structures that were contoured in a prepared case; None for all.

    Args:
        case: with the names of the structures that are unknown in it.
        listed: the data list with the case.
        beside: result of `contoured_structures` for the data's folder.
        model: its structures have the labels of the data's.
    """
    unknown = {int(label) for label, name in listed.structures.items() if name in case.unknown}
    there = beside.get(case.name)
    names = [s.name for s in model.structures if s.label not in unknown and (there is None or s.name in there)]
    return None if len(names) == len(model.structures) else tuple(names)


def unused_contours(name: str, labels: sitk.Image, data: Data, model: ModelSpec) -> dict[int, Unused]:
    """The contours of a case that are not used, by label: listed as wrong, or of another convention.

    Args:
        name: of the case.
        labels: its label map, on its own grid, which tells volumes.
        data: says which contours are not used.
        model: its structures.
    """
    values, counts = np.unique(sitk.GetArrayViewFromImage(labels), return_counts=True)
    voxel_ml = float(np.prod(labels.GetSpacing())) / 1000
    volumes = {int(value): float(count) * voxel_ml for value, count in zip(values, counts, strict=True)}
    found = {}
    for structure in model.structures:
        volume = volumes.get(structure.label, 0.0)
        low, high = data.volume_ml.get(structure.name, (0.0, np.inf))
        if not volume:
            continue
        if structure.name in data.unknown.get(name, ()):
            found[structure.label] = Unused(name, structure.name, volume, "named in data.unknown")
        elif not low <= volume <= high:
            why = f"outside the {low:g} to {high:g} mL of data.volume_ml"
            found[structure.label] = Unused(name, structure.name, volume, why)
    return found


def known_labels(
    name: str, contoured: Sequence[str] | None, labels: sitk.Image, data: Data, model: ModelSpec
) -> tuple[int, ...] | None:
    """Label values of the structures that are known in a case; None for all.

    Args:
        name: of the case.
        contoured: names of the structures that were contoured; None for all.
        labels: the case's label map, on its own grid, which tells volumes.
        data: says which contours are not used.
        model: its structures.
    """
    unused = unused_contours(name, labels, data, model)
    named = data.unknown.get(name, ())
    known = [
        structure.label
        for structure in model.structures
        if structure.label not in unused
        and structure.name not in named
        and (contoured is None or structure.name in contoured)
    ]
    return None if len(known) == len(model.structures) else tuple(known)


def count_known(known: Sequence[Sequence[int] | None], model: ModelSpec) -> dict[str, int]:
    """Number of cases in which each structure is known; `known` are the known labels of each case, None for all."""
    return {s.name: sum(labels is None or s.label in labels for labels in known) for s in model.structures}


def remark_on_unused(contours: Sequence[Unused]) -> tuple[str, ...]:
    """A sentence for each structure and reason, with the names of the contours that are not used."""
    remarks = []
    for structure, why in dict.fromkeys((one.structure, one.why) for one in contours):
        own = [one for one in contours if (one.structure, one.why) == (structure, why)]
        named = some([f"{one.case} ({one.volume_ml:.3g} mL)" for one in own])
        remarks.append(f"{structure} counts as unknown in {len(own)} cases, {why}: {named}.")
    return tuple(remarks)


def remark_on_suspects(listed: DataList, known: Mapping[str, Sequence[int] | None]) -> tuple[str, ...]:
    """A sentence that names the contours that looked wrong when they were prepared, and are used in training.

    Args:
        listed: with its suspects.
        known: labels by case to train on; None for all.
    """
    labels = {name: int(label) for label, name in listed.structures.items()}
    used = [
        f"{one['structure']} of {one['case']}"
        for one in listed.suspects
        if one["case"] in known and (known[one["case"]] is None or labels[one["structure"]] in known[one["case"]])
    ]
    if not used:
        return ()
    return (
        f"{len(used)} contours that looked wrong when they were prepared are trained on: {some(used)}. "
        "Look at them; data.unknown takes out those that are wrong.",
    )
