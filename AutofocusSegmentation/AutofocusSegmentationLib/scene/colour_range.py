"""Ranges of the colours of attention maps: which values occur in the patient, without the air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.result import AttentionMap

LOW, HIGH = 2.0, 98.0  # percentiles between which the colours run
MOST_VALUES = 500_000  # used for percentiles; more values change nothing


def shown_weight(attention: AttentionMap, k: int) -> NDArray[np.float32]:
    """The weights of one rate, (z, y, x); 0 in the air where that is known."""
    weights = attention.weights[k]
    return weights if attention.patient is None else np.where(attention.patient, weights, np.float32(0))


def weights_range(attention: AttentionMap) -> tuple[float, float]:
    """The range of the weights of all rates in the patient, which one colour scale shows side by side."""
    patient = attention.patient
    return occurring_range(attention.weights if patient is None else attention.weights[:, patient])


def occurring_range(values: NDArray[np.float32], *, air_is_zero: bool = False) -> tuple[float, float]:
    """The 2nd and the 98th percentile, without the zeros if these are air; the range is never empty."""
    flat = values.reshape(-1)
    if air_is_zero:
        flat = flat[flat > 0]
    if flat.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(flat[:: max(1, flat.size // MOST_VALUES)], (LOW, HIGH)).tolist()
    least = max(abs(high), 1.0) * 1e-3
    return (low, high) if high - low > least else (low - least / 2, low + least / 2)
