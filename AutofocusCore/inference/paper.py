"""Paper mode: 75^3 tiles with 47^3 results side by side, as the released ``test.py`` runs them.

Far branches read zeros beyond each tile, so the result depends on where the tiles lie: this is for reproducing published
numbers. Two faults are not repeated: no plane is dropped at the end, and what lies outside the volume is background.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from torch import Tensor

from AutofocusCore.deepmedic import DeepMedic
from AutofocusCore.inference.boxes import Box, grow, intersect
from AutofocusCore.inference.graph import Graph
from AutofocusCore.inference.plan import OVERHEAD, Plan
from AutofocusCore.networks import AFNet

TILE = 75
LIVE_MAPS = 6  # feature maps that a forward pass of the plain module holds at a time


def make_paper_plan(graph: Graph, target: Box, *, itemsize: int, result_bytes: int) -> Plan:
    """The tiles of ``target`` (in the frame of the padded volume), in the order of z, y, x."""
    length = TILE - 2 * graph.margin
    starts = [range(start, stop, length) for start, stop in target]
    tiles = tuple(((z, z + length), (y, y + length), (x, x + length)) for z, y, x in itertools.product(*starts))
    channels = max(stage.channels for stage in graph.stages)
    peak = result_bytes + OVERHEAD + LIVE_MAPS * channels * TILE**3 * itemsize
    work = len(tiles) * length**3 * sum(stage.operation.multiplications() for stage in graph.stages)
    count = math.prod(len(axis) for axis in starts)
    return Plan("paper", 0, length, count, len(tiles), peak, work, tiles)


def run_tiles(
    network: AFNet | DeepMedic,
    plan: Plan,
    target: Box,
    load: Callable[[Box], Tensor],
    store: Callable[[Tensor, Box], None],
    store_attention: dict[int, Callable[[Tensor, Box], None]],
) -> Iterator[float]:
    """Compute the logits of ``target`` tile by tile; yields each tile's share of the work before it is computed."""
    for tile in plan.tiles:
        yield 1.0 / len(plan.tiles)
        logits, attention = network.forward_with_attention(load(grow(tile, network.margin)))
        inside = intersect(tile, target)
        store(_crop(logits, tile, inside), inside)
        for index, store_map in store_attention.items():
            surplus = (attention[index].shape[2] - logits.shape[2]) // 2
            store_map(_crop(attention[index], grow(tile, surplus), inside), inside)


def _crop(tensor: Tensor, box: Box, inside: Box) -> Tensor:
    for axis, ((low, _), (start, stop)) in enumerate(zip(box, inside, strict=True), start=2):
        tensor = tensor.narrow(axis, start - low, stop - start)
    return tensor
