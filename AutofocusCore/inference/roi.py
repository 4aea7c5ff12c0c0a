"""Whole volumes in the ROI domain: the rows of the active voxels stream through all layers, plane by plane."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from AutofocusCore.inference.boxes import Box, grow, intersect, place, with_planes
from AutofocusCore.inference.plan import OVERHEAD, Plan
from AutofocusCore.inference.roi_plan import Rows, pieces_of, plan_roi, storage_of
from AutofocusCore.inference.row_stages import RowGraph, RowWindow, build_row_graph
from AutofocusCore.inference.schedule import lay_out
from AutofocusCore.inference.stages import INPUT
from AutofocusCore.inference.task import Task
from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.networks.build import PaperNetwork
from AutofocusCore.networks.deepmedic import HIDDEN, PATHWAY_CHANNELS, SCALE, DeepMedic


def plan_roi_volume(
    network: PaperNetwork,
    task: Task,
    mask: Tensor | None,
    dtype: torch.dtype,
    *,
    limit: int,
    result_bytes: int,
    active_share: float = 1.0,
) -> Plan:
    """The plan for ``task`` under ``limit`` bytes; without a mask, ``active_share`` of all voxels are active."""
    size = task.padded_size

    def count_planes(box: Box) -> list[int]:
        if mask is not None:
            return [int(count) for count in place(box, mask).sum(dim=(1, 2))]
        (first, stop), (top, bottom), (left, right) = box
        return [round((bottom - top) * (right - left) * active_share)] * (stop - first)

    if isinstance(network, DeepMedic):
        return _plan_deepmedic(network, task, sum(count_planes(task.target)), dtype, result_bytes)
    graph = build_row_graph(network)
    return plan_roi(
        graph, size, task.target, count_planes, itemsize=dtype.itemsize, limit=limit, fixed_bytes=result_bytes
    )


def run_roi(
    network: PaperNetwork, task: Task, mask: Tensor | None, plan: Plan, device: str, dtype: torch.dtype
) -> Iterator[float]:
    """Carry out ``plan``; yields the share of the whole work that each piece is, just before the piece."""
    size = task.padded_size
    whole: Box = ((0, size[0]), (0, size[1]), (0, size[2]))
    task.logits.zero_()
    for weights in task.attention.values():
        weights.zero_()
    if isinstance(network, DeepMedic):
        yield 1.0
        _run_deepmedic(network, task, mask, device, dtype)
        return
    tensors = itertools.chain(network.parameters(), network.buffers())
    if not all(one.device.type == "cpu" and one.dtype in (torch.float32, torch.int64) for one in tensors):
        network = copy.deepcopy(network).float().cpu()
    graph = build_row_graph(network).to(dtype, device)
    for tile in plan.tiles:
        seen = with_planes(intersect(grow(tile, graph.reach), whole), whole[0])
        active = torch.zeros(size, dtype=torch.bool)
        place(seen, active).copy_(torch.ones(()) if mask is None else place(seen, mask))
        yield from _run_tile(graph, task, tile, active, plan, device, dtype)


def _run_tile(
    graph: RowGraph, task: Task, tile: Box, active: Tensor, plan: Plan, device: str, dtype: torch.dtype
) -> Iterator[float]:
    voxels = ActiveVoxels.from_mask(active[None].to(device))
    rows = Rows((0, *itertools.accumulate(active.sum(dim=(1, 2)).tolist())))
    layout = lay_out(graph, task.padded_size, tile)
    room, last_read = storage_of(graph, layout, rows, plan.slab)
    results = ResultRows(task, tile, voxels)
    buffers: dict[int, RowBuffer] = {}
    number, step_before = -1, None
    for step, part in pieces_of(graph, layout, rows, plan.slab):
        if step is not step_before:
            for index in [index for index in buffers if number >= 0 and last_read.get(index) == number]:
                del buffers[index]
            number, step_before = number + 1, step
            if step.stage in room:
                if step.stage not in buffers:
                    channels = graph.in_channels if step.stage == INPUT else graph.stages[step.stage].channels
                    storage = torch.empty((room[step.stage], channels), dtype=dtype, device=device)
                    buffers[step.stage] = RowBuffer(storage)
                first, stop = rows.between(*step.planes)
                buffers[step.stage].append(first, stop, rows.between(step.keep, step.keep)[0])
        if step.stage == INPUT:
            yield 0.0
            flat = voxels.flat[part].to(task.volume.device)
            buffers[INPUT].window().part(part).copy_(task.volume.flatten(1)[:, flat].T)
            continue
        stage = graph.stages[step.stage]
        count = part.stop - part.start
        yield count * stage.operation.multiplications() / max(plan.work, 1)
        if not count:
            continue
        if step.stage in room:
            out = buffers[step.stage].window().part(part)
        else:
            out = torch.empty((count, stage.channels), dtype=torch.float32, device=device)
        attention = stage.operation([buffers[source].window() for source in stage.sources], voxels, part, out)
        if attention is not None and stage.attention in task.attention:
            results.store(task.attention[stage.attention], attention, part)
        if step.stage == len(graph.stages) - 1:
            results.store(task.logits, out, part)


@dataclass
class RowBuffer:
    """The newest rows of one stage's output: appended at the end, dropped at the beginning.

    Args:
        storage: for them, (capacity, C).
        first: number of the first row that is held; None before there is any.
        end: number of the row after the last.
    """

    storage: Tensor
    first: int | None = None
    end: int = 0

    def append(self, first: int, stop: int, keep: int) -> None:
        """Make room for the rows ``first .. stop``; rows before ``keep`` may be dropped."""
        if self.first is None:
            self.first = self.end = first
        assert first == self.end, "rows are appended in order"
        if stop - self.first > len(self.storage):
            self._slide(max(min(keep, first), self.first))
        self.end = stop

    def window(self) -> RowWindow:
        """All rows that are held."""
        assert self.first is not None
        return RowWindow(self.storage[: self.end - self.first], self.first)

    def _slide(self, keep: int) -> None:
        assert self.first is not None
        distance, held = keep - self.first, self.end - keep
        for start in range(0, held, max(distance, 1)):  # pieces no longer than the distance never overlap
            count = min(distance, held - start)
            self.storage[start : start + count] = self.storage[start + distance : start + distance + count]
        self.first = keep


class ResultRows:
    """Puts rows where they belong in results of the region's size; rows outside ``tile`` are only context."""

    def __init__(self, task: Task, tile: Box, voxels: ActiveVoxels) -> None:
        _, height, width = task.padded_size
        flat = voxels.flat.cpu()
        z, y, x = flat // (height * width), flat // width % height, flat % width
        inside = torch.ones(len(flat), dtype=torch.bool)
        for axis, (low, high) in zip((z, y, x), tile, strict=True):
            inside &= (axis >= low) & (axis < high)
        (z0, _), (y0, y1), (x0, x1) = task.target
        position = ((z - z0) * (y1 - y0) + (y - y0)) * (x1 - x0) + (x - x0)
        self.position = torch.where(inside, position, -1)

    def store(self, target: Tensor, rows: Tensor, part: slice) -> None:
        """Put ``rows`` (m, N) of the rows ``part`` into ``target`` (N, d, h, w)."""
        position = self.position[part]
        inside = position >= 0
        rows = rows.to(target.device, target.dtype)
        if not bool(inside.all()):
            position, rows = position[inside], rows[inside]
        for channel, values in zip(target.flatten(1), rows.T, strict=True):
            channel[position] = values


def _plan_deepmedic(network: DeepMedic, task: Task, active: int, dtype: torch.dtype, result_bytes: int) -> Plan:
    """DeepMedic runs as a whole: its pathways hold at most six maps of 50 channels and the two hidden layers."""
    held = active * (6 * PATHWAY_CHANNELS[-1] + 2 * HIDDEN) * dtype.itemsize
    work = active * sum(weight.numel() for weight in network.parameters())
    return Plan("roi", 0, task.padded_size[0], 1, 1, result_bytes + OVERHEAD + held, work, 1, (task.target,))


def _run_deepmedic(network: DeepMedic, task: Task, mask: Tensor | None, device: str, dtype: torch.dtype) -> None:
    network = copy.deepcopy(network).float().to(device).eval()
    active = torch.ones(task.padded_size, dtype=torch.bool) if mask is None else mask
    voxels = ActiveVoxels.from_mask(active[None].to(device))
    rows = voxels.gather(task.volume[None].to(device, dtype))
    logits, _ = network.forward_rows(rows, voxels)
    ResultRows(task, task.target, voxels).store(task.logits, logits, slice(0, voxels.count))


def reach_of(network: PaperNetwork) -> int:
    """How far from an output voxel the input still matters, in voxels."""
    if isinstance(network, DeepMedic):
        return SCALE * len(PATHWAY_CHANNELS) + SCALE
    return build_row_graph(network).reach
