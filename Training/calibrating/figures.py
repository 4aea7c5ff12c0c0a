"""Quality of the estimates on left-out patients: rank correlation, share of poor contours that are flagged, coverage.

Within a structure, ranks are those of the features' contribution. The level of the structure is constant in a fitted
model, but in cross-validation it is lower if the left-out patient is better: it would reverse the ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from AutofocusCore.review.quality import QualityModel
from Training.calibrating.fitting import CHECKED, Row

WORST = 0.1


def figures(left_out: Sequence[tuple[Row, QualityModel]], seen: Sequence[Row] = ()) -> dict[str, Any]:
    """The table of a calibration, for JSON and the model card.

    Args:
        left_out: rows of the unseen cases, each with a model that was fitted without its patient.
        seen: rows of the cases that the model was trained on, of which the table has the mean Dice.
    """
    rows, estimates, contributions = [], [], []
    for row, model in left_out:
        estimate = model.estimate(row.structure, row.features)
        if estimate is not None:
            rows.append(row)
            estimates.append(estimate)
            contributions.append(model.contribution(model.structures[row.structure], row.features or ()))
    true, found = np.array([row.dice for row in rows]), np.array([one.dice for one in estimates])
    explained, low = np.array(contributions), np.array([one.low for one in estimates])
    held = np.array([one.low <= row.dice <= one.high for row, one in zip(rows, estimates, strict=True)])
    table = []
    for name in dict.fromkeys(row.structure for row in rows):
        own = np.array([row.structure == name for row in rows])
        table.append(
            {
                "structure": name,
                "cases": int(own.sum()),
                "mean Dice": round(float(true[own].mean()), 3),
                **_trained_on([row.dice for row in seen if row.structure == name]),
                "mean error": round(float(np.abs(true[own] - found[own]).mean()), 3),
                "rank correlation": round(rank_correlation(true[own], explained[own]), 2),
                "in the interval": round(float(held[own].mean()), 2),
                "width of the interval": round(
                    float(np.mean([one.high - one.low for one, mine in zip(estimates, own, strict=True) if mine])), 2
                ),
            }
        )
    return {
        "how": "cross-validation: each patient was left out of everything that was fitted",
        "patients": len({row.case for row in rows}),
        "contours": len(rows),
        "rank_correlation_of_all": round(rank_correlation(true, found), 2),
        "mean_error_of_the_estimate": round(float(np.abs(true - found).mean()), 3),
        "worst_tenth_among_the_flagged_quarter": round(caught(true, low), 2),
        "in_the_interval": round(float(held.mean()), 2),
        "structures": table,
    }


def _trained_on(dice: Sequence[float]) -> dict[str, float]:
    return {"mean Dice in training": round(float(np.mean(dice)), 3)} if dice else {}


def caught(true: np.ndarray, low: np.ndarray) -> float:
    """Of the tenth of contours with the lowest Dice the share that is among the quarter with the lowest intervals.

    Args:
        true: Dice.
        low: lower ends of the intervals, by which contours are flagged.
    """
    worst, flagged = _worst_and_flagged(true, low)
    return sum(i in flagged for i in worst) / len(worst)


def _worst_and_flagged(true: np.ndarray, low: np.ndarray) -> tuple[list[int], set[int]]:
    worst = np.argsort(true, kind="stable")[: max(1, round(WORST * len(true)))].tolist()
    return worst, set(np.argsort(low, kind="stable")[: round(CHECKED * len(low))].tolist())


def worst_tenth(left_out: Sequence[tuple[Row, QualityModel]]) -> list[dict[str, Any]]:
    """The contours with the lowest Dice, the lowest first, to look into: what was expected of each, and both volumes.

    Args:
        left_out: as for :func:`figures`.
    """
    found = [(row, model.estimate(row.structure, row.features)) for row, model in left_out]
    rows = [(row, one) for row, one in found if one is not None]
    worst, flagged = _worst_and_flagged(np.array([row.dice for row, _ in rows]), np.array([one.low for _, one in rows]))
    return [
        {
            "case": rows[i][0].case,
            "structure": rows[i][0].structure,
            "Dice": round(rows[i][0].dice, 2),
            "estimate": round(rows[i][1].dice, 2),
            "flagged": "yes" if i in flagged else "no",
            "contoured mL": round(rows[i][0].volumes_ml[0], 1),
            "found mL": round(rows[i][0].volumes_ml[1], 1),
        }
        for i in worst
    ]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; NaN for fewer than three."""
    if len(first) < 3:
        return float("nan")
    a, b = (np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (first, second))
    return float(np.corrcoef(a, b)[0, 1])
