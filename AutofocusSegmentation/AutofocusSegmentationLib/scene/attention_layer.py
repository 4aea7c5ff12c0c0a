"""What the worker tells of the attention of one autofocus layer, and of the classes' recalibration.

Array axes are (K, z, y, x) for K dilation rates or classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BACKGROUND = "Background"
PLANES = 8  # that are weighted at a time, so that they stay in the processor's cache


@dataclass(frozen=True)
class Layer:
    """What the worker tells of one autofocus layer. Building it takes time; a background thread may do so.

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


def rates_of(text: str) -> tuple[float, ...]:
    """Rates that are written one after another, "2 6 10" or, of streams at 1 and 3/4 of the size, "1 1.333333"."""
    numbers = [float(word) for word in text.split()]
    return tuple(int(number) if number.is_integer() else number for number in numbers)


@dataclass(frozen=True)
class Recalibration:
    """What the worker tells of it.

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


def effective_dilation(weights: NDArray[np.float32], rates_mm: Sequence[float]) -> NDArray[np.float32]:
    """Σₖ Λᵏ rₖ, (z, y, x), of weights (K, z, y, x); in mm if the rates are."""
    result = np.zeros(weights.shape[1:], np.float32)
    for start in range(0, len(result), PLANES):
        planes = slice(start, start + PLANES)
        for weight, rate in zip(weights[:, planes], rates_mm, strict=True):
            result[planes] += weight * np.float32(rate)
    return result
