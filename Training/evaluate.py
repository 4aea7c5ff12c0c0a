"""Dice on whole cases, through the prediction that everybody uses."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray
from torch import nn

import AutofocusCore

from .sampling import Case


def dice_per_structure(network: nn.Module, case: Case) -> NDArray[np.float64]:
    """Dice of each structure (classes 1 to n), NaN where the case has none of it. `network` is in evaluation mode."""
    plain = copy.deepcopy(network).cpu()
    prediction = AutofocusCore.predict_volume(plain, case.image, background=case.background, device="cpu")
    found = prediction.logits.argmax(0).numpy()
    scores = []
    for label in range(1, prediction.logits.shape[0]):
        truth, guess = case.labels == label, found == label
        total = truth.sum() + guess.sum()
        scores.append(2 * (truth & guess).sum() / total if truth.any() else np.nan)
    return np.array(scores)
