"""Fits a quality model to structures with known Dice, with leave-one-patient-out cross-validation.

In the cross-validation nothing is fitted to the left-out patient: neither weights, nor the interval's ends, which come
from an inner cross-validation, nor the threshold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.review.features import FEATURES, logit
from AutofocusCore.review.quality import COVERAGE, LIMIT, QualityModel, StructureQuality

Floats = NDArray[np.float64]

COMMON_PENALTY, OWN_PENALTY, LEVEL_PENALTY = 30.0, 300.0, 2.0
"""Ridge penalties of the common weights, of each structure's difference from them, and of the shift of its level."""
ROUNDS = 5
HUBER = 1.5
"""Residuals beyond this many robust standard deviations get less weight: clinical contours contain gross errors."""
PRIOR_CASES = 8.0
"""Number of cases from which a structure's own spread has the same weight as that of all structures."""
CHECKED = 0.25
"""Share of contours that are to be checked first."""
FEWEST = 5
LEAST_SPREAD = 1e-3
IQR_TO_SD, MAD_TO_SD = 1.349, 1.4826


@dataclass(frozen=True)
class Row:
    """One structure of one patient: features of the result, and its true Dice."""

    case: str
    structure: str
    features: tuple[float, ...]
    dice: float


def fit_quality(rows: Sequence[Row]) -> QualityModel:
    """Fit weights, each structure's numbers, the interval's ends and the threshold."""
    return _with_intervals(_fit(rows), rows, _left_out(rows))


def cross_validate(rows: Sequence[Row]) -> list[tuple[Row, QualityModel]]:
    """Each row with a model that was fitted without its patient."""
    found = []
    for case in dict.fromkeys(row.case for row in rows):
        model = fit_quality([row for row in rows if row.case != case])
        found += [(row, model) for row in rows if row.case == case]
    return found


def _fit(rows: Sequence[Row]) -> QualityModel:
    """Weights w + wₛ and a shift of level of each structure s, by ridge regression with Huber's weights."""
    names = [name for name in dict.fromkeys(row.structure for row in rows) if _count(rows, name) >= FEWEST]
    count, blocks, targets, about = len(FEATURES), [], [], {}
    for number, name in enumerate(names):
        own = [row for row in rows if row.structure == name]
        features = np.array([row.features for row in own])
        dice = np.array([logit(row.dice) for row in own])
        mean, spread, level = np.median(features, axis=0), _spread(features), float(np.median(dice))
        scaled = np.clip((features - mean) / spread, -LIMIT, LIMIT)
        block = np.zeros((len(own), count * (1 + len(names)) + len(names)))
        block[:, :count] = block[:, count * (1 + number) : count * (2 + number)] = scaled
        block[:, count * (1 + len(names)) + number] = 1
        blocks.append(block)
        targets.append(dice - level)
        about[name] = (len(own), mean, spread, level)
    penalties = np.concatenate(
        [
            np.full(count, COMMON_PENALTY),
            np.full(count * len(names), OWN_PENALTY),
            np.full(len(names), LEVEL_PENALTY),
        ]
    )
    solved = _ridge(np.concatenate(blocks), np.concatenate(targets), penalties)
    common, own_weights = solved[:count], solved[count : count * (1 + len(names))].reshape(len(names), count)
    structures = {
        name: StructureQuality(
            about[name][0],
            _tuple(about[name][1]),
            _tuple(about[name][2]),
            _tuple(common + own_weights[number]),
            round(about[name][3] + float(solved[count * (1 + len(names)) + number]), 4),
            1.0,
        )
        for number, name in enumerate(names)
    }
    return QualityModel(FEATURES, 0.0, 0.0, 0.0, structures)


def _ridge(x: Floats, y: Floats, penalties: Floats) -> Floats:
    weights, solved = np.ones(len(y)), np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        weighted = x * weights[:, None]
        solved = np.linalg.solve(x.T @ weighted + np.diag(penalties), weighted.T @ y)
        off = np.abs(y - x @ solved)
        usual = max(MAD_TO_SD * float(np.median(off)), LEAST_SPREAD)
        weights = 1 / np.maximum(1, off / (HUBER * usual))
    return np.asarray(solved)


def _count(rows: Sequence[Row], name: str) -> int:
    return sum(row.structure == name for row in rows)


def _spread(features: Floats) -> Floats:
    """Spread from the quartiles, at least half the standard deviation: a feature may be 0 in most cases."""
    low, high = np.percentile(features, (25, 75), axis=0)
    return np.maximum(np.maximum((high - low) / IQR_TO_SD, features.std(axis=0) / 2), LEAST_SPREAD)


def _left_out(rows: Sequence[Row]) -> Floats:
    """The estimated logit of each row's Dice without its patient; NaN where its structure has too few cases."""
    estimates = np.full(len(rows), np.nan)
    for case in dict.fromkeys(row.case for row in rows):
        model = _fit([row for row in rows if row.case != case])
        for i, row in enumerate(rows):
            if row.case == case and row.structure in model.structures:
                estimates[i] = model.centre(model.structures[row.structure], row.features)
    return estimates


def _with_intervals(model: QualityModel, rows: Sequence[Row], left_out: Floats) -> QualityModel:
    true = np.array([logit(row.dice) for row in rows])
    off = true - left_out
    common = float(np.nanmean(off**2))
    structures, scaled = {}, []
    for name, own in model.structures.items():
        mine = off[[row.structure == name for row in rows]]
        mine = mine[np.isfinite(mine)]
        remainder = float(np.sqrt(((mine**2).sum() + PRIOR_CASES * common) / (len(mine) + PRIOR_CASES)))
        structures[name] = dataclasses.replace(own, remainder=round(remainder, 4))
        scaled += (mine / remainder).tolist()
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(scaled, (tail, 1 - tail))
    shares = 1 / (1 + np.exp(-left_out[np.isfinite(left_out)]))
    check = float(np.quantile(shares, CHECKED))
    return QualityModel(model.features, round(low, 4), round(high, 4), round(check, 4), structures)


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
