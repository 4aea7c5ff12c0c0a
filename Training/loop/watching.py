"""Dice of the known structures in set-aside cases during a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from AutofocusCore.inference.prediction import in_roi_domain
from AutofocusCore.teaching.case import Case
from AutofocusCore.teaching.predicting import dice_of_scan
from Training.evaluation.predicting import dice_per_structure
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
