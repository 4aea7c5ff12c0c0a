"""Tests between models, held against figures from textbooks and by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata

from AutofocusCore.errors import SettingError
from Training.evaluation.comparing import compare, compare_models, holm, interval, signed_rank


def test_the_signed_rank_test_is_the_exact_one_for_few_cases() -> None:
    differences = np.array([0.3, -0.1, 0.5, 0.2, 0.7, 0.4])
    ranks = rankdata(np.abs(differences))
    observed = ranks[differences > 0].sum()
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in product((0, 1), repeat=6)]
    extreme = np.mean([abs(s - ranks.sum() / 2) >= abs(observed - ranks.sum() / 2) for s in sums])
    assert signed_rank(differences) == pytest.approx(extreme)


def test_equal_models_have_p_one_and_no_case_has_no_p() -> None:
    assert signed_rank(np.zeros(5)) == 1.0
    assert math.isnan(signed_rank(np.array([])))


def test_holm_multiplies_step_by_step_and_never_falls() -> None:
    corrected = holm([0.01, 0.04, 0.03, math.nan, 0.5])
    assert corrected[:3] == pytest.approx([0.04, 0.09, 0.09])  # 4 x 0.01; 3 x 0.03; max(0.09, 2 x 0.04)
    assert math.isnan(corrected[3])
    assert corrected[4] == 0.5
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_interval_is_that_of_the_normal_approximation_and_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, 200)
    low, high = interval(values)
    error = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == (
        pytest.approx(values.mean() - error, abs=0.001),
        pytest.approx(values.mean() + error, abs=0.001),
    )
    assert interval(values) == (low, high)
    assert all(math.isnan(end) for end in interval([0.5]))


def test_resamples_without_a_value_do_not_spoil_an_interval() -> None:
    def spread(drawn: np.ndarray) -> float:
        return math.nan if np.ptp(drawn) == 0 else float(np.ptp(drawn))

    assert interval([1.0, 2.0, 3.0], spread) == (1.0, 2.0)


def test_only_cases_that_both_define_are_paired_and_the_others_counted() -> None:
    first = {"a": 0.5, "b": 0.6, "c": math.nan, "d": 0.7}
    second = {"a": 0.6, "b": 0.8, "c": 0.9, "e": 0.1}
    one = compare(("basic", first), ("afn-1", second), "Bladder")
    assert (one.pairs, one.unpaired) == (2, 3)
    assert one.difference == pytest.approx(0.15)
    assert one.low == pytest.approx(0.1)
    assert one.high == pytest.approx(0.2)


def test_models_are_compared_with_the_first_or_each_with_each() -> None:
    rng = np.random.default_rng(0)
    base = {f"case {i}": float(v) for i, v in enumerate(rng.uniform(0.5, 0.8, 20))}
    better = {case: value + 0.05 + rng.normal(0, 0.01) for case, value in base.items()}
    models = {"basic": {"B": base}, "same": {"B": dict(base)}, "better": {"B": better}}
    same, different = compare_models(models)
    assert (same.first, same.second, same.p, same.p_corrected) == ("basic", "same", 1.0, 1.0)
    assert different.difference == pytest.approx(0.05, abs=0.01)
    assert different.low > 0.04
    assert different.p < 1e-4
    assert different.p_corrected == pytest.approx(2 * different.p)
    assert [(c.first, c.second) for c in compare_models(models, all_pairs=True)] == [
        ("basic", "same"),
        ("basic", "better"),
        ("same", "better"),
    ]


def test_one_model_alone_is_not_compared() -> None:
    with pytest.raises(SettingError, match="nothing to compare basic with"):
        compare_models({"basic": {"B": {"a": 0.5}}})
