"""Measures a model on corrected cases before and after it is taught, on their own grids, as the product segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import sample
from AutofocusCore.jobs.teach_cases import ReadCase
from AutofocusCore.segmentation import SegmentationModel, segment_image

if TYPE_CHECKING:
    from AutofocusCore.models.spec import ModelSpec

Labels = npt.NDArray[np.uint8]


LEAST_AGREEMENT = 0.9
"""Mean Dice between the contours of both models below which a structure that nobody taught is named as changed."""


def has_drifted(taught: bool, agreement: float | None) -> bool:
    """Whether a structure has changed although it was not taught; arguments as in `StructureCheck`."""
    return not taught and agreement is not None and agreement < LEAST_AGREEMENT


@dataclass(frozen=True)
class StructureCheck:
    """One structure on the cases that the models were compared on.

    Args:
        structure: its name.
        taught: whether it was taught.
        lessons: number of cases that it was taught with.
        cases: number of compared cases that contour it.
        before, after: mean Dice over these, None without any.
        agreement: mean Dice between the contours of both models, over all compared cases; None where both find none.
    """

    structure: str
    taught: bool
    lessons: int
    cases: int
    before: float | None
    after: float | None
    agreement: float | None

    @property
    def gain(self) -> float | None:
        """Change of the mean Dice."""
        return None if self.before is None or self.after is None else self.after - self.before


def labels_by(
    model: SegmentationModel, cases: Sequence[ReadCase], device: str, step: Callable[[int], None]
) -> list[Labels]:
    """The label maps that a model makes of cases, (z, y, x) on each case's own grid.

    Args:
        model: sound.
        cases: read.
        device: as for `segment_image`.
        step: called with the number of cases that are done; what it raises ends the work.
    """
    found = []
    for number, case in enumerate(cases):
        step(number)
        found.append(segment_image(model, case.channels, device=device).label_array)
    step(len(cases))
    return found


def compare_before_and_after(
    spec: ModelSpec,
    taught: Sequence[int],
    lessons: Sequence[ReadCase],
    cases: Sequence[ReadCase],
    before: Sequence[Labels],
    after: Sequence[Labels],
) -> list[StructureCheck]:
    """A row for each structure of the model.

    Args:
        spec: of the model.
        taught: labels of the structures that were taught.
        lessons: the cases that it was taught with.
        cases: those that both were measured on.
        before, after: the label maps of both for each.
    """
    truths = [sample(case.truth, Grid.of(case.channels[0]), 0.0, nearest=True).astype(np.uint8) for case in cases]
    rows = []
    for structure in spec.structures:
        label = structure.label
        there = [i for i, case in enumerate(cases) if label in case.contoured]
        known = sum(label in (case.case.known or ()) for case in lessons)
        rows.append(
            StructureCheck(
                structure.name,
                label in taught and known > 0,
                known,
                len(there),
                _mean([dice(before[i] == label, truths[i] == label) for i in there]),
                _mean([dice(after[i] == label, truths[i] == label) for i in there]),
                _mean([dice(one == label, two == label) for one, two in zip(before, after, strict=True)]),
            )
        )
    return rows


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float | None:
    """Twice the overlap as a share of both; None where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else None


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
