"""Is one model better than another? Paired tests over the same cases, corrected for their number, and intervals.

A difference between two models is tested by Wilcoxon's signed-rank test, two-sided, over the cases that both measured;
several such tests together are corrected by Holm's method. Intervals are percentile bootstraps over cases. They do not
include the variation between trainings: for that, train each model with several seeds; a case's value is then its
mean over them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap, wilcoxon

from AutofocusCore.errors import SettingError

RESAMPLES = 10_000
CONFIDENCE = 0.95

Values = Mapping[str, float]
"""A measure by case; NaN where it is undefined."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of two models over the same cases.

    Attributes:
        first, second: the models' names.
        structure: its name.
        pairs: cases that both measured.
        unpaired: cases that only one of them could measure.
        difference: mean of second minus first over the pairs, with the interval `low` to `high`.
        p: of the signed-rank test; 1 where no pair differs, NaN without pairs.
        p_corrected: the same after Holm's correction.
    """

    first: str
    second: str
    structure: str
    pairs: int
    unpaired: int
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float = math.nan


def interval(
    values: Sequence[float], statistic: Callable[..., float] = np.mean, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a statistic; NaN for fewer than two values. The same seed, the same result.

    Args:
        values: one for each case, none of them NaN; or what `statistic` takes an array of.
        statistic: of an array, along its last axis where it has an argument `axis`. Resamples for which it is NaN do
            not count.
        seed: of the resampling.
        resamples: how many.
    """
    if len(values) < 2:
        return math.nan, math.nan
    with warnings.catch_warnings():  # a resample may repeat one case alone, of which a correlation is undefined
        warnings.simplefilter("ignore", DegenerateDataWarning)
        drawn = bootstrap(
            (np.asarray(values),), statistic, n_resamples=resamples, confidence_level=CONFIDENCE, method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution  # fmt: skip
    if np.isnan(drawn).all():
        return math.nan, math.nan
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def signed_rank(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where all differences are 0, NaN where there are none."""
    if differences.size == 0:
        return math.nan
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """The p values after Holm's step-down correction for their number; those that are NaN stay so and do not count."""
    tested = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    corrected, highest = [math.nan] * len(p), 0.0
    for rank, (value, i) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * value))
        corrected[i] = highest
    return corrected


def compare(first: tuple[str, Values], second: tuple[str, Values], structure: str, seed: int = 0) -> Comparison:
    """Compare two models, each a name and a measure by case, over the cases that both define."""
    (name, a), (other, b) = first, second
    defined = [{case for case, value in values.items() if not math.isnan(value)} for values in (a, b)]
    cases = sorted(defined[0] & defined[1])
    differences = np.array([b[case] - a[case] for case in cases])
    low, high = interval(differences.tolist(), seed=seed)
    return Comparison(
        first=name,
        second=other,
        structure=structure,
        pairs=len(cases),
        unpaired=len(defined[0] ^ defined[1]),
        difference=float(differences.mean()) if cases else math.nan,
        low=low,
        high=high,
        p=signed_rank(differences),
    )


def compare_models(
    models: Mapping[str, Mapping[str, Values]], all_pairs: bool = False, seed: int = 0
) -> list[Comparison]:
    """Compare models structure by structure: each with the first one, or all pairs.

    Args:
        models: for each model, by structure, a measure by case.
        all_pairs: whether to compare all pairs.
        seed: of the intervals.

    Returns:
        The comparisons, their p corrected for the number of all of them together.

    Raises:
        SettingError: fewer than two models.
    """
    if len(models) < 2:
        raise SettingError(f"There is nothing to compare {', '.join(models) or 'nothing'} with", "give two or more")
    names = list(models)
    pairs = list(combinations(names, 2)) if all_pairs else [(names[0], other) for other in names[1:]]
    structures = list(dict.fromkeys(structure for measured in models.values() for structure in measured))
    found = [
        compare((a, models[a].get(structure, {})), (b, models[b].get(structure, {})), structure, seed)
        for a, b in pairs
        for structure in structures
    ]
    corrected = holm([one.p for one in found])
    return [replace(one, p_corrected=p) for one, p in zip(found, corrected, strict=True)]
