"""Dice of the known structures in set-aside cases during a run."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray
from torch import nn

from AutofocusCore.inference.prediction import in_roi_domain
from AutofocusCore.teaching.case import Case
from Training.evaluation.predicting import dice_per_structure, labels_of_scan
from Training.loop.data import DataSet
from Training.loop.distributed import ProcessGroup
from Training.loop.step import Arithmetic


def watch(
    average: nn.Module, data: DataSet, structures: int, group: ProcessGroup, arithmetic: Arithmetic
) -> list[float]:
    """Mean Dice of each structure over the watched cases, which the processes share among them.

    NaN for a structure that is known in none of them.
    """
    group.broadcast(average)
    own = data.watch[group.rank :: group.count]
    mine = [_dice(average, source.case, structures, arithmetic) for source in own]
    scores = [score for part in group.all_gather(mine) for score in part]
    return [float(np.nanmean(of_one)) if np.isfinite(of_one).any() else float("nan") for of_one in np.transpose(scores)]


def _dice(average: nn.Module, case: Case, structures: int, arithmetic: Arithmetic) -> NDArray[np.float64]:
    if in_roi_domain(average):  # type: ignore[arg-type]
        return dice_of_scan(average, case, structures, arithmetic)
    return dice_per_structure(average, case, structures)


def dice_of_scan(network: nn.Module, case: Case, structures: int, arithmetic: Arithmetic) -> NDArray[np.float64]:
    """Dice of structures 1 to n; NaN where the case has none, or it is not known. `network` is in evaluation mode."""
    found = labels_of_scan(copy.deepcopy(network).eval(), case, arithmetic)
    scores = np.full(structures, np.nan)
    for label in range(1, structures + 1):
        truth, guess = case.labels == label, found == label
        if truth.any() and (case.known is None or label in case.known):
            scores[label - 1] = 2 * (truth & guess).sum() / (truth.sum() + guess.sum())
    return scores
