"""Probabilities as the review uses them: calibrated, and their uncertainty as a map.

The probabilities of a large CT take gigabytes. Everything else is computed from them plane by plane, so that at most
one more volume is in memory: the probability of one class, or the uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Box = tuple[slice, slice, slice]

LEAST = 1e-6
"""Smaller probabilities are set to this, so that their logarithm is finite."""


def calibrated(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities after temperature scaling (Guo et al. 2017): softmax(log p / T); T > 1 makes them less sure.

    Args:
        probabilities: (classes, ...), summing to 1 over the classes.
        temperature: T.

    Returns:
        A new array, float32, of the same shape.
    """
    scaled = np.maximum(probabilities.astype(np.float32), LEAST)
    if temperature != 1.0:
        np.power(scaled, np.float32(1.0 / temperature), out=scaled)
    scaled /= scaled.sum(axis=0, keepdims=True)
    return scaled


def probability_of(label: int, probabilities: Floats, box: Box, temperature: float) -> Floats:
    """The calibrated probability of one class within a box, (d, h, w), computed plane by plane."""
    part = probabilities[:, box[0], box[1], box[2]]
    found = np.empty(part.shape[1:], dtype=np.float32)
    for plane in range(len(found)):
        found[plane] = calibrated(part[:, plane], temperature)[label]
    return found


def doubt_of(probabilities: Floats, temperature: float) -> Floats:
    """Entropy in bits of the calibrated probabilities, (D, H, W), computed plane by plane."""
    doubt = np.empty(probabilities.shape[1:], dtype=np.float32)
    for plane in range(len(doubt)):
        doubt[plane] = entropy_bits(calibrated(probabilities[:, plane], temperature))
    return doubt


def entropy_bits(probabilities: Floats) -> Floats:
    """Entropy of the classes in bits, (...): 0 where one is certain, 1 where two are equally likely."""
    total = np.zeros(probabilities.shape[1:], dtype=np.float32)
    for probability in probabilities:
        safe = np.maximum(probability, np.float32(LEAST))
        total -= probability * np.log2(safe)
    return np.maximum(total, 0.0)


def bounding_box(mask: npt.NDArray[np.bool_], margins: Sequence[int]) -> Box:
    """The box round a mask's true voxels, wider by the margins (z, y, x) but within the array; all if none is true."""
    box = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        size = mask.shape[axis]
        first, last = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, size)
        box.append(slice(max(0, first - margins[axis]), min(size, last + margins[axis])))
    return (box[0], box[1], box[2])
