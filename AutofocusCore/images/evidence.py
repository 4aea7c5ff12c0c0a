"""What a run leaves behind for the review of its result: probabilities, and what the scan is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid

Floats = npt.NDArray[np.float32]

PERCENTILES = (5.0, 50.0, 95.0)
"""Of the intensities within the patient, after normalisation: what tells a scan of another kind."""


@dataclass(frozen=True)
class Evidence:
    """Probabilities of a run and what the scan is like.

    Attributes:
        probabilities: (classes, D, H, W), background first, summing to 1.
        grid: where they are: the model's grid, cropped to what was predicted.
        scan: the grid of the first image.
        intensities: for each channel the `PERCENTILES` of its normalised values within the patient.
    """

    probabilities: Floats
    grid: Grid
    scan: Grid
    intensities: tuple[tuple[float, ...], ...] = ()


def summarise_intensities(volume: Floats, patient: npt.NDArray[np.bool_] | None) -> tuple[tuple[float, ...], ...]:
    """The `PERCENTILES` of each channel of a normalised volume (C, D, H, W), within the patient where he is known."""
    found = []
    for channel in volume:
        values = channel[patient] if patient is not None and patient.any() else channel.ravel()
        found.append(tuple(float(v) for v in np.percentile(values[:: max(1, values.size // 200_000)], PERCENTILES)))
    return tuple(found)
