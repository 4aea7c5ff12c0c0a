"""Fits a quality model to structures with known Dice, with leave-one-patient-out cross-validation.

In the cross-validation nothing is fitted to the left-out patient: neither weights, nor the interval's ends, which come
from an inner cross-validation, nor the threshold.

Cases that the model was trained on may help with the weights: there are many more of them, and what makes one contour
better than another is much the same in both. The Dice of these cases is too good, so each structure has a level of its
own for them, which is not kept; levels, the interval's ends and the threshold come from the other cases alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.review.quality import COVERAGE, FEATURES, LIMIT, QualityModel, StructureQuality, logit

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
    """One structure of one patient: features of the result, its true Dice, and whether the model was trained on it.

    `volumes_ml` are what was contoured and what was found, in mL; for tables alone, nothing is fitted to them.
    """

    case: str
    structure: str
    features: tuple[float, ...]
    dice: float
    seen: bool = False
    volumes_ml: tuple[float, float] = (float("nan"), float("nan"))


def fit_quality(rows: Sequence[Row]) -> QualityModel:
    """Fit weights, each structure's numbers, the interval's ends and the threshold."""
    return _with_intervals(_fit(rows), rows, _left_out(rows))


def cross_validate(rows: Sequence[Row]) -> list[tuple[Row, QualityModel]]:
    """Each row of an unseen case with a model that was fitted without its patient."""
    found = []
    for case in _unseen(rows):
        model = fit_quality([row for row in rows if row.case != case])
        found += [(row, model) for row in rows if row.case == case]
    return found


def _unseen(rows: Sequence[Row]) -> list[str]:
    """The cases that the model was not trained on."""
    return list(dict.fromkeys(row.case for row in rows if not row.seen))


def _fit(rows: Sequence[Row]) -> QualityModel:
    """Weights w + wₛ and a shift of level of each structure s, by ridge regression with Huber's weights.

    Seen and unseen cases of a structure are two groups with the same weights, each with a level of its own.
    """
    names = [name for name in dict.fromkeys(row.structure for row in rows) if _count(rows, name) >= FEWEST]
    groups = [(name, seen) for name in names for seen in (False, True)]
    count = len(FEATURES)
    blocks, targets, about, levels = [], [], {}, {}
    for number, name in enumerate(names):
        features = np.array([row.features for row in rows if row.structure == name])
        mean, spread = np.median(features, axis=0), _spread(features)
        about[name] = (_count(rows, name), mean, spread)
        for seen in (False, True):
            own = [row for row in rows if (row.structure, row.seen) == (name, seen)]
            if not own:
                continue
            dice = np.array([logit(row.dice) for row in own])
            levels[name, seen] = float(np.median(dice))
            scaled = np.clip((np.array([row.features for row in own]) - mean) / spread, -LIMIT, LIMIT)
            block = np.zeros((len(own), count * (1 + len(names)) + len(groups)))
            block[:, :count] = block[:, count * (1 + number) : count * (2 + number)] = scaled
            block[:, count * (1 + len(names)) + groups.index((name, seen))] = 1
            blocks.append(block)
            targets.append(dice - levels[name, seen])
    penalties = np.concatenate(
        [
            np.full(count, COMMON_PENALTY),
            np.full(count * len(names), OWN_PENALTY),
            np.full(len(groups), LEVEL_PENALTY),
        ]
    )
    solved = _ridge(np.concatenate(blocks), np.concatenate(targets), penalties)
    common, own_weights, shifts = np.split(solved, [count, count * (1 + len(names))])
    structures = {
        name: StructureQuality(
            cases,
            _tuple(mean),
            _tuple(spread),
            _tuple(common + own_weights.reshape(len(names), count)[number]),
            round(levels[name, False] + float(shifts[groups.index((name, False))]), 4),
            1.0,
        )
        for number, (name, (cases, mean, spread)) in enumerate(about.items())
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
    return sum(row.structure == name and not row.seen for row in rows)


def _spread(features: Floats) -> Floats:
    """Spread from the quartiles, at least half the standard deviation: a feature may be 0 in most cases."""
    low, high = np.percentile(features, (25, 75), axis=0)
    return np.maximum(np.maximum((high - low) / IQR_TO_SD, features.std(axis=0) / 2), LEAST_SPREAD)


def _left_out(rows: Sequence[Row]) -> Floats:
    """The estimated logit of each unseen row's Dice without its patient; NaN where its structure has too few cases."""
    estimates = np.full(len(rows), np.nan)
    for case in _unseen(rows):
        model = _fit([row for row in rows if row.case != case])
        for i, row in enumerate(rows):
            if row.case == case and row.structure in model.structures:
                own = model.structures[row.structure]
                estimates[i] = own.level + model.contribution(own, row.features)
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
    ends = [
        estimate + low * structures[row.structure].remainder
        for row, estimate in zip(rows, left_out, strict=True)
        if np.isfinite(estimate)
    ]
    check = float(np.quantile(1 / (1 + np.exp(-np.asarray(ends))), CHECKED))
    return QualityModel(model.features, round(low, 4), round(high, 4), round(check, 4), structures)


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
