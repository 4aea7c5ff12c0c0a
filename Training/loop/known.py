"""Which structures of a case are known: contoured, by the convention that is learned, and not known to be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.models import ModelSpec
from Training.configuration.config import Data
from Training.loop.sampling import Case

CONTOURED = "contoured.json"


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
    counts = np.bincount(sitk.GetArrayViewFromImage(labels).ravel().astype(np.int64), minlength=model.num_classes)
    voxel_ml = float(np.prod(labels.GetSpacing())) / 1000
    known = []
    for structure in model.structures:
        low, high = data.volume_ml.get(structure.name, (0.0, np.inf))
        volume = float(counts[structure.label]) * voxel_ml
        usable = low <= volume <= high and structure.name not in data.unknown.get(name, ())
        if usable and (contoured is None or structure.name in contoured):
            known.append(structure.label)
    return None if len(known) == len(model.structures) else tuple(known)


def with_known(case: Case, known: tuple[int, ...] | None) -> Case:
    """The case with what is known of it; contours that are not used are taken out of its labels."""
    if known is None:
        return case
    labels = np.where(np.isin(case.labels, known), case.labels, 0).astype(np.uint8)
    return replace(case, labels=labels, known=known, lost=tuple(label for label in case.lost if label in known))
