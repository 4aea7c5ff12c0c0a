"""The plan of a run in the ROI domain: how many planes at a time, and how much memory that takes.

The active voxels stream through all layers from the first plane to the last, as in :mod:`.schedule`; a layer's rows are
dropped when no later layer reads them. Where memory allows, each layer computes all planes at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from AutofocusCore.inference.boxes import Box, grow, intersect, with_planes
from AutofocusCore.inference.plan import OVERHEAD, Plan, splits_of, too_large
from AutofocusCore.inference.row_stages import RowGraph
from AutofocusCore.inference.schedule import Layout, Step, lay_out, schedule
from AutofocusCore.inference.stages import INPUT

SLABS = (84, 56, 28, 16, 8, 4, 2, 1)
PIECE = 65_536
"""Voxels that a layer computes between two reports of progress: a few tenths of a second."""
BYTES_A_VOXEL = 4 + 4 + 8 + 8
"""Of the map of neighbours, the places, the positions in the box and in the result."""
SMALLEST_TILE = 16

CountPlanes = Callable[[Box], Sequence[int]]
"""How many active voxels each plane of a box has."""


@dataclass(frozen=True)
class Rows:
    """Which rows belong to which plane: plane z has the rows ``starts[z] .. starts[z + 1]``."""

    starts: tuple[int, ...]

    def between(self, first: int, stop: int) -> tuple[int, int]:
        """The rows of the planes ``first .. stop``; planes beyond the volume have none."""
        last = len(self.starts) - 1
        return self.starts[min(max(first, 0), last)], self.starts[min(max(stop, 0), last)]


def storage_of(graph: RowGraph, layout: Layout, rows: Rows, slab: int) -> tuple[dict[int, int], dict[int, int]]:
    """What is kept for later stages, found by going through the schedule.

    Returns:
        For each stage that is read, -1 the volume: its rows of storage, and the number of the last step that reads it.
    """
    spans: dict[int, int] = {}
    longest: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, step in enumerate(schedule(graph, layout, slab, zeros=False)):
        first, stop = rows.between(*step.planes)
        keep = min(rows.between(step.keep, step.keep)[0], first)
        spans[step.stage] = max(spans.get(step.stage, 0), stop - keep)
        longest[step.stage] = max(longest.get(step.stage, 0), stop - first)
        if step.stage != INPUT:
            last.update(dict.fromkeys(graph.stages[step.stage].sources, number))
    spans.pop(len(graph.stages) - 1, None)
    room = {}
    for index, span in spans.items():
        first, stop = rows.between(*layout.boxes[index][0])
        room[index] = min(span + max(longest[index], span // 2), stop - first)
    return room, last


def run_bytes(graph: RowGraph, layout: Layout, rows: Rows, slab: int, itemsize: int) -> int:
    """The most that rows, their maps and the temporary tensors take at a time."""
    room, last = storage_of(graph, layout, rows, slab)
    width = {index: stage.channels for index, stage in enumerate(graph.stages)} | {INPUT: graph.in_channels}
    held: dict[int, int] = {}
    most = longest = 0
    for number, step in enumerate(schedule(graph, layout, slab, zeros=False)):
        first, stop = rows.between(*step.planes)
        longest = max(longest, stop - first)
        if step.stage in room:
            held[step.stage] = room[step.stage] * width[step.stage] * itemsize
        most = max(most, sum(held.values()))
        for index in [index for index in held if last.get(index) == number]:
            del held[index]
    widest = max(stage.channels for stage in graph.stages)
    return most + rows.starts[-1] * BYTES_A_VOXEL + min(PIECE, longest) * 4 * (4 * widest + 16)


def plan_roi(
    graph: RowGraph,
    size: tuple[int, int, int],
    target: Box,
    count_planes: CountPlanes,
    *,
    itemsize: int,
    limit: int,
    fixed_bytes: int,
) -> Plan:
    """The plan with the fewest passes for the logits of ``target`` that stays under ``limit`` bytes.

    Args:
        graph: the network.
        size: voxels (z, y, x) of the volume.
        target: the wanted voxels.
        count_planes: the active voxels of each plane of a box.
        itemsize: bytes of a feature.
        limit: bytes that the run may take, results included.
        fixed_bytes: bytes on the computing device whatever the plan is.

    Raises:
        MemoryLimitError: not even the smallest part fits.
    """
    whole: Box = ((0, size[0]), (0, size[1]), (0, size[2]))
    table = 4 * (size[0] + 14) * (size[1] + 14) * (size[2] + 14)
    smallest = None
    for tiles in splits_of(target, SMALLEST_TILE, most=16):
        planned = []
        for tile in tiles:
            seen = with_planes(intersect(grow(tile, graph.reach), whole), whole[0])
            planned.append((lay_out(graph, size, tile), Rows((0, *itertools.accumulate(count_planes(seen))))))
        largest = max(planned, key=lambda pair: pair[1].starts[-1])
        for slab in (size[0], *(slab for slab in SLABS if slab < size[0])):
            peak = fixed_bytes + table + OVERHEAD + run_bytes(graph, *largest, slab, itemsize)
            smallest = min(peak, smallest or peak)
            if peak <= limit:
                work = 0
                for layout, rows in planned:
                    for box, stage in zip(layout.boxes, graph.stages, strict=False):  # the last box is the volume's
                        first, stop = rows.between(*box[0])
                        work += (stop - first) * stage.operation.multiplications()
                steps = sum(1 for layout, rows in planned for _ in pieces_of(graph, layout, rows, slab))
                length = target[0][1] - target[0][0]
                slabs = -(-length // slab) * len(tiles)
                return Plan("roi", 0, slab, slabs, len(tiles), peak, work, steps, tiles)
    raise too_large(smallest or 0, limit)


def pieces_of(graph: RowGraph, layout: Layout, rows: Rows, slab: int) -> Iterator[tuple[Step, slice]]:
    """The steps of a run, each in pieces of rows that take well under a second."""
    for step in schedule(graph, layout, slab, zeros=False):
        first, stop = rows.between(*step.planes)
        if step.stage == INPUT:
            yield step, slice(first, stop)
            continue
        for start in range(first, max(stop, first + 1), PIECE):
            yield step, slice(start, min(start + PIECE, stop))
