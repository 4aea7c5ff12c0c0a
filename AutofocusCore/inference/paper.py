"""Paper mode: tiles of 75^3 voxels with results of 47^3, side by side, as in the authors' ``test.py``.

Branches of large rates read zeros beyond a tile, so the result depends on the position of the tiles. Use this mode to
reproduce published numbers. Two faults of the original are not repeated: the last plane is not dropped, and voxels
outside the volume have the background value instead of zero.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import torch

from AutofocusCore.inference.boxes import Window, grow, intersect
from AutofocusCore.inference.plan import OVERHEAD, Plan
from AutofocusCore.inference.task import Task
from AutofocusCore.networks.build import PaperNetwork

TILE = 75
WIDEST = 50  # channels of the widest feature map
LIVE_MAPS = 6  # feature maps in memory at the same time during a forward pass of the plain module


def plan_paper(network: PaperNetwork, task: Task, *, itemsize: int, result_bytes: int) -> Plan:
    """The plan: tiles that cover the task's target, in the order of z, y, x."""
    length = TILE - 2 * network.margin
    starts = [range(start, stop, length) for start, stop in task.target]
    tiles = tuple(((z, z + length), (y, y + length), (x, x + length)) for z, y, x in itertools.product(*starts))
    count = len(tiles)
    peak = result_bytes + OVERHEAD + LIVE_MAPS * WIDEST * TILE**3 * itemsize
    return Plan("paper", 0, length, count, count, peak, count * TILE**3, count, tiles)


def run_paper(network: PaperNetwork, task: Task, plan: Plan, device: str, dtype: torch.dtype) -> Iterator[float]:
    """Carry out ``plan`` with the plain module; yields before each tile its share of the whole work (0 to 1)."""
    network = copy.deepcopy(network).eval().to(device, dtype)
    store, store_attention = task.storers()
    for tile in plan.tiles:
        yield 1.0 / len(plan.tiles)
        logits, attention = network.forward_with_attention(task.load(grow(tile, network.margin), dtype, device))
        inside = intersect(tile, task.target)
        store(Window(logits, tile).crop(inside), inside)
        for index, store_map in store_attention.items():
            surplus = (attention[index].shape[2] - logits.shape[2]) // 2
            store_map(Window(attention[index], grow(tile, surplus)).crop(inside), inside)
