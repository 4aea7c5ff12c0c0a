"""Inference of whole volumes: :func:`predict_volume` and its result."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from AutofocusCore.errors import MemoryLimitError, ModelError, SettingError
from AutofocusCore.inference import arguments
from AutofocusCore.inference.arguments import AttentionSelection, Mode
from AutofocusCore.inference.boxes import Box
from AutofocusCore.inference.devices import (
    PRECISIONS,
    Device,
    is_out_of_memory,
    resolve_device,
    resolve_precision,
)
from AutofocusCore.inference.exact import plan_exact, run_exact
from AutofocusCore.inference.graph import build_graph
from AutofocusCore.inference.paper import plan_paper, run_paper
from AutofocusCore.inference.plan import Plan
from AutofocusCore.inference.progress import CancelledCallback, ProgressCallback, Reporter, learn
from AutofocusCore.inference.roi import plan_roi_volume, reach_of, run_roi
from AutofocusCore.inference.task import Task
from AutofocusCore.inference.tiles import plan_tiles, run_tiles
from AutofocusCore.kernels import torch_on_one_thread
from AutofocusCore.networks.build import Network
from AutofocusCore.networks.deepmedic import SCALE, DeepMedic
from AutofocusCore.networks.scale_streams import ScaleStreams

SHRINK = (0.6, 0.8, 0.95)  # after a failed allocation: shares of the last plan's memory that the next may use, in turn


@dataclass(frozen=True)
class Prediction:
    """Result of :func:`predict_volume`; all tensors are float32 on the CPU.

    Attributes:
        logits: (classes, D, H, W).
        attention: attention maps (K, D, H, W), which sum to one over K, by the index of the autofocus layer, counted
            from 0. For scale streams: location attention as layer 0, with K the number of streams.
        recalibration: (classes, D, H, W), the factor (for additive networks, the summand) of each class's scores, from
            0 to 1. Only for scale streams with recalibration, and only if attention was asked for.
        plan: the plan that was carried out.
        device: id of the computing device.
        precision: precision of the features: the requested one, or float32 where scores overflowed in 16 bits.
        seconds: wall time.
    """

    logits: Tensor
    attention: dict[int, Tensor]
    plan: Plan
    device: str
    precision: str
    seconds: float
    recalibration: Tensor | None = None


def predict_volume(
    network: Network,
    volume: Tensor | np.ndarray,
    background: float | Sequence[float] = 0.0,
    mode: Mode = "exact",
    device: str = "auto",
    precision: str = "auto",
    memory_limit: int | None = None,
    attention: AttentionSelection = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
    region: Box | None = None,
    mask: Tensor | np.ndarray | None = None,
) -> Prediction:
    """Logits and attention of a whole volume.

    Exact mode gives the result of one forward pass over the whole volume, padded by the network's margin with
    ``background``, within the available memory: slabs of planes stream through all layers. No voxel is computed twice,
    and voxels that see only background are not computed. Scale streams run on the whole volume or, if memory is short,
    in tiles with enough context for the same result. Paper mode runs 75^3 tiles as the authors' ``test.py`` does. A
    network of the ROI domain computes only the active voxels; logits and attention are zero elsewhere.

    Args:
        network: from :func:`AutofocusCore.build_network`; it is not changed, and used in evaluation mode.
        volume: (C, D, H, W), already normalised.
        background: value of voxels outside the volume: one number, or one for each channel.
        mode: "exact" or "paper".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "float32", "bfloat16", "float16", or "auto": the best that the device computes natively (in paper
            mode float32).
        memory_limit: bytes that the run may use on the device, including the results on the CPU; by default 80 % of the
            free memory.
        attention: which attention maps to return: None, "all", or indices of autofocus layers.
        progress: called after every slab with a :class:`Progress`.
        cancelled: called before every slab; the run stops if it returns true.
        region: ((z0, z1), (y0, y1), (x0, x1)): segment only these voxels; the others serve as context. The result has
            the region's size and equals that part of the whole volume's result.
        mask: (D, H, W) booleans, the region of interest of a network of the ROI domain; None: all voxels.

    Raises:
        SettingError: an argument has an invalid value.
        DeviceError: there is no such device.
        MemoryLimitError: every plan needs more memory than allowed.
        ModelError: the network's scores are not finite, also in float32.
        Cancelled: ``cancelled`` returned true.
    """
    arguments.check_network(network)
    arguments.check_options(mode, precision, memory_limit, attention, progress, cancelled)
    chosen = resolve_device(device)
    task = arguments.as_task(network, volume, background, region, attention)
    roi = arguments.as_mask(mask, network, tuple(task.volume.shape[1:]))
    precision = resolve_precision(precision, chosen, mode)
    return predict_task(network, task, roi, mode, chosen, precision, memory_limit, progress, cancelled)


def predict_task(
    network: Network,
    task: Task,
    mask: Tensor | None,
    mode: Mode,
    device: Device,
    precision: str,
    memory_limit: int | None,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> Prediction:
    """As `predict_volume`, for a task, device and precision that fit each other; they are not checked again.

    Args:
        mask: booleans of the volume's size, on the CPU, for a network of the ROI domain alone.
        precision: not "auto".
        network, task, mode, device, memory_limit, progress, cancelled: as there.
    """
    started = time.monotonic()
    if not all(bool(channel.isfinite().all()) for channel in task.volume):  # of which a network makes more
        raise SettingError("The volume holds NaN or infinite values", "replace them, by the background's value say")
    limit = int(memory_limit or device.usable_bytes)
    plan = _within_memory(network, task, mask, mode, device, precision, limit, progress, cancelled)
    if not task.is_finite() and precision != "float32":
        precision = "float32"  # what overflows in 16 bits need not in 32
        plan = _within_memory(network, task, mask, mode, device, precision, limit, progress, cancelled)
    if not task.is_finite():
        raise ModelError(
            "The network's scores are not numbers (NaN or infinite), also in float32",
            "check the model (`autofocus models verify`), and the image for values that no scan of its kind has",
        )
    seconds = time.monotonic() - started
    return Prediction(task.logits, task.attention, plan, device.id, precision, seconds, task.recalibration)


def _within_memory(
    network: Network,
    task: Task,
    roi: Tensor | None,
    mode: Mode,
    device: Device,
    precision: str,
    limit: int,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> Plan:
    """Plan and run, with ever smaller plans where memory runs out all the same; the plan that was carried out."""
    plan = _plan(network, task, mode, device, precision, limit, roi)
    while True:
        reporter = Reporter("predict", plan.steps, progress, cancelled)
        if _completed(network, task, plan, device, precision, roi, reporter):
            return plan
        _release_memory(device)
        smaller = None
        for share in SHRINK:
            with contextlib.suppress(MemoryLimitError):
                smaller = _plan(network, task, mode, device, precision, int(plan.peak_bytes * share), roi)
                break
        if smaller is None or smaller.peak_bytes >= plan.peak_bytes:
            raise MemoryLimitError(
                f"{device.name} ran out of memory, also with smaller slabs",
                "close other programs, segment inside a smaller region of interest, or choose another device",
            )
        plan = smaller


def _completed(
    network: Network, task: Task, plan: Plan, device: Device, precision: str, roi: Tensor | None, reporter: Reporter
) -> bool:
    """Whether the run ended well; False where memory ran out.

    On return nothing holds the failed run's tensors any more: the exception, whose traceback does, is gone.
    """
    kind = device.id.split(":")[0]
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if kind in ("cpu", "cuda"):  # a caller's autocast would change the precision that was asked for
                stack.enter_context(torch.autocast(kind, enabled=False))
            if plan.mode == "roi" and kind == "cpu" and not isinstance(network, DeepMedic):
                stack.enter_context(torch_on_one_thread())
            reporter.follow(_run(network, task, plan, device.id, PRECISIONS[precision], roi))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    learn(network, plan, device.id, precision, time.monotonic() - reporter.started)
    return True


def plan_volume(
    network: Network,
    shape: Sequence[int],
    *,
    mode: Mode = "exact",
    device: str = "auto",
    precision: str = "auto",
    memory_limit: int | None = None,
    attention: AttentionSelection = None,
    region: Box | None = None,
    active_share: float = 1.0,
) -> Plan:
    """The plan that :func:`predict_volume` makes for a volume of ``shape`` (C, D, H, W).

    ``active_share``: for networks of the ROI domain, the expected share of voxels inside the mask, 0 to 1.
    """
    arguments.check_network(network)
    arguments.check_options(mode, precision, memory_limit, attention, None, None)
    active_share = arguments.as_share(active_share)
    chosen = resolve_device(device)
    precision = resolve_precision(precision, chosen, mode)
    empty = torch.empty(arguments.as_shape(shape), device="meta")
    task = arguments.as_task(network, empty, 0.0, region, attention, device="meta")
    limit = int(memory_limit or chosen.usable_bytes)
    return _plan(network, task, mode, chosen, precision, limit, active_share=active_share)


def receptive_reach(network: Network) -> int:
    """Radius of the receptive field in voxels: how far from an output voxel the input still matters."""
    if in_roi_domain(network) and not isinstance(network, ScaleStreams):
        return reach_of(network)
    if isinstance(network, DeepMedic):
        return network.margin + SCALE
    if isinstance(network, ScaleStreams):
        if network.geometry.halo is None:
            raise SettingError(
                "The network has pyramid pooling", "take the whole volume: every voxel matters everywhere"
            )
        return network.margin + network.geometry.halo
    return build_graph(network).reach


def in_roi_domain(network: Network) -> bool:
    """Whether a network computes only active voxels."""
    return getattr(network, "domain", "box") == "roi"


def _plan(
    network: Network,
    task: Task,
    mode: Mode,
    device: Device,
    precision: str,
    limit: int,
    roi: Tensor | None = None,
    *,
    active_share: float = 1.0,
) -> Plan:
    dtype = PRECISIONS[precision]
    result_bytes = task.result_bytes if device.id == "cpu" else 0
    if isinstance(network, ScaleStreams):
        if mode == "paper":
            raise SettingError("Paper mode is for the networks of the autofocus paper", "use mode 'exact'")
        return plan_tiles(network, task, dtype, limit=limit, result_bytes=result_bytes)
    if network.domain == "roi":
        if mode == "paper":
            raise SettingError("Paper mode is for networks of the box domain", "use mode 'exact'")
        return plan_roi_volume(
            network, task, roi, dtype, limit=limit, result_bytes=result_bytes, active_share=active_share
        )
    if mode == "paper":
        return plan_paper(network, task, itemsize=dtype.itemsize, result_bytes=result_bytes)
    return plan_exact(network, task, device.id, dtype, limit=limit, result_bytes=result_bytes)


def _run(
    network: Network, task: Task, plan: Plan, device: str, dtype: torch.dtype, roi: Tensor | None
) -> Iterator[float]:
    if isinstance(network, ScaleStreams):
        return run_tiles(network, task, plan, device, dtype)
    if network.domain == "roi":
        return run_roi(network, task, roi, plan, device, dtype)
    return (run_exact if plan.mode == "exact" else run_paper)(network, task, plan, device, dtype)


def _release_memory(device: Device) -> None:
    gc.collect()
    if device.id.startswith("cuda"):
        torch.cuda.empty_cache()
