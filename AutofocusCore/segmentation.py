"""Segment an image: the whole way from scans to a labelmap on the first scan's own grid."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import SettingError
from AutofocusCore.images.checks import name_of
from AutofocusCore.images.evidence import evidence_of, summarise_intensities
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.islands import check_smallest, keep_main_parts, remove_islands
from AutofocusCore.images.labelling import count_steps, label_image
from AutofocusCore.images.plausible import nothing_found
from AutofocusCore.images.preparing import check_channels, prepare_checked
from AutofocusCore.images.roi import Roi, RoiBox, check_roi, common_region, roi_mask, roi_region
from AutofocusCore.models.spec import ModelSpec
from AutofocusCore.result import BACKGROUND, AttentionMap, ReachMap, Recalibration, SegmentationResult

if TYPE_CHECKING:
    from torch import Tensor

    from AutofocusCore.inference import CancelledCallback, ProgressCallback

__all__ = ["AttentionMap", "ReachMap", "RoiBox", "SegmentationModel", "SegmentationResult", "segment_image"]


CERTAIN = 30.0
"""Background's score where a network of the ROI domain computes nothing: certainty."""


class SegmentationModel(Protocol):
    """What is needed of a model: its description and its network."""

    @property
    def spec(self) -> ModelSpec:
        """What it takes and gives."""

    def build(self) -> Any:
        """The network, in evaluation mode."""


def segment_image(
    model: SegmentationModel,
    channels: Sequence[sitk.Image],
    *,
    roi: Roi | None = None,
    mode: Literal["exact", "paper"] = "exact",
    device: str = "auto",
    precision: str = "auto",
    memory_limit: int | None = None,
    attention: Literal["all"] | Sequence[int] | None = None,
    probabilities: bool = False,
    evidence: bool = False,
    smallest_island_mm3: float = 0.0,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
) -> SegmentationResult:
    """Segment one patient's image or images.

    Every channel is resampled, in millimetres, to the model's spacing and orientation over the extent of the first
    channel, and normalised. The network runs over the part that holds the body, or the region of interest, with all
    of the volume as context. Its probabilities are resampled to the first channel's grid, and the largest wins. If the
    model calls a structure connected, parts far from its largest part are removed.

    Args:
        model: from `AutofocusCore.models`.
        channels: scalar 3-D images in the model's order, on any grids.
        roi: a mask image (voxels other than 0) or a box. Outside it everything is background; inside it the result is
            that of the whole image.
        mode: "exact" or "paper", as for `AutofocusCore.predict_volume`.
        device: "auto", "cpu", "cuda:N" or "mps".
        precision: "auto", "float32", "bfloat16" or "float16".
        memory_limit: bytes that the prediction may take on the device.
        attention: None, "all", or indices of the autofocus layers whose maps are returned.
        probabilities: whether to return them on the first channel's grid.
        evidence: whether to return the probabilities on the model's grid, for a review.
        smallest_island_mm3: connected parts of a structure smaller than this become background.
        progress: called with an `AutofocusCore.inference.Progress` for the stages "prepare", "predict", "resample".
        cancelled: asked between steps whether to stop.

    Raises:
        InputError: an image or the region of interest cannot be used, or does not fit the others.
        SettingError, DeviceError, MemoryLimitError: as in `AutofocusCore.predict_volume`.
        Cancelled: `cancelled` returned true.
    """
    _check(model, probabilities, evidence)
    checked = check_channels(channels, model.spec)  # before torch is loaded
    check_roi(roi)
    check_smallest(smallest_island_mm3)
    import torch

    from AutofocusCore.inference import predict_volume, resolve_device
    from AutofocusCore.inference.arguments import check_options
    from AutofocusCore.inference.progress import Reporter

    check_options(mode, precision, memory_limit, attention, progress, cancelled)
    resolve_device(device)
    clock = _Clock()
    reporter = Reporter("prepare", len(channels) + 1, progress, cancelled)
    reporter.check()

    def step(report: Reporter) -> None:
        report.advance(1 / report.total)
        report.check()

    prepared = prepare_checked(checked, model.spec, lambda: step(reporter))
    region = prepared.region
    if roi is not None:
        region = common_region(region, roi_region(roi, prepared.grid))
    network = model.build()
    step(reporter)
    clock.stop("prepare")
    active = prepared.patient if model.spec.roi != "none" else None
    prediction = predict_volume(
        network,
        prepared.volume,
        background=prepared.background,
        mode=mode,
        device=device,
        precision=precision,
        memory_limit=memory_limit,
        attention=attention,
        progress=progress,
        cancelled=cancelled,
        region=region,
        mask=active,
    )
    clock.stop("predict")

    inner, target = prepared.grid.crop(region), Grid.of(channels[0])
    warnings, patient = prepared.warnings, prepared.patient
    if patient is not None:
        patient = patient[tuple(slice(*ends) for ends in region)]
    if active is not None and patient is not None:
        prediction.logits[0][torch.from_numpy(~patient)] = CERTAIN
    intensities = summarise_intensities(prepared.volume, prepared.patient) if evidence else ()
    del prepared, active, checked
    reporter = Reporter("resample", count_steps(len(prediction.logits), inner, target) + 1, progress, cancelled)
    reporter.check()
    scores = _softmax(prediction.logits)
    labels, resampled = label_image(scores, inner, target, keep=probabilities, step=lambda: step(reporter))
    if roi is not None:
        outside = ~roi_mask(roi, target)
        labels[outside] = 0
        if resampled is not None:
            resampled[outside] = np.eye(1, resampled.shape[-1], dtype=np.float32)
    keep_main_parts(labels, model.spec.connected, target.spacing)
    if smallest_island_mm3 > 0:
        remove_islands(labels, target.voxel_mm3, smallest_island_mm3)
    if not labels.any():
        warnings += (nothing_found(name_of(channels[0]), roi is not None),)
    step(reporter)
    clock.stop("resample")

    reviewed = None
    if evidence:
        beyond = None if roi is None else ~roi_mask(roi, inner)
        reviewed = evidence_of(scores, inner, labels, target, intensities, beyond)
    rates = tuple(network.dilation_rates)
    maps = {i: AttentionMap(weights.numpy(), rates, inner, patient) for i, weights in prediction.attention.items()}
    factors = prediction.recalibration
    classes = (BACKGROUND, *(structure.name for structure in model.spec.structures))
    return SegmentationResult(
        label_array=labels,
        grid=target,
        structures=model.spec.structures,
        attention=maps,
        reach=ReachMap.of(network, maps),
        recalibration=None if factors is None else Recalibration(factors.numpy(), inner, classes),
        probability_array=resampled,
        evidence=reviewed,
        scan=channels[0],
        plan=prediction.plan.describe(),
        device=prediction.device,
        precision=prediction.precision,
        seconds=clock.seconds,
        warnings=warnings,
    )


def _check(model: Any, probabilities: Any, evidence: Any) -> None:
    if not hasattr(model, "spec") or not hasattr(model, "build"):
        raise SettingError(f"The model is {reprlib.repr(model)}", "give one that AutofocusCore.models has opened")
    for name, value in (("probabilities", probabilities), ("evidence", evidence)):
        if not isinstance(value, (bool, np.bool_)):
            raise SettingError(f"{name} is {reprlib.repr(value)}", "give true or false")


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def stop(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = now - self.last
        self.last = now


def _softmax(logits: Tensor) -> npt.NDArray[np.float32]:
    """Probabilities (classes, D, H, W) in the memory of the logits."""
    import torch

    for plane in range(logits.shape[1]):
        logits[:, plane] = torch.softmax(logits[:, plane], dim=0)
    return logits.numpy()
