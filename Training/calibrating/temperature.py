"""Fits the temperature that makes the reference contours most likely (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.images.label_sampling import sample_labels
from AutofocusCore.review.evidence import Evidence, calibrated
from Training.calibrating.cases import Collection

TEMPERATURES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0)
EVERY = 3
"""Every n-th voxel is used."""


def likelihoods(
    evidence: Evidence, truth: sitk.Image, data: Collection, case: str, names: Sequence[str]
) -> NDArray[np.float64]:
    """Mean negative log-likelihood of a case's contours under each of the `TEMPERATURES`.

    A structure that was not contoured is unknown and may be anywhere outside the contours, so its probability is
    added to that of the background.
    """
    on_grid = sample_labels(truth, evidence.grid).ravel()[::EVERY]
    known = data.known(case)
    target = np.zeros(on_grid.shape, dtype=np.int64)
    for index, name in enumerate(names, start=1):
        if name in known:
            target[on_grid == data.values[name]] = index
    unknown = [index for index, name in enumerate(names, start=1) if name not in known]
    some = np.ascontiguousarray(evidence.probabilities.reshape(len(names) + 1, -1)[:, ::EVERY])
    found = []
    for temperature in TEMPERATURES:
        scaled = calibrated(some, temperature)
        scaled[0] += scaled[unknown].sum(axis=0)
        right = np.take_along_axis(scaled, target[None], axis=0)[0]
        found.append(float(-np.log(np.maximum(right, 1e-6)).mean()))
    return np.asarray(found)


def best_temperature(tables: Sequence[NDArray[np.float64]]) -> float:
    """The temperature with the lowest mean over the cases."""
    return TEMPERATURES[int(np.mean(tables, axis=0).argmin())]
