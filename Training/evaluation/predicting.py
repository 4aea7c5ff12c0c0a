"""Labels of a case on the model's grid, predicted in the same way as by the product."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import AutofocusCore
from AutofocusCore.images.labelling import keep_main_parts
from AutofocusCore.inference import resolve_device
from AutofocusCore.inference.prediction import in_roi_domain
from AutofocusCore.models import ModelSpec
from AutofocusCore.teaching.case import Case
from AutofocusCore.teaching.predicting import labels_of_scan
from Training.loop.baseline import DynUNetBaseline
from Training.loop.step import Arithmetic


def predicted_labels(
    network: nn.Module, case: Case, spec: ModelSpec | None = None, *, device: str = "cpu", precision: str = "float32"
) -> NDArray[np.uint8]:
    """Labels (D, H, W) of a case as `segment_image` finds them, though on the model's grid.

    That is in exact mode, background outside the case's box and outside the ROI mask of a network of the ROI domain,
    and without stray parts of structures that the model calls connected.

    Args:
        network: in evaluation mode.
        case: on the model's grid.
        spec: of the model; without it, no parts are removed.
        device, precision: as for `AutofocusCore.predict_volume`.
    """
    labels = np.zeros(case.labels.shape, dtype=np.uint8)
    if isinstance(network, DynUNetBaseline):
        labels = labels_of_scan(network, case, Arithmetic("float32", torch.device(resolve_device(device).id)))
    else:
        prediction = AutofocusCore.predict_volume(
            network, case.image, background=case.background, device=device, precision=precision, region=case.box,
            mask=roi_of(network, case, spec),
        )  # fmt: skip
        box = case.box or tuple((0, extent) for extent in labels.shape)
        labels[tuple(slice(*ends) for ends in box)] = prediction.logits.argmax(0).numpy()
    if spec is not None:
        keep_main_parts(labels, spec.connected, spec.spacing or (1.0, 1.0, 1.0))
    return labels


def roi_of(network: nn.Module, case: Case, spec: ModelSpec | None = None) -> NDArray[np.bool_] | None:
    """The ROI mask (D, H, W) that a network computes a case in; None for all voxels, as in the box domain."""
    everywhere = spec is not None and spec.roi == "none"
    return case.roi if in_roi_domain(network) and not everywhere else None  # type: ignore[arg-type]


def dice_per_structure(network: nn.Module, case: Case, structures: int) -> NDArray[np.float64]:
    """Dice of structures 1 to n, NaN where the case has none of it. `network` is in evaluation mode."""
    found = predicted_labels(copy.deepcopy(network).cpu(), case, precision="auto")
    scores = []
    for label in range(1, structures + 1):
        truth, guess = case.labels == label, found == label
        total = truth.sum() + guess.sum()
        scores.append(2 * (truth & guess).sum() / total if truth.any() else np.nan)
    return np.array(scores)
