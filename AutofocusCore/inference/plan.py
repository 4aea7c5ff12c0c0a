"""The plan of a run, made from shapes before anything is computed: axis, slabs, memory.

Peak memory of a run = results + the most that sliding buffers and the temporary tensors of a step take together +
gaps that tensors of different sizes leave in the heap + a constant for weights and libraries. The sizes of buffers and
tensors follow from the schedule, which the planner runs through without tensors; gaps and constant are measured values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from AutofocusCore.errors import MemoryLimitError
from AutofocusCore.inference.boxes import Box, shape_of, voxels, with_planes
from AutofocusCore.inference.graph import BoxGraph
from AutofocusCore.inference.schedule import Layout, Step, lay_out, schedule
from AutofocusCore.inference.stages import INPUT
from AutofocusCore.inference.stream import capacities

# Slabs of 28, 56, 84 and 140 planes leave few planes without a partner at the paper's rates, see filters.pairs.
SLABS = (256, 140, 84, 56, 28, 16, 8, 4, 2, 1)
SLAB_VOXELS = 1_200_000  # thicker slabs take more memory and are hardly faster
OVERHEAD = 24 * 2**20  # bytes of the weights, of what libraries use for themselves, and of gaps in the heap
GAPS_SHARE = 0.4  # of the temporary tensors of all autofocus layers, that is lost to further gaps
MOST_GAPS = 64 * 2**20  # larger blocks of memory go back to the system at once
SMALLEST_TILE = 8


@dataclass(frozen=True)
class Plan:
    """How a volume is going to be computed.

    Attributes:
        mode: "exact"; "tiles", exact as well, of a network of scale streams; "roi", exact as well, of a network of the
            ROI domain; or "paper".
        axis: the axis of the volume along which slabs move: 0, 1 or 2 for z, y or x.
        slab: planes in a slab.
        slabs: number of slabs of logits, in all parts together.
        splits: number of parts into which the volume is cut, each computed with the full receptive field around it; 1
            unless memory is short. In paper mode, the number of tiles.
        peak_bytes: predicted peak of memory on the computing device, with the results if they are on it.
        work: multiplications of the whole run (in paper mode, voxels of all tiles).
        steps: how many times progress is reported.
        tiles: the boxes of logits, in voxels of the padded volume, the slabs' axis first.
    """

    mode: str
    axis: int
    slab: int
    slabs: int
    splits: int
    peak_bytes: int
    work: int
    steps: int
    tiles: tuple[Box, ...]

    def describe(self) -> str:
        """The plan in one sentence."""
        memory = f"{self.peak_bytes / 2**30:.1f} GiB at the peak"
        if self.mode == "paper":
            return f"paper mode: {self.splits} tiles, {memory}"
        if self.mode == "tiles" and self.splits == 1:
            return f"exact: as a whole, {memory}"
        if self.mode == "tiles":
            return f"exact: {self.splits} tiles, each with its whole context, {memory}"
        if self.mode == "roi" and self.slabs == self.splits == 1:
            return f"exact, inside the patient: layer by layer, {memory}"
        axis = "zyx"[self.axis]
        where = "exact, inside the patient" if self.mode == "roi" else "exact"
        slabs = "in one slab" if self.slabs == 1 else f"{self.slabs} slabs of {self.slab} planes along {axis}"
        sentence = f"{where}: {slabs}, {memory}"
        if self.splits > 1:
            sentence += (
                f"; memory is short, so the volume is split into {self.splits} parts, each with its whole context"
            )
        return sentence


def make_plan(
    graph: BoxGraph,
    size: tuple[int, int, int],
    target: Box,
    *,
    itemsize: int,
    limit: int,
    fixed_bytes: int = 0,
) -> Plan:
    """The fastest plan for the logits of ``target`` that needs at most ``limit`` bytes.

    Args:
        graph: the network.
        size: voxels of the padded volume (z, y, x).
        target: the wanted logits in the frame of the padded volume (z, y, x).
        itemsize: bytes of a feature.
        limit: bytes that the run may take, results included.
        fixed_bytes: bytes on the computing device that every plan needs: results, a second pathway's features.

    Raises:
        MemoryLimitError: the smallest parts need more than the limit.
    """
    axis = max(range(3), key=lambda index: shape_of(target)[index])
    size, target = streamed_first(size, axis), streamed_first(target, axis)
    smallest = None
    for tiles in splits_of(target, SMALLEST_TILE, most=400):
        layouts = [lay_out(graph, size, tile) for tile in tiles]
        largest = max(layouts, key=lambda layout: sum(voxels(box) for box in layout.boxes))
        for slab in _slabs(target, tiles):
            peak = fixed_bytes + OVERHEAD + run_bytes(graph, largest, slab, itemsize)
            smallest = min(peak, smallest or peak)
            if peak <= limit:
                count = math.ceil((target[0][1] - target[0][0]) / slab) * len(tiles)
                work = sum(total_work(graph, layout) for layout in layouts)
                steps = sum(sum(1 for _ in schedule(graph, layout, slab)) for layout in layouts)
                return Plan("exact", axis, slab, count, len(tiles), peak, work, steps, tiles)
    raise too_large(smallest or 0, limit)


def too_large(needed: int, limit: int) -> MemoryLimitError:
    """The error for a volume that needs more than `limit` bytes, however it is split."""
    return MemoryLimitError(
        f"The volume needs at least {needed / 2**20:.0f} MiB, but only {limit / 2**20:.0f} MiB may be used",
        "raise the memory limit, close other programs, or segment inside a smaller region of interest",
    )


def streamed_first(triple: tuple, axis: int) -> tuple:  # type: ignore[type-arg]
    """A (z, y, x) triple with ``axis`` moved to the front."""
    return (triple[axis], *triple[:axis], *triple[axis + 1 :])


def run_bytes(graph: BoxGraph, layout: Layout, slab: int, itemsize: int) -> int:
    """The most that the buffers' planes and the temporary tensors of a step take together."""
    last = len(graph.stages) - 1
    room = capacities(graph, layout, slab)
    channels = {index: stage.channels for index, stage in enumerate(graph.stages)} | {INPUT: graph.in_channels}
    plane = {index: voxels(with_planes(layout.boxes[index], (0, 1))) * channels[index] * itemsize for index in room}
    filled = dict.fromkeys(room, 0)
    workspaces: dict[tuple[int, int], int] = {}
    most = 0
    for step in schedule(graph, layout, slab):
        index, (start, stop) = step.stage, step.planes
        if index != last:  # a CPU's memory is taken only when it is written
            filled[index] = plane[index] * min(room[index], stop - layout.held[index][0])
        temporary = 0
        if index != INPUT and not step.zeros:
            key = index, stop - start
            if key not in workspaces:
                workspaces[key] = _workspace(graph, layout, step, itemsize)
            temporary = workspaces[key]
        most = max(most, sum(filled.values()) + temporary)
    # Parts of many sizes come and go in an autofocus layer, and each layer leaves gaps of its own in the heap.
    varied = {
        index: size for (index, _), size in sorted(workspaces.items()) if graph.stages[index].attention is not None
    }
    return most + min(int(GAPS_SHARE * sum(varied.values())), MOST_GAPS)


def _workspace(graph: BoxGraph, layout: Layout, step: Step, itemsize: int) -> int:
    """Bytes of temporary tensors of a step, the logits included."""
    stage, box = graph.stages[step.stage], with_planes(layout.boxes[step.stage], step.planes)
    logits = 4 * stage.channels * voxels(box) if step.stage == len(graph.stages) - 1 else 0
    return logits + stage.operation.workspace([layout.boxes[source] for source in stage.sources], box, itemsize)


def total_work(graph: BoxGraph, layout: Layout) -> int:
    """Multiplications of all stages."""
    return sum(
        voxels(box) * stage.operation.multiplications()
        for stage, box in zip(graph.stages, layout.boxes, strict=False)  # the last box is the volume's
    )


def _slabs(target: Box, tiles: tuple[Box, ...]) -> Iterator[int]:
    """Numbers of planes to try, the largest first."""
    length = target[0][1] - target[0][0]
    plane = max(voxels(with_planes(tile, (0, 1))) for tile in tiles)
    for slab in SLABS:
        if slab == 1 or (slab < 2 * length and slab * plane <= SLAB_VOXELS):
            yield slab


def splits_of(target: Box, smallest: int, *, most: int) -> Iterator[tuple[Box, ...]]:
    """``target`` cut along its last two axes into parts of nearly equal size, of about `smallest` voxels at least.

    The `most` first ways: those of fewest parts first, then those of the squarest ones.
    """
    planes, (top, bottom), (left, right) = target
    height, width = bottom - top, right - left
    counts = itertools.product(range(1, height // smallest + 2), range(1, width // smallest + 2))
    ordered = sorted(counts, key=lambda n: (n[0] * n[1], abs(height / n[0] - width / n[1])))
    for rows, columns in ordered[:most]:
        lines = [top + i * height // rows for i in range(rows + 1)]
        posts = [left + j * width // columns for j in range(columns + 1)]
        yield tuple((planes, one, other) for one in itertools.pairwise(lines) for other in itertools.pairwise(posts))
