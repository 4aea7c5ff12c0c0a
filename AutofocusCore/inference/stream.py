"""Carries out the steps of a schedule, with sliding buffers that drop planes no later layer needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from AutofocusCore.inference.background import Foreground
from AutofocusCore.inference.boxes import Box, Interval, Window, place, shape_of, with_planes
from AutofocusCore.inference.graph import BoxGraph
from AutofocusCore.inference.schedule import Layout, Step, schedule
from AutofocusCore.inference.stages import INPUT

Load = Callable[[Box], Tensor]  # the padded volume's voxels of a box, (1, C, d, h, w)
Store = Callable[[Tensor, Box], None]


class SlidingBuffer:
    """The newest planes of one feature map, channels last: appended at the end, dropped at the beginning.

    The storage is longer than needed, so that the planes in use must be moved to its front only now and then.

    Args:
        channels: C.
        box: the feature map's voxels; its first interval is ignored, because planes arrive slab by slab.
        capacity: planes of storage.
        start: number of the first plane that will be appended.
        options: ``dtype`` and ``device`` of the storage.
    """

    def __init__(self, channels: int, box: Box, capacity: int, start: int, **options: Any) -> None:
        _, height, width = shape_of(box)
        self.box = box
        # The storage has a batch axis: PyTorch passes a view to oneDNN as channels last only if the batch's stride is
        # the largest one, and the stride of an axis that is added later is not.
        self.storage = torch.empty((1, capacity, height, width, channels), **options)
        self.offset = start  # the number of the plane at the front of the storage
        self.end = start

    def append(self, planes: Interval, keep: int) -> Tensor:
        """A view (1, C, d, h, w) for ``planes``, to be filled by the caller; planes before ``keep`` may be dropped."""
        start, stop = planes
        assert start == self.end, "planes are appended in order"
        if stop - self.offset > self.storage.shape[1]:
            self._slide(min(keep, start))
        self.end = stop
        return self.storage[:, start - self.offset : stop - self.offset].permute(0, 4, 1, 2, 3)

    def window(self) -> Window:
        """All planes in the storage, the newest included."""
        held = self.storage[:, : self.end - self.offset].permute(0, 4, 1, 2, 3)
        return Window(held, with_planes(self.box, (self.offset, self.end)))

    def _slide(self, keep: int) -> None:
        distance, held = keep - self.offset, self.end - keep
        for first in range(0, held, max(distance, 1)):  # pieces no longer than the distance never overlap
            count = min(distance, held - first)
            self.storage[0, first : first + count] = self.storage[0, first + distance : first + distance + count]
        self.offset = keep


def capacities(graph: BoxGraph, layout: Layout, slab: int) -> dict[int, int]:
    """Planes of storage that each stage needs, by running through the schedule; -1 is the volume."""
    spans: dict[int, int] = {}
    last = len(graph.stages) - 1
    steps = [step for step in schedule(graph, layout, slab) if step.stage != last]
    for step in steps:
        spans[step.stage] = max(spans.get(step.stage, 0), step.planes[1] - step.keep)
    room = {index: span + max(slab, span // 2) for index, span in spans.items()}
    # The storage slides when the next planes find no room. It ends where planes have come to lie.
    offsets = {index: layout.held[index][0] for index in spans}
    used = dict.fromkeys(spans, 0)
    for step in steps:
        start, stop = step.planes
        if stop - offsets[step.stage] > room[step.stage]:
            offsets[step.stage] = min(step.keep, start)
        used[step.stage] = max(used[step.stage], stop - offsets[step.stage])
    return used


def stream(
    graph: BoxGraph,
    layout: Layout,
    slab: int,
    load: Load,
    store: Store,
    store_attention: Mapping[int, Store],
    foreground: Foreground | None = None,
    **options: Any,
) -> Iterator[Step]:
    """Compute the logits of the last stage's box, slab by slab.

    Args:
        graph: the network, with its weights in the run's dtype and device.
        layout, slab: what to compute, and the planes of a slab.
        load: returns the padded volume's voxels of a box.
        store: receives the logits (1, classes, d, h, w) of a box.
        store_attention: for selected autofocus layers, receives the attention (1, K, d, h, w) of a box.
        foreground: where voxels see only background; None: all voxels are computed.
        options: ``dtype`` and ``device`` of the features.

    Yields:
        each step, before it is carried out.
    """
    last = len(graph.stages) - 1
    channels = {index: stage.channels for index, stage in enumerate(graph.stages)} | {INPUT: graph.in_channels}
    buffers = {
        index: SlidingBuffer(channels[index], layout.boxes[index], planes, layout.held[index][0], **options)
        for index, planes in capacities(graph, layout, slab).items()
    }
    for step in schedule(graph, layout, slab):
        yield step
        box = with_planes(layout.boxes[step.stage], step.planes)
        stage = graph.stages[step.stage]
        if step.stage == last:
            room = torch.empty((1, stage.channels, *shape_of(box)), dtype=torch.float32, device=options["device"])
        else:
            room = buffers[step.stage].append(step.planes, step.keep)
        if step.zeros:
            room.zero_()
        elif step.stage == INPUT:
            room.copy_(load(box))
        else:
            windows = [buffers[source].window() for source in stage.sources]
            parts = [box] if foreground is None else foreground.parts(step.stage, box)
            if foreground is not None and parts != [box]:
                room.copy_(foreground.constants[step.stage].expand_as(room))
            for part in parts:
                attention = stage.operation(windows, part, place(part, room, box))
                if attention is not None and stage.attention is not None and stage.attention in store_attention:
                    store_attention[stage.attention](attention, part)
        if step.stage == last:
            store(room, box)
