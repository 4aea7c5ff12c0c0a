"""Exact inference of scale streams: on the whole volume, or in tiles with enough context for the same result.

Scale streams resize the volume and their features, so that slabs cannot stream through them layer by layer. A tile
gives the values of the whole pass if its input starts at a multiple of the network's ``alignment`` and, on sides where
the volume goes on, has ``halo`` voxels more than the margin (see
:mod:`AutofocusCore.networks.scale_streams.geometry`). The context of each tile is computed again, which costs time.
With pyramid pooling every voxel depends on the whole volume, which then cannot be cut.

    volume    0 ----------------------------------------------- L
    input            lo ------------------------ hi                  multiples of the alignment, or 0 or L
    tile                     a --------- b                            a - lo >= halo, hi - b >= halo
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from AutofocusCore.errors import MemoryLimitError, SettingError
from AutofocusCore.inference.boxes import Box, Interval, grow, shape_of
from AutofocusCore.inference.dry_run import Effort, measure_effort
from AutofocusCore.inference.plan import OVERHEAD, Plan
from AutofocusCore.inference.task import Task
from AutofocusCore.networks.scale_streams import ScaleStreams, StreamMaps
from AutofocusCore.networks.scale_streams.dimensions import finish

SMALLEST_TILE = 8


def plan_tiles(network: ScaleStreams, task: Task, dtype: torch.dtype, *, limit: int, result_bytes: int) -> Plan:
    """The plan with the fewest tiles that needs at most ``limit`` bytes, which include ``result_bytes`` of results.

    Raises:
        SettingError: the network is for 2-D images, not for volumes.
        MemoryLimitError: every plan needs more memory.
    """
    if network.spatial_dims != 3:
        raise SettingError("The network segments two-dimensional images", "use one with spatial_dims of 3 for volumes")
    effort = _efforts(network, dtype)
    weights = sum(tensor.numel() for tensor in network.state_dict().values()) * dtype.itemsize
    fixed = result_bytes + OVERHEAD + weights
    smallest = None
    for counts in _splits(task.target, network):
        tiles = tuple(_cut(task.target, counts))
        inputs = [shape_of(context(network, tile, task.padded_size)) for tile in tiles]
        peak = fixed + effort(max(inputs, key=math.prod)).peak_bytes
        smallest = min(peak, smallest or peak)
        if peak <= limit:
            work = sum(sum(effort(shape).work) for shape in inputs)
            steps = sum(len(effort(shape).work) for shape in inputs)
            return Plan("tiles", 0, shape_of(tiles[0])[0], len(tiles), len(tiles), peak, work, steps, tiles)
    uncut = " and cannot be cut, because its network has pyramid pooling" if network.geometry.halo is None else ""
    raise MemoryLimitError(
        f"The volume needs at least {(smallest or 0) / 2**20:.0f} MiB{uncut}, and only {limit / 2**20:.0f} MiB may be"
        " used",
        "raise the memory limit, close other programs, or segment inside a smaller region of interest",
    )


def run_tiles(network: ScaleStreams, task: Task, plan: Plan, device: str, dtype: torch.dtype) -> Iterator[float]:
    """Carry out ``plan``; yields before each step its share of the whole work (0 to 1)."""
    effort = _efforts(network, dtype)
    network = copy.deepcopy(network).float().eval().to(device, dtype)
    cast(Any, network).to(memory_format=torch.channels_last_3d)
    for tile in plan.tiles:
        box = context(network, tile, task.padded_size)
        x = task.load(box, dtype, device).contiguous(memory_format=torch.channels_last_3d)
        steps = network.steps(x)
        for work in effort(shape_of(box)).work[:-1]:
            yield work / plan.work
            next(steps)
        yield effort(shape_of(box)).work[-1] / plan.work
        _store(network, task.part(tile), x, finish(steps), grow(box, -network.margin))


def context(network: ScaleStreams, tile: Box, padded_size: tuple[int, int, int]) -> Box:
    """The network's input for ``tile``; both are boxes of the padded volume."""
    geometry = network.geometry
    ends = [
        _stretch(interval, length, geometry.margin, geometry.halo, geometry.alignment)
        for interval, length in zip(tile, padded_size, strict=True)
    ]
    return ends[0], ends[1], ends[2]


def _stretch(interval: Interval, length: int, margin: int, halo: int | None, alignment: int) -> Interval:
    """The interval of :func:`context` along one axis."""
    if halo is None:
        return 0, length
    low = max(0, interval[0] - margin - halo) // alignment * alignment
    high = -(-(interval[1] - margin + halo) // alignment) * alignment
    return low, min(high + 2 * margin, length)


def _store(network: ScaleStreams, task: Task, x: Tensor, maps: StreamMaps, frame: Box) -> None:
    """Copy the maps that were computed from the input ``x`` into the task's results; ``frame``: the output's voxels."""
    targets = [(maps.fused, task.logits), (maps.location, task.attention.get(0))]
    for values, target in (*targets, (maps.recalibration, task.recalibration)):
        if values is not None and target is not None:
            task.store(network.to_image(values, x), target, frame)


def _efforts(network: ScaleStreams, dtype: torch.dtype) -> Callable[[tuple[int, int, int]], Effort]:
    """A function that returns the effort for an input of (z, y, x) voxels."""
    return _efforts_of(json.dumps(network.settings.to_arguments()), dtype)


@functools.lru_cache(maxsize=8)
def _efforts_of(arguments: str, dtype: torch.dtype) -> Callable[[tuple[int, int, int]], Effort]:
    """The function of :func:`_efforts`, cached because the panel plans the same run again and again."""
    with torch.device("meta"):
        shadow = ScaleStreams(**json.loads(arguments)).to(dtype).eval()

    @functools.lru_cache(maxsize=1024)
    def effort(shape: tuple[int, int, int]) -> Effort:
        def steps(x: Tensor) -> Iterator[None]:
            maps = yield from shadow.steps(x)
            shadow.to_image(maps.fused, x)

        return measure_effort(steps, (1, shadow.in_channels, *shape), dtype)

    return effort


def _splits(target: Box, network: ScaleStreams) -> Iterator[tuple[int, int, int]]:
    """Numbers of parts along z, y, x: each time, the longest edge of the tiles is cut once more."""
    counts = [1, 1, 1]
    yield 1, 1, 1
    if network.geometry.halo is None:
        return
    while True:
        edges = [length / count for length, count in zip(shape_of(target), counts, strict=True)]
        axis = edges.index(max(edges))
        if edges[axis] < 2 * SMALLEST_TILE:
            return
        counts[axis] += 1
        yield counts[0], counts[1], counts[2]


def _cut(target: Box, counts: tuple[int, int, int]) -> Iterator[Box]:
    """``target`` cut into parts of nearly equal size, in the order of z, y, x."""
    cuts = [
        [(low + i * (high - low) // count, low + (i + 1) * (high - low) // count) for i in range(count)]
        for (low, high), count in zip(target, counts, strict=True)
    ]
    yield from itertools.product(*cuts)
