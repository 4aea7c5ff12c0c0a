"""Exact mode: slabs stream through the network for each part of the plan; DeepMedic's second pathway comes first."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from AutofocusCore.inference import filters
from AutofocusCore.inference.background import find_foreground
from AutofocusCore.inference.boxes import Box, place, shape_of, shift, voxels, with_planes
from AutofocusCore.inference.graph import build_coarse_graph, build_fine_graph, build_graph
from AutofocusCore.inference.plan import Plan, make_plan, streamed_first
from AutofocusCore.inference.schedule import lay_out
from AutofocusCore.inference.stages import INPUT
from AutofocusCore.inference.stream import stream
from AutofocusCore.inference.task import Task
from AutofocusCore.networks.build import PaperNetwork
from AutofocusCore.networks.deepmedic import SCALE, DeepMedic, Pathway


def plan_exact(
    network: PaperNetwork, task: Task, device: str, dtype: torch.dtype, *, limit: int, result_bytes: int
) -> Plan:
    """The plan for ``task`` on ``device`` within ``limit`` bytes, which include ``result_bytes`` of results."""
    coarse_bytes, minimal = 0, filters.is_faster_on(device)
    if isinstance(network, DeepMedic):
        width = network.subsampled.out_channels
        coarse_bytes = voxels(_coarse_target(task.target)) * width * dtype.itemsize
        graph = build_fine_graph(network, torch.empty(1, width, 1, 1, 1), (0, 0, 0), minimal=minimal)
    else:
        graph = build_graph(network, minimal=minimal)
    return make_plan(
        graph,
        task.padded_size,
        task.target,
        itemsize=dtype.itemsize,
        limit=limit,
        fixed_bytes=result_bytes + coarse_bytes,
    )


def run_exact(network: PaperNetwork, task: Task, plan: Plan, device: str, dtype: torch.dtype) -> Iterator[float]:
    """Carry out ``plan``; yields before each step its share of the whole work (0 to 1)."""
    network = _streamed(network, plan.axis).to(device)
    task, minimal = task.streamed(plan.axis), filters.is_faster_on(device)
    if isinstance(network, DeepMedic):
        features, origin = yield from _coarse_pathway(network, task, plan.slab, device, dtype)
        graph = build_fine_graph(network, features, origin, minimal=minimal).to(dtype)
    else:
        graph = build_graph(network, minimal=minimal).to(dtype)
    foreground = find_foreground(graph, task.volume, task.background, dtype, device)
    work = [stage.operation.multiplications() for stage in graph.stages]
    for tile in plan.tiles:
        layout = lay_out(graph, task.padded_size, tile)
        store, store_attention = task.part(tile).storers()
        options = {"dtype": dtype, "device": device}
        load = partial(task.load, dtype=dtype, device=device)
        steps = stream(graph, layout, plan.slab, load, store, store_attention, foreground, **options)
        for step in steps:
            computes = step.stage != INPUT and not step.zeros
            box = with_planes(layout.boxes[step.stage], step.planes)
            yield voxels(box) * work[step.stage] / plan.work if computes else 0.0


def _streamed(network: PaperNetwork, axis: int) -> PaperNetwork:
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


def _coarse_pathway(
    network: DeepMedic, task: Task, slab: int, device: str, dtype: torch.dtype
) -> Generator[float, None, tuple[Tensor, tuple[int, int, int]]]:
    """Run the second pathway over every third voxel; returns its features and their origin in the padded volume."""
    graph = build_coarse_graph(network, minimal=filters.is_faster_on(device)).to(dtype)
    target = _coarse_target(task.target)
    depth, height, width = (-(-length // SCALE) for length in task.padded_size)
    features = torch.empty((1, graph.stages[-1].channels, *shape_of(target)), dtype=dtype, device=device)

    def load(box: Box) -> Tensor:
        fine = [(start * SCALE, (stop - 1) * SCALE + 1) for start, stop in box]
        return task.load((fine[0], fine[1], fine[2]), dtype, device)[:, :, ::SCALE, ::SCALE, ::SCALE]

    def store(result: Tensor, box: Box) -> None:
        place(box, features, target).copy_(result)

    layout = lay_out(graph, (depth, height, width), target)
    for _ in stream(graph, layout, slab, load, store, {}, dtype=dtype, device=device):
        yield 0.0
    first = [DeepMedic.margin + (low - Pathway.margin) * SCALE for low, _ in target]
    return features, (first[0], first[1], first[2])
