from __future__ import annotations

import numpy as np
import pytest

from AutofocusCore.review.features import FEATURES
from Training.calibrating.figures import caught, figures, rank_correlation
from Training.calibrating.fitting import Row, cross_validate, fit_quality


def cohort_of(noise: float, patients: int = 14) -> list[Row]:
    """Two structures whose Dice follows the first feature, and a feature of noise."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        for structure, level in (("Easy", 2.0), ("Hard", 0.0)):
            quality = rng.normal()
            features = (quality, *rng.normal(size=len(FEATURES) - 1))
            dice = 1 / (1 + np.exp(-(level + 0.8 * quality + noise * rng.normal())))
            rows.append(Row(f"p{patient}", structure, tuple(features), float(dice)))
    return rows


def test_estimates_of_patients_left_out_follow_their_dice() -> None:
    table = figures(cross_validate(cohort_of(0.2)))
    assert table["rank_correlation_of_all"] > 0.8
    assert 0.6 <= table["in_the_interval"] <= 1.0
    assert [row["structure"] for row in table["structures"]] == ["Easy", "Hard"]


def test_no_row_is_estimated_by_a_model_that_saw_its_patient() -> None:
    rows = cohort_of(0.2, patients=8)
    strange = [Row("strange", row.structure, row.features, 0.02) for row in rows[:2]]
    with_, without = cross_validate([*rows, *strange]), cross_validate(rows)
    own = {row.case: model for row, model in with_ if row.case == "strange"}
    assert own["strange"] == fit_quality(rows)
    assert len(with_) == len(without) + 2


def test_of_the_worst_tenth_those_among_the_lowest_quarter_of_estimates_are_caught() -> None:
    true = np.arange(20) / 20
    assert caught(true, true) == 1
    assert caught(true, -true) == 0


def test_rank_correlation_is_one_for_any_rising_curve() -> None:
    assert rank_correlation(np.array([1.0, 2, 3, 9]), np.array([0.1, 0.2, 0.9, 1.0])) == pytest.approx(1)
