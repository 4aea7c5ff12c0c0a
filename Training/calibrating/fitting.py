"""The fit of a quality model to structures with known Dice, and its cross-validation, a patient at a time.

Every figure that the cross-validation gives is of a patient that nothing was fitted to: neither weights nor the
interval's ends, which come from an inner round of leaving patients out, nor the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.review.features import FEATURES, logit
from AutofocusCore.review.quality import COVERAGE, QualityModel, StructureQuality

Floats = NDArray[np.float64]

PENALTIES = (10.0, 30.0, 100.0, 300.0)
"""Ridge penalties that are tried; the one that predicts patients left out best is taken."""
PRIOR_CASES = 8.0
"""A structure's own spread counts as much as that of all structures once it has this many cases."""
CHECKED = 0.25
"""Share of contours that are to be checked first."""
FEWEST = 5
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class Row:
    """One structure of one patient: features of the result, and its true Dice."""

    case: str
    structure: str
    features: tuple[float, ...]
    dice: float


def fit_quality(rows: Sequence[Row]) -> QualityModel:
    """Fit weights, each structure's numbers, the interval's ends and the threshold."""
    penalty = _best_penalty(rows)
    left_out = _left_out(rows, penalty)
    model = _fit(rows, penalty)
    return _with_intervals(model, rows, left_out)


def cross_validate(rows: Sequence[Row]) -> list[tuple[Row, QualityModel]]:
    """Each row with a model that was fitted without its patient."""
    found = []
    for case in dict.fromkeys(row.case for row in rows):
        model = fit_quality([row for row in rows if row.case != case])
        found += [(row, model) for row in rows if row.case == case]
    return found


def _fit(rows: Sequence[Row], penalty: float) -> QualityModel:
    structures, blocks, targets = {}, [], []
    for name in dict.fromkeys(row.structure for row in rows):
        own = [row for row in rows if row.structure == name]
        if len(own) < FEWEST:
            continue
        features = np.array([row.features for row in own])
        dice = np.array([logit(row.dice) for row in own])
        mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), LEAST_SPREAD)
        structures[name] = StructureQuality(len(own), _tuple(mean), _tuple(spread), round(float(dice.mean()), 4), 1.0)
        blocks.append(np.clip((features - mean) / spread, -4, 4))
        targets.append(dice - dice.mean())
    x, y = np.concatenate(blocks), np.concatenate(targets)
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return QualityModel(FEATURES, _tuple(weights), 0.0, 0.0, 0.0, structures)


def _left_out(rows: Sequence[Row], penalty: float) -> Floats:
    """The estimated logit of each row's Dice without its patient; NaN where its structure has too few cases."""
    estimates = np.full(len(rows), np.nan)
    for case in dict.fromkeys(row.case for row in rows):
        model = _fit([row for row in rows if row.case != case], penalty)
        for i, row in enumerate(rows):
            if row.case == case and row.structure in model.structures:
                estimates[i] = model.centre(model.structures[row.structure], row.features)
    return estimates


def _best_penalty(rows: Sequence[Row]) -> float:
    true = np.array([logit(row.dice) for row in rows])
    errors = [np.nanmean(np.abs(_left_out(rows, penalty) - true)) for penalty in PENALTIES]
    return PENALTIES[int(np.argmin(errors))]


def _with_intervals(model: QualityModel, rows: Sequence[Row], left_out: Floats) -> QualityModel:
    true = np.array([logit(row.dice) for row in rows])
    off = true - left_out
    common = float(np.nanmean(off**2))
    structures, scaled = {}, []
    for name, own in model.structures.items():
        mine = off[[row.structure == name for row in rows]]
        mine = mine[np.isfinite(mine)]
        remainder = float(np.sqrt(((mine**2).sum() + PRIOR_CASES * common) / (len(mine) + PRIOR_CASES)))
        structures[name] = StructureQuality(own.cases, own.mean, own.spread, own.level, round(remainder, 4))
        scaled += (mine / remainder).tolist()
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(scaled, (tail, 1 - tail))
    shares = 1 / (1 + np.exp(-left_out[np.isfinite(left_out)]))
    check = float(np.quantile(shares, CHECKED))
    return QualityModel(model.features, model.weights, round(low, 4), round(high, 4), round(check, 4), structures)


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
