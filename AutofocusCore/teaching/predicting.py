"""Labels and Dice of a case by a network that learns, on the model's grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.models.spec import ModelSpec
from AutofocusCore.teaching.arithmetic import Arithmetic
from AutofocusCore.teaching.case import Case


@torch.no_grad()
def labels_of_scan(network: nn.Module, case: Case, arithmetic: Arithmetic) -> NDArray[np.uint8]:
    """Labels (D, H, W) of a case by a network of the ROI domain, in the arithmetic of the run.

    Raises:
        InputError: the case's ROI is empty.
    """
    labels = np.zeros(case.labels.shape, dtype=np.uint8)
    labels[case.roi] = scores_of_scan(network, case, arithmetic).argmax(1).cpu().numpy()
    return labels


@torch.no_grad()
def scores_of_scan(network: nn.Module, case: Case, arithmetic: Arithmetic) -> Tensor:
    """Logits (N, classes) float32 of the voxels of a case's ROI, in raster order.

    Raises:
        InputError: the case's ROI is empty.
    """
    z, y, x = case.roi_box()
    voxels = ActiveVoxels.from_mask(torch.from_numpy(case.roi[z, y, x].copy())[None].to(arithmetic.device))
    rows = voxels.gather(torch.from_numpy(case.image[:, z, y, x].copy())[None].to(arithmetic.device))
    lowered = rows.to(arithmetic.type) if arithmetic.low else rows
    logits, _ = network.forward_rows(lowered, voxels)  # type: ignore[operator]
    return logits.float()


def dice_of_scan(network: nn.Module, case: Case, structures: int, arithmetic: Arithmetic) -> NDArray[np.float64]:
    """Dice of structures 1 to n; NaN where the case has none, or it is not known. `network` is in evaluation mode."""
    found = labels_of_scan(copy.deepcopy(network).eval(), case, arithmetic)
    scores = np.full(structures, np.nan)
    for label in range(1, structures + 1):
        truth, guess = case.labels == label, found == label
        if truth.any() and (case.known is None or label in case.known):
            scores[label - 1] = 2 * (truth & guess).sum() / (truth.sum() + guess.sum())
    return scores


def mean_dice(network: nn.Module, cases: Sequence[Case], spec: ModelSpec, arithmetic: Arithmetic) -> float:
    """Mean over the structures of the mean Dice over the cases in which each is known; 0 where none is."""
    scores = np.stack([dice_of_scan(network, case, len(spec.structures), arithmetic) for case in cases])
    means = [float(of_one[np.isfinite(of_one)].mean()) for of_one in scores.T if np.isfinite(of_one).any()]
    return sum(means) / len(means) if means else 0.0
