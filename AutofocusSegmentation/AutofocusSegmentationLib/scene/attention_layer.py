"""What the worker tells of the attention of a run: weights of each autofocus layer, the reach, the recalibration.

Array axes are (K, z, y, x) for K dilation rates or classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BACKGROUND = "Background"
PLANES = 8  # that are weighted at a time, so that they stay in the processor's cache
LOW, HIGH = 2.0, 98.0  # percentiles between which the colours run
MOST_VALUES = 500_000  # that percentiles are taken of; more change nothing


@dataclass(frozen=True)
class Layer:
    """Attention of one autofocus layer. Building it takes time; a background thread may do so.

    Attributes:
        index: from 0.
        rates: the K dilation rates in voxels; whole numbers are int, so that texts say "2" and not "2.0".
        rates_mm: the same in mm.
        weights: (K, z, y, x) float32.
        index_to_lps: 4 × 4, from (i, j, k, 1) of the grid to mm, LPS.
        effective_mm: (z, y, x), Σₖ Λᵏ rₖ in mm; computed if not given.
        air_is_zero: whether `effective_mm` is 0 in the air around the patient, where nobody wants to see colours.
    """

    index: int
    rates: tuple[float, ...]
    rates_mm: tuple[float, ...]
    weights: NDArray[np.float32] = field(repr=False)
    index_to_lps: NDArray[np.float64] = field(repr=False)
    effective_mm: NDArray[np.float32] | None = field(default=None, repr=False)
    air_is_zero: bool = False

    def __post_init__(self) -> None:
        if not len(self.rates) == len(self.rates_mm) == len(self.weights):
            raise ValueError(f"{len(self.weights)} weights for the rates {self.rates} and {self.rates_mm} mm")
        if self.effective_mm is None:
            object.__setattr__(self, "effective_mm", effective_dilation(self.weights, self.rates_mm))

    @property
    def effective(self) -> NDArray[np.float32]:
        """`effective_mm`, which is there once the layer is built."""
        assert self.effective_mm is not None
        return self.effective_mm

    def weight(self, k: int) -> NDArray[np.float32]:
        """The weights of one rate, (z, y, x); 0 in the air where that is known."""
        return np.where(self.effective > 0, self.weights[k], np.float32(0)) if self.air_is_zero else self.weights[k]

    def weights_range(self) -> tuple[float, float]:
        """The range of the weights of all rates in the patient, which one colour scale shows side by side."""
        patient = self.effective > 0 if self.air_is_zero else np.ones(self.effective.shape, bool)
        return occurring_range(self.weights[:, patient])


@dataclass(frozen=True)
class Reach:
    """How far the network looked from each voxel, all layers together.

    Attributes:
        values: (z, y, x) float32, mm.
        index_to_lps: 4 × 4, from (i, j, k, 1) of the grid to mm, LPS.
        air_is_zero: whether `values` is 0 in the air around the patient.
    """

    values: NDArray[np.float32] = field(repr=False)
    index_to_lps: NDArray[np.float64] = field(repr=False)
    air_is_zero: bool = False


@dataclass(frozen=True)
class Recalibration:
    """What a network of scale streams did to the scores of each class.

    Attributes:
        classes: their names, background first.
        factors: (class, z, y, x) float32, 0 to 1.
        index_to_lps: 4 × 4, from (i, j, k, 1) of the grid to mm, LPS.
    """

    classes: tuple[str, ...]
    factors: NDArray[np.float32] = field(repr=False)
    index_to_lps: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.factors):
            raise ValueError(f"{len(self.factors)} maps for the classes {', '.join(self.classes)}")


def rates_of(text: str) -> tuple[float, ...]:
    """Rates that are written one after another, "2 6 10" or, of streams at 1 and 3/4 of the size, "1 1.333333"."""
    numbers = [float(word) for word in text.split()]
    return tuple(int(number) if number.is_integer() else number for number in numbers)


def occurring_range(values: NDArray[np.float32], *, air_is_zero: bool = False) -> tuple[float, float]:
    """What occurs: the 2nd and the 98th percentile, in the patient where zeros are air. Never empty."""
    flat = values.reshape(-1)
    if air_is_zero:
        flat = flat[flat > 0]
    if flat.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(flat[:: max(1, flat.size // MOST_VALUES)], (LOW, HIGH)).tolist()
    least = max(abs(high), 1.0) * 1e-3
    return (low, high) if high - low > least else (low - least / 2, low + least / 2)


def effective_dilation(weights: NDArray[np.float32], rates_mm: Sequence[float]) -> NDArray[np.float32]:
    """Σₖ Λᵏ rₖ, (z, y, x), of weights (K, z, y, x); in mm if the rates are."""
    result = np.zeros(weights.shape[1:], np.float32)
    for start in range(0, len(result), PLANES):
        planes = slice(start, start + PLANES)
        for weight, rate in zip(weights[:, planes], rates_mm, strict=True):
            result[planes] += weight * np.float32(rate)
    return result
