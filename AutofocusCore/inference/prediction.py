"""Whole volumes: :func:`predict_volume` and what it gives back."""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from AutofocusCore.deepmedic import PATHWAY_CHANNELS, SCALE, DeepMedic, Pathway
from AutofocusCore.errors import MemoryLimitError, SettingError
from AutofocusCore.inference.boxes import Box, intersect, shape_of, shift, voxels
from AutofocusCore.inference.devices import (
    PRECISIONS,
    Device,
    is_out_of_memory,
    resolve_device,
    resolve_precision,
    usable_bytes,
)
from AutofocusCore.inference.graph import INPUT, Graph, build_coarse_graph, build_fine_graph, build_graph
from AutofocusCore.inference.paper import make_paper_plan, run_tiles
from AutofocusCore.inference.plan import Plan, count_steps, make_plan, streamed_first
from AutofocusCore.inference.progress import CancelledCallback, ProgressCallback, Reporter
from AutofocusCore.inference.schedule import lay_out
from AutofocusCore.inference.stream import Store, stream
from AutofocusCore.networks import AFNet

Mode = Literal["exact", "paper"]
Network = AFNet | DeepMedic
AttentionWish = Literal["all"] | Sequence[int] | None
ATTEMPTS = 6
SHRINK = 0.6  # of the last plan's memory, what the next one may take after an allocation failed


@dataclass(frozen=True)
class Prediction:
    """The result of :func:`predict_volume`; all tensors are float32 on the CPU.

    Attributes:
        logits: (classes, D, H, W).
        attention: for each autofocus layer asked for, counted from 0, the map (K, D, H, W), which sums to one over K.
        plan: what was planned, and carried out.
        device: id of the device that computed.
        precision: of the features.
        seconds: wall time.
    """

    logits: Tensor
    attention: dict[int, Tensor]
    plan: Plan
    device: str
    precision: str
    seconds: float


def predict_volume(
    network: Network,
    volume: Tensor | np.ndarray,
    background: float = 0.0,
    mode: Mode = "exact",
    device: str = "auto",
    precision: str = "auto",
    memory_limit: int | None = None,
    attention: AttentionWish = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
    region: Box | None = None,
) -> Prediction:
    """Logits and attention of a whole volume.

    Exact mode computes one forward pass over the whole volume, padded by the network's margin with ``background``,
    within the memory there is: slabs of planes stream through all layers, and no voxel is computed twice. Paper mode
    runs 75^3 tiles as the authors' ``test.py`` does.

    Args:
        network: from :func:`AutofocusCore.build_network`; it is left as it is, and used in evaluation mode.
        volume: (C, D, H, W), already normalised.
        background: the value of what lies outside the volume.
        mode: "exact" or "paper".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "float32", "bfloat16", "float16", or "auto": the best that the device computes natively (in paper
            mode float32).
        memory_limit: bytes that the run may take on the device, results included when it is the CPU; by default
            80 % of what is free.
        attention: None, "all", or the indices of the autofocus layers whose maps are wanted.
        progress: is called after every slab with a :class:`Progress`.
        cancelled: is asked before every slab whether to stop.
        region: ((z0, z1), (y0, y1), (x0, x1)), the voxels that are wanted; the rest is only context. The result has the
            region's size and equals that part of the whole volume's result.

    Raises:
        SettingError: an argument makes no sense.
        DeviceError: there is no such device.
        MemoryLimitError: no plan fits.
        Cancelled: ``cancelled`` said so.
    """
    started = time.monotonic()
    chosen = resolve_device(device)
    if precision == "auto" and mode == "paper":
        precision = "float32"
    precision = resolve_precision(precision, chosen)
    task = _Task.of(network, volume, background, region, attention)
    limit = _limit(memory_limit, chosen)
    was_training = network.training
    for attempt in range(1, ATTEMPTS + 1):
        plan = _plan(network, task, mode, chosen, precision, limit)
        try:
            network.eval()
            with torch.inference_mode():
                run = _run_exact if mode == "exact" else _run_paper
                run(network, task, plan, chosen, PRECISIONS[precision], progress, cancelled)
            break
        except Exception as error:
            if not is_out_of_memory(error) or attempt == ATTEMPTS or mode == "paper":
                raise _out_of_memory(chosen, error) if is_out_of_memory(error) else error
            limit = int(min(limit, plan.peak_bytes) * SHRINK)
        finally:
            network.train(was_training)
        _release_memory(chosen)
    return Prediction(task.logits, task.attention, plan, chosen.id, precision, time.monotonic() - started)


def plan_volume(
    network: Network,
    shape: Sequence[int],
    *,
    mode: Mode = "exact",
    device: str = "auto",
    precision: str = "auto",
    memory_limit: int | None = None,
    attention: AttentionWish = None,
    region: Box | None = None,
) -> Plan:
    """The plan that :func:`predict_volume` would make for a volume of ``shape`` (C, D, H, W), without computing."""
    chosen = resolve_device(device)
    precision = "float32" if precision == "auto" and mode == "paper" else resolve_precision(precision, chosen)
    empty = torch.empty(tuple(shape), device="meta")
    task = _Task.of(network, empty, 0.0, region, attention, device="meta")
    return _plan(network, task, mode, chosen, precision, _limit(memory_limit, chosen))


def receptive_reach(network: Network) -> int:
    """How far from an output voxel the input still matters, in voxels."""
    if isinstance(network, DeepMedic):
        return network.margin + SCALE
    return build_graph(network).reach


@dataclass(frozen=True)
class _Task:
    """A volume, the wanted region of it, and the tensors for the results."""

    volume: Tensor
    background: float
    target: Box  # the region in the frame of the padded volume
    margin: int
    logits: Tensor
    attention: dict[int, Tensor]

    @classmethod
    def of(
        cls,
        network: Network,
        volume: Tensor | np.ndarray,
        background: float,
        region: Box | None,
        attention: AttentionWish,
        device: str = "cpu",
    ) -> _Task:
        volume = torch.as_tensor(volume, device=device)
        if volume.ndim != 4 or volume.shape[0] != network.in_channels or min(volume.shape) < 1:
            raise SettingError(
                f"The volume has shape {tuple(volume.shape)}",
                f"give (C, D, H, W) with {network.in_channels} channel(s) and at least one voxel",
            )
        if not math.isfinite(background):
            raise SettingError(f"background is {background}", "give a finite number")
        size = cast("tuple[int, int, int]", tuple(volume.shape[1:]))
        region = region or ((0, size[0]), (0, size[1]), (0, size[2]))
        if any(not 0 <= start < stop <= length for (start, stop), length in zip(region, size, strict=True)):
            raise SettingError(f"The region {region} does not lie in the volume of {size} voxels", "give a region inside")
        count = network.autofocus_layers
        wanted = range(count) if attention == "all" else tuple(cast("Sequence[int]", attention or ()))
        if any(index not in range(count) for index in wanted):
            raise SettingError(
                f"Attention is asked for of layers {list(wanted)}",
                f"this network has {count} autofocus layer(s), counted from 0; give some of those, 'all' or None",
            )
        extent = shape_of(region)
        rates = len(network.dilation_rates)
        return cls(
            volume.float(),
            float(background),
            shift(region, network.margin),
            network.margin,
            torch.empty((network.num_classes, *extent), device=device),
            {index: torch.empty((rates, *extent), device=device) for index in wanted},
        )

    @property
    def padded_size(self) -> tuple[int, int, int]:
        depth, height, width = self.volume.shape[1:]
        return depth + 2 * self.margin, height + 2 * self.margin, width + 2 * self.margin

    @property
    def result_bytes(self) -> int:
        return sum(tensor.numel() * 4 for tensor in (self.logits, *self.attention.values()))

    def streamed(self, axis: int) -> _Task:
        """The same with ``axis`` moved to the front; the tensors are views of the same memory."""
        order = (0, *(1 + index for index in streamed_first((0, 1, 2), axis)))
        return replace(
            self,
            volume=self.volume.permute(order),
            target=streamed_first(self.target, axis),
            logits=self.logits.permute(order),
            attention={index: tensor.permute(order) for index, tensor in self.attention.items()},
        )

    def load(self, box: Box, dtype: torch.dtype, device: str) -> Tensor:
        """The padded volume's voxels of ``box``, (1, C, d, h, w)."""
        depth, height, width = self.volume.shape[1:]
        planes = torch.full((1, self.volume.shape[0], *shape_of(box)), self.background, dtype=dtype)
        inside = intersect(shift(box, -self.margin), ((0, depth), (0, height), (0, width)))
        if min(shape_of(inside)) > 0:
            target = shift(inside, self.margin)
            slices = [slice(start - low, stop - low) for (low, _), (start, stop) in zip(box, target, strict=True)]
            source = [slice(start, stop) for start, stop in inside]
            planes[(0, slice(None), *slices)] = self.volume[(slice(None), *source)].to(dtype)
        return planes.to(device)

    def store(self, result: Tensor, target: Tensor, box: Box) -> None:
        """Put ``result`` (1, N, d, h, w) of ``box`` where it belongs in ``target`` (N, D, H, W); the rest is context."""
        inside = intersect(box, self.target)
        if min(shape_of(inside)) <= 0:
            return
        origin = [low for low, _ in self.target]
        slices = [slice(start - low, stop - low) for (start, stop), low in zip(inside, origin, strict=True)]
        source = [slice(start - low, stop - low) for (start, stop), (low, _) in zip(inside, box, strict=True)]
        target[(slice(None), *slices)] = result[(0, slice(None), *source)].to(target.device, target.dtype)

    def storers(self) -> tuple[Store, dict[int, Store]]:
        """Functions that store logits, and the maps of each wanted autofocus layer."""

        def storer(target: Tensor) -> Store:
            return lambda result, box: self.store(result, target, box)

        return storer(self.logits), {index: storer(tensor) for index, tensor in self.attention.items()}


def _plan(network: Network, task: _Task, mode: Mode, device: Device, precision: str, limit: int) -> Plan:
    if mode not in ("exact", "paper"):
        raise SettingError(f"There is no mode {mode!r}", "choose 'exact' or 'paper'")
    itemsize = PRECISIONS[precision].itemsize
    result_bytes = task.result_bytes if device.id == "cpu" else 0
    coarse_bytes = 0
    if isinstance(network, DeepMedic):
        width = PATHWAY_CHANNELS[-1]
        graph = build_fine_graph(network, torch.empty(1, width, 1, 1, 1), (0, 0, 0))
        coarse_bytes = voxels(_coarse_target(task.target)) * width * itemsize
    else:
        graph = build_graph(network)
    if mode == "paper":
        return make_paper_plan(graph, task.target, itemsize=itemsize, result_bytes=result_bytes)
    return make_plan(
        graph,
        task.padded_size,
        task.target,
        itemsize=itemsize,
        limit=limit,
        result_bytes=result_bytes,
        coarse_bytes=coarse_bytes,
    )


def _run_exact(
    network: Network,
    task: _Task,
    plan: Plan,
    device: Device,
    dtype: torch.dtype,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> None:
    network = _streamed_network(network, plan.axis).to(device.id)
    task = task.streamed(plan.axis)
    size = task.padded_size
    options = {"dtype": dtype, "device": device.id}
    if isinstance(network, DeepMedic):
        graph = _with_coarse_pathway(network, task, plan, device, dtype, cancelled).to(dtype)
    else:
        graph = build_graph(network).to(dtype)
    layouts = [lay_out(graph, size, tile) for tile in plan.tiles]
    reporter = Reporter("predict", sum(count_steps(graph, part, plan.slab) for part in layouts), progress, cancelled)
    work = [stage.operation.multiplications() for stage in graph.stages]
    for tile, layout in zip(plan.tiles, layouts, strict=True):
        part = replace(task, target=tile, logits=_part(task, task.logits, tile), attention={
            index: _part(task, tensor, tile) for index, tensor in task.attention.items()
        })
        store, store_attention = part.storers()
        share = 0.0
        for step in stream(
            graph, layout, plan.slab, lambda box: task.load(box, dtype, device.id), store, store_attention, **options
        ):
            if share:
                reporter.advance(share)
            reporter.check()
            share = 0.0
            if step.stage != INPUT and not step.zeros:
                _, height, width = shape_of(layout.boxes[step.stage])
                share = (step.planes[1] - step.planes[0]) * height * width * work[step.stage] / plan.work
        reporter.advance(share)


def _part(task: _Task, tensor: Tensor, tile: Box) -> Tensor:
    """The view of ``tensor`` (N, D, H, W), which covers the task's target, that covers ``tile``."""
    slices = [slice(start - low, stop - low) for (start, stop), (low, _) in zip(tile, task.target, strict=True)]
    return tensor[(slice(None), *slices)]


def _streamed_network(network: Network, axis: int) -> Network:
    """A float32 copy in evaluation mode whose kernels have ``axis`` moved to the front."""
    network = copy.deepcopy(network).float().eval()
    order = (0, 1, *(2 + index for index in streamed_first((0, 1, 2), axis)))
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.permute(order)
    return network


def _coarse_target(target: Box) -> Box:
    """The outputs of DeepMedic's second pathway that ``target`` needs, in that pathway's own padded frame."""
    offset = DeepMedic.margin
    blocks = [((start - offset) // SCALE, (stop - 1 - offset) // SCALE + 1) for start, stop in target]
    return shift((blocks[0], blocks[1], blocks[2]), Pathway.margin)


def _with_coarse_pathway(
    network: DeepMedic, task: _Task, plan: Plan, device: Device, dtype: torch.dtype, cancelled: CancelledCallback | None
) -> Graph:
    """Run the second pathway over every third voxel, and build the graph of the rest around its features."""
    graph = build_coarse_graph(network).to(dtype)
    target = _coarse_target(task.target)
    size = cast("tuple[int, int, int]", tuple(-(-length // SCALE) for length in task.padded_size))
    features = torch.empty((1, graph.stages[-1].channels, *shape_of(target)), dtype=dtype, device=device.id)

    def load(box: Box) -> Tensor:
        fine = [(start * SCALE, (stop - 1) * SCALE + 1) for start, stop in box]
        return task.load((fine[0], fine[1], fine[2]), dtype, device.id)[:, :, ::SCALE, ::SCALE, ::SCALE]

    def store(result: Tensor, box: Box) -> None:
        start = box[0][0] - target[0][0]
        features[:, :, start : start + result.shape[2]] = result

    reporter = Reporter("predict", 0, None, cancelled)
    for _ in stream(graph, lay_out(graph, size, target), plan.slab, load, store, {}, dtype=dtype, device=device.id):
        reporter.check()
    first = [DeepMedic.margin + (low - Pathway.margin) * SCALE for low, _ in target]
    return build_fine_graph(network, features, (first[0], first[1], first[2]))


def _run_paper(
    network: Network,
    task: _Task,
    plan: Plan,
    device: Device,
    dtype: torch.dtype,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> None:
    network = copy.deepcopy(network).eval().to(device.id, dtype)
    store, store_attention = task.storers()
    reporter = Reporter("predict", plan.splits, progress, cancelled)
    done = 0.0

    def load(box: Box) -> Tensor:
        return task.load(box, dtype, device.id)

    for share in run_tiles(network, plan, task.target, load, store, store_attention):
        if done:
            reporter.advance(done)
        reporter.check()
        done = share
    reporter.advance(done)


def _limit(memory_limit: int | None, device: Device) -> int:
    if memory_limit is None:
        return usable_bytes(device)
    if memory_limit <= 0:
        raise SettingError(f"memory_limit is {memory_limit}", "give a positive number of bytes, or None")
    return int(memory_limit)


def _out_of_memory(device: Device, error: BaseException) -> MemoryLimitError:
    failure = MemoryLimitError(
        f"{device.name} ran out of memory, also with smaller slabs",
        "close other programs, segment inside a smaller region of interest, or choose another device",
    )
    failure.__cause__ = error
    return failure


def _release_memory(device: Device) -> None:
    gc.collect()
    if device.id.startswith("cuda"):
        torch.cuda.empty_cache()
