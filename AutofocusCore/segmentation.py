"""Segment an image: the whole way from scans to a labelmap on the first scan's own grid."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import SettingError
from AutofocusCore.images.checks import nothing_found
from AutofocusCore.images.geometry import Grid, Region
from AutofocusCore.images.labelling import check_smallest, count_steps, keep_main_parts, label_image, remove_islands
from AutofocusCore.images.preparing import CheckedChannels, Prepared, check_channels, prepare_checked
from AutofocusCore.images.roi import Roi, RoiBox, check_roi, common_region, roi_mask, roi_region
from AutofocusCore.models.spec import ModelSpec
from AutofocusCore.result import BACKGROUND, AttentionMap, ReachMap, Recalibration, SegmentationResult
from AutofocusCore.review.evidence import evidence_of, summarise_intensities

if TYPE_CHECKING:
    from AutofocusCore.inference import CancelledCallback, Device, Prediction, ProgressCallback

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
    from AutofocusCore.inference import resolve_device
    from AutofocusCore.inference.arguments import check_options

    check_options(mode, precision, memory_limit, attention, progress, cancelled)
    return segment_checked(
        model,
        checked,
        roi=roi,
        mode=mode,
        device=resolve_device(device),
        precision=precision,
        memory_limit=memory_limit,
        attention=attention,
        probabilities=probabilities,
        evidence=evidence,
        smallest_island_mm3=smallest_island_mm3,
        progress=progress,
        cancelled=cancelled,
    )


def segment_checked(
    model: SegmentationModel,
    channels: CheckedChannels,
    *,
    roi: Roi | None,
    mode: Literal["exact", "paper"],
    device: Device,
    precision: str,
    memory_limit: int | None,
    attention: Literal["all"] | Sequence[int] | None,
    probabilities: bool,
    evidence: bool,
    smallest_island_mm3: float,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> SegmentationResult:
    """As `segment_image`, for arguments that have been checked; they are not checked again."""
    from AutofocusCore.inference.progress import Reporter

    started = time.monotonic()
    reporter = Reporter("prepare", len(channels.images) + 1, progress, cancelled)
    prepared = prepare_checked(channels, model.spec, reporter.step)
    region = prepared.region
    if roi is not None:
        region = common_region(region, roi_region(roi, prepared.grid))
    network = model.build()
    reporter.step()
    ready = time.monotonic()
    prediction = _predict(
        network, model.spec, prepared, region, mode, device, precision, memory_limit, attention, progress, cancelled
    )
    predicted = time.monotonic()

    inner, target = prepared.grid.crop(region), Grid.of(channels.images[0])
    patient = None if prepared.patient is None else prepared.patient[tuple(slice(*ends) for ends in region)]
    warnings = prepared.warnings
    intensities = summarise_intensities(prepared.volume, prepared.patient) if evidence else ()
    del prepared
    reporter = Reporter("resample", count_steps(len(prediction.logits), inner, target) + 1, progress, cancelled)
    scores = prediction.logits.numpy()
    labels, resampled = _on_scan(
        scores, inner, target, model.spec, roi, smallest_island_mm3, keep=probabilities, step=reporter.step
    )
    if not labels.any():
        warnings += (nothing_found(channels.names[0], roi is not None),)
    reporter.step()
    ended = time.monotonic()

    beyond = None if roi is None or not evidence else ~roi_mask(roi, inner)
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
        evidence=evidence_of(scores, inner, labels, target, intensities, beyond) if evidence else None,
        scan=channels.images[0],
        plan=prediction.plan.describe(),
        device=prediction.device,
        precision=prediction.precision,
        seconds={"prepare": ready - started, "predict": predicted - ready, "resample": ended - predicted},
        warnings=warnings,
    )


def _predict(
    network: Any,
    spec: ModelSpec,
    prepared: Prepared,
    region: Region,
    mode: Literal["exact", "paper"],
    device: Device,
    precision: str,
    memory_limit: int | None,
    attention: Literal["all"] | Sequence[int] | None,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> Prediction:
    """The prediction for the region; its logits have become probabilities, in the same memory.

    Where a network of the ROI domain computes nothing, background is certain.
    """
    import torch

    from AutofocusCore.inference.devices import resolve_precision
    from AutofocusCore.inference.prediction import predict_task
    from AutofocusCore.inference.task import Task

    active = prepared.patient if spec.roi != "none" else None
    volume, background = torch.from_numpy(prepared.volume), torch.tensor(prepared.background)
    layers: Sequence[int] | None = None
    if isinstance(attention, str):
        layers = range(network.autofocus_layers)
    elif attention is not None:
        from AutofocusCore.inference.arguments import as_layers

        layers = as_layers(attention, network)
    task = Task.of(network, volume, background, region, layers)
    mask = None if active is None else torch.from_numpy(np.ascontiguousarray(active))
    precision = resolve_precision(precision, device, mode)
    prediction = predict_task(network, task, mask, mode, device, precision, memory_limit, progress, cancelled)
    if active is not None:
        prediction.logits[0][torch.from_numpy(~active[tuple(slice(*ends) for ends in region)])] = CERTAIN
    for plane in range(prediction.logits.shape[1]):
        prediction.logits[:, plane] = torch.softmax(prediction.logits[:, plane], dim=0)
    return prediction


def _on_scan(
    scores: npt.NDArray[np.float32],
    grid: Grid,
    scan: Grid,
    spec: ModelSpec,
    roi: Roi | None,
    smallest_island_mm3: float,
    *,
    keep: bool,
    step: Callable[[], None],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32] | None]:
    """Labels on the scan's grid, within the region of interest and without islands, and the resampled probabilities."""
    labels, resampled = label_image(scores, grid, scan, keep=keep, step=step)
    if roi is not None:
        outside = ~roi_mask(roi, scan)
        labels[outside] = 0
        if resampled is not None:
            resampled[outside] = np.eye(1, resampled.shape[-1], dtype=np.float32)
    keep_main_parts(labels, spec.connected, scan.spacing)
    if smallest_island_mm3 > 0:
        remove_islands(labels, scan.voxel_mm3, smallest_island_mm3)
    return labels, resampled


def _check(model: Any, probabilities: Any, evidence: Any) -> None:
    if not hasattr(model, "spec") or not hasattr(model, "build"):
        raise SettingError(f"The model is {reprlib.repr(model)}", "give one that AutofocusCore.models has opened")
    for name, value in (("probabilities", probabilities), ("evidence", evidence)):
        if not isinstance(value, (bool, np.bool_)):
            raise SettingError(f"{name} is {reprlib.repr(value)}", "give true or false")
