"""What the parent says of the structures that a case does not contour, as labels that are no certainty.

Parent: the model that is taught. Its probabilities are computed once, on the unchanged scan, and move with the scan's
labels when its shape is changed. Source: Li and Hoiem, "Learning without Forgetting", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import grid_sample, log_softmax

from AutofocusCore.teaching.arithmetic import Arithmetic
from AutofocusCore.teaching.case import Case
from AutofocusCore.teaching.losses import soft_dice
from AutofocusCore.teaching.predicting import scores_of_scan


@dataclass(frozen=True)
class SoftLabels:
    """Probabilities of some structures in a case.

    Args:
        labels: values of the structures.
        shares: (structures, D, H, W) float16, 0 outside the case's ROI.
    """

    labels: tuple[int, ...]
    shares: NDArray[np.float16]

    def at(self, box: tuple[slice, slice, slice], places: Tensor) -> Tensor:
        """The probabilities (N, structures) at places (N, 3) in the box, in grid_sample's coordinates, linearly."""
        if not self.labels:
            return torch.zeros(len(places), 0)
        z, y, x = box
        volume = torch.from_numpy(self.shares[:, z, y, x].astype(np.float32))[None]
        found = grid_sample(volume, places[None, None, None], padding_mode="zeros", align_corners=True)
        return found[0, :, 0, 0].T.clamp(0, 1)


def with_soft_labels(case: Case, parent: nn.Module, classes: int, arithmetic: Arithmetic) -> Case:
    """The case with the parent's probabilities of the structures that are not known in it.

    Args:
        case: with its known structures.
        parent: network of the ROI domain, in evaluation mode.
        classes: of its output.
        arithmetic: of the run.
    """
    unknown = () if case.known is None else tuple(n for n in range(1, classes) if n not in case.known)
    shares = np.zeros((len(unknown), *case.labels.shape), dtype=np.float16)
    if unknown:
        probabilities = scores_of_scan(parent, case, arithmetic).softmax(1)[:, list(unknown)]
        shares[:, case.roi] = probabilities.T.half().cpu().numpy()
    return replace(case, soft=SoftLabels(unknown, shares))


def teaching_loss(logits: Tensor, labels: Tensor, unknown: tuple[int, ...], soft: Tensor) -> Tensor:
    """Cross-entropy and soft Dice of a scan where some structures are contoured, and others the parent's.

    A contoured voxel is its structure's. Of every other voxel, each unknown structure has the probability that the
    parent gave it, and the background has the rest. Small structures are next to nothing in the cross-entropy; so soft
    Dice is added, as the mean over the contoured structures of the scan and the mean over the parent's.

    Args:
        logits: (N, classes).
        labels: (N,), 0 where nothing is contoured.
        unknown: labels of the structures that are not known in the scan.
        soft: (N, len(unknown)), the parent's probabilities.
    """
    scores = log_softmax(logits.float(), dim=1)
    probabilities = scores.exp()
    contoured = labels > 0
    entropy = -scores.gather(1, labels[:, None])[:, 0]
    kept = logits.new_zeros((), dtype=torch.float32)
    if unknown:
        soft = soft * ~contoured[:, None]
        background = (1 - soft.sum(1)).clamp(min=0)
        parents = -(background * scores[:, 0] + (soft * scores[:, list(unknown)]).sum(1))
        entropy = torch.where(contoured, entropy, parents)
        there = soft.sum(0) >= 1
        if there.any():
            kept = _difference(probabilities[:, list(unknown)], soft)[there].mean()
    total = entropy.mean() + kept
    found = torch.bincount(labels, minlength=scores.shape[1])[1:] > 0
    return total + soft_dice(probabilities, labels)[found].mean() if found.any() else total


def _difference(found: Tensor, wanted: Tensor) -> Tensor:
    """One minus the soft Dice of columns (N, structures), with squares: 0 where both are equal, however unsure."""
    both = (found * wanted).sum(0)
    return 1 - (2 * both + 1) / (found.square().sum(0) + wanted.square().sum(0) + 1)
