"""Segment an image: the whole way from scans to a labelmap on the first scan's own grid."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.checks import name_of
from AutofocusCore.images.evidence import Evidence, summarise_intensities
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.islands import check_smallest, keep_largest, remove_islands
from AutofocusCore.images.labelling import count_steps, label_image
from AutofocusCore.images.plausible import nothing_found
from AutofocusCore.images.preparing import check_channels, prepare
from AutofocusCore.images.resampling import to_image, to_vector_image
from AutofocusCore.images.roi import Roi, RoiBox, common_region, roi_mask, roi_region
from AutofocusCore.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

    from AutofocusCore.inference import CancelledCallback, Plan, ProgressCallback

__all__ = ["AttentionMap", "ReachMap", "RoiBox", "Segmentation", "SegmentationModel", "segment_image"]


CERTAIN = 30.0
"""Background's score where a network of the ROI domain computes nothing: certainty."""


class SegmentationModel(Protocol):
    """What is needed of a model: its description and its network."""

    @property
    def spec(self) -> ModelSpec:
        """What it takes and gives."""

    def build(self) -> Any:
        """The network, in evaluation mode."""


@dataclass(frozen=True)
class AttentionMap:
    """Where one autofocus layer looked how far, or which of its streams a network of scale streams used where.

    Attributes:
        weights: (K, D, H, W) float32, summing to 1 over K.
        rates: the K dilation rates, in voxels of the grid. A stream that sees the image at half its size has the rate
            2: its kernels take every second voxel, as those of dilation 2 do.
        grid: the model's grid, cropped to what was predicted.
        patient: (D, H, W), where the patient is and not air; None where that is not known.
    """

    weights: npt.NDArray[np.float32]
    rates: tuple[float, ...]
    grid: Grid
    patient: npt.NDArray[np.bool_] | None = None

    def effective_dilation_mm(self) -> npt.NDArray[np.float32]:
        """Σₖ Λᵏ rₖ in mm, (D, H, W); a voxel of unequal edges counts as a cube of its volume."""
        effective = np.tensordot(np.asarray(self.rates, dtype=np.float32), self.weights, axes=1)
        return (effective * np.float32(self.grid.voxel_mm3 ** (1 / 3))).astype(np.float32)


@dataclass(frozen=True)
class ReachMap:
    """How far the network looked from each voxel, all layers together.

    Attributes:
        values: (D, H, W) float32, mm; 0 in the air around the patient, where that is known.
        grid: the model's grid, cropped to what was predicted.
        patient: (D, H, W), where the patient is and not air; None where that is not known.
    """

    values: npt.NDArray[np.float32]
    grid: Grid
    patient: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, network: Any, attention: Mapping[int, AttentionMap]) -> ReachMap | None:
        """The reach of a network with this attention; None where it chooses nothing, or maps of layers are missing.

        The sum over the autofocus layers of the effective dilation, and the rates of the fixed layers, in mm; see
        `AutofocusCore.networks.reach`.
        """
        from AutofocusCore.networks.reach import reach_of

        reach = reach_of(network)
        if reach is None or len(attention) < network.autofocus_layers:
            return None
        first = next(iter(attention.values()))
        values = np.full(first.weights.shape[1:], reach.fixed * first.grid.voxel_mm3 ** (1 / 3), np.float32)
        for layer in attention.values():
            values += np.float32(reach.factor) * layer.effective_dilation_mm()
        if first.patient is not None:
            values[~first.patient] = 0.0
        return cls(values, first.grid, first.patient)


@dataclass(frozen=True)
class Recalibration:
    """What a network of scale streams did to the scores of each class.

    Attributes:
        factors: (classes, D, H, W) float32, background first: from 0, suppressed, to 1.
        grid: the model's grid, cropped to what was predicted.
    """

    factors: npt.NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True)
class Segmentation:
    """What came of it.

    Attributes:
        labels: 8-bit image with exactly the first channel's grid; 0 is background.
        probabilities: vector image (a component for each class, background first) on the same grid, where asked for.
        attention: maps by index of the autofocus layer, where asked for.
        recalibration: of a network of scale streams that has it, where attention was asked for.
        reach: how far the network looked, where the attention of all its layers was asked for.
        evidence: what `AutofocusCore.review` needs, where asked for.
        plan: how the volume was computed.
        device, precision: where and in what.
        seconds: wall time of the stages "prepare", "predict", "resample".
        warnings: sentences for the user.
    """

    labels: sitk.Image
    probabilities: sitk.Image | None
    attention: dict[int, AttentionMap]
    plan: Plan
    device: str
    precision: str
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    recalibration: Recalibration | None = None
    reach: ReachMap | None = None
    evidence: Evidence | None = None


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
) -> Segmentation:
    """Segment one patient's image or images.

    Every channel is resampled, in millimetres, to the model's spacing and orientation over the extent of the first
    channel, and normalised. The network runs over the part that holds the body, or the region of interest, with all
    of the volume as context. Its probabilities are resampled to the first channel's grid, and the largest wins. Of a
    structure that the model calls connected, the largest part stays.

    Args:
        model: from `AutofocusCore.models`.
        channels: scalar 3-D images in the model's order, on any grids.
        roi: a mask image (voxels other than 0) or a box. Outside it everything is background; inside it the result is
            that of the whole image.
        mode: "exact" or "paper", as for `AutofocusCore.predict_volume`.
        device: "auto", "cpu", "cuda:N" or "mps".
        precision: "auto", "float32", "bfloat16" or "float16".
        memory_limit: bytes that the prediction may take on the device.
        attention: None, "all", or indices of the autofocus layers whose maps are wanted.
        probabilities: whether they are wanted too.
        evidence: whether the probabilities on the model's grid are wanted, for a review.
        smallest_island_mm3: connected parts of a structure smaller than this become background.
        progress: called with an `AutofocusCore.inference.Progress` for the stages "prepare", "predict", "resample".
        cancelled: asked between steps whether to stop.

    Raises:
        InputError: an image or the region of interest cannot be used, or does not fit the others.
        SettingError, DeviceError, MemoryLimitError: as in `AutofocusCore.predict_volume`.
        Cancelled: `cancelled` said so.
    """
    check_channels(channels, model.spec)  # before torch is loaded
    check_smallest(smallest_island_mm3)
    import torch

    from AutofocusCore.inference import predict_volume
    from AutofocusCore.inference.progress import Reporter

    clock = _Clock()
    reporter = Reporter("prepare", len(channels) + 1, progress, cancelled)
    reporter.check()

    def step(report: Reporter) -> None:
        report.advance(1 / report.total)
        report.check()

    prepared = prepare(channels, model.spec, lambda: step(reporter))
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
    del prepared, active
    reporter = Reporter("resample", count_steps(len(prediction.logits), inner, target) + 1, progress, cancelled)
    reporter.check()
    scores = _softmax(prediction.logits)
    labels, resampled = label_image(scores, inner, target, keep=probabilities, step=lambda: step(reporter))
    if roi is not None:
        outside = ~roi_mask(roi, target)
        labels[outside] = 0
        if resampled is not None:
            resampled[outside] = np.eye(1, resampled.shape[-1], dtype=np.float32)
    keep_largest(labels, model.spec.connected)
    if smallest_island_mm3 > 0:
        remove_islands(labels, target.voxel_mm3, smallest_island_mm3)
    if not labels.any():
        warnings += (nothing_found(name_of(channels[0]), roi is not None),)
    step(reporter)
    clock.stop("resample")

    rates = tuple(network.dilation_rates)
    maps = {i: AttentionMap(weights.numpy(), rates, inner, patient) for i, weights in prediction.attention.items()}
    factors = prediction.recalibration
    return Segmentation(
        labels=to_image(labels, target),
        probabilities=to_vector_image(resampled, target) if resampled is not None else None,
        attention=maps,
        plan=prediction.plan,
        device=prediction.device,
        precision=prediction.precision,
        seconds=clock.seconds,
        warnings=warnings,
        recalibration=None if factors is None else Recalibration(factors.numpy(), inner),
        evidence=Evidence(scores, inner, target, intensities) if evidence else None,
        reach=ReachMap.of(network, maps),
    )


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
