"""The order in which slabs are computed, planned before anything is computed.

The volume streams through all layers along its first axis. Each layer computes its next slab of planes as soon as the
planes that it reads are available, and planes that no later layer needs are dropped:

    volume    . . . . . . . . . . . . . . . . > > >
    layer 1   . . . . . . . . . . . > > > >
    layer 2   . . . . . . . > > > >                    >  in memory
    logits    . . . . > >                              .  computed and dropped (logits are stored elsewhere)

No voxel is computed twice, and the memory does not depend on the volume's length along that axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from AutofocusCore.inference.boxes import Box, Interval, grow, hull, intersect
from AutofocusCore.inference.stages import INPUT


class StageLike(Protocol):
    """The properties of a stage that the schedule depends on, see :class:`AutofocusCore.inference.stages.Stage`."""

    @property
    def sources(self) -> tuple[int, ...]: ...

    @property
    def reaches(self) -> tuple[int, ...]: ...

    @property
    def margin(self) -> int: ...


class GraphLike(Protocol):
    """A network as a list of stages, of either domain."""

    @property
    def stages(self) -> Sequence[StageLike]: ...


@dataclass(frozen=True)
class Layout:
    """The voxels of each stage that a run computes, in the coordinates of the padded volume.

    Attributes:
        boxes: the box of each stage; the last entry is that of the padded volume (index -1, as in ``Stage.sources``).
        held: for each stage, the planes that its buffer holds in the course of the run: ``boxes`` and planes of zeros
            around it, the zero-padding of branches that read beyond the end of a feature map.
    """

    boxes: tuple[Box, ...]
    held: tuple[Interval, ...]


def lay_out(graph: GraphLike, size: tuple[int, int, int], target: Box) -> Layout:
    """The boxes that the logits of ``target`` need, for a padded volume of ``size`` (z, y, x) voxels."""
    stages = graph.stages
    last = len(stages) - 1
    wanted: dict[int, Box] = {last: target}
    for index in reversed(range(len(stages))):
        for source, reach in zip(stages[index].sources, stages[index].reaches, strict=True):
            margin = 0 if source == INPUT else stages[source].margin
            extent: Box = tuple((margin, length - margin) for length in size)  # type: ignore[assignment]
            box = intersect(grow(wanted[index], reach), extent)
            wanted[source] = hull(wanted[source], box) if source in wanted else box
    held = {index: box[0] for index, box in wanted.items()}
    for index, stage in enumerate(stages):
        for source, reach in zip(stage.sources, stage.reaches, strict=True):
            start, stop = wanted[index][0]
            held[source] = (min(held[source][0], start - reach), max(held[source][1], stop + reach))
    order = [*range(len(stages)), INPUT]
    return Layout(tuple(wanted[index] for index in order), tuple(held[index] for index in order))


@dataclass(frozen=True)
class Step:
    """One slab of one stage.

    Attributes:
        stage: index of the stage; -1 loads planes of the volume.
        planes: the planes to compute and append.
        zeros: whether these planes lie beyond the feature map and are zero.
        keep: the first plane of this stage's buffer that a later step reads.
    """

    stage: int
    planes: Interval
    zeros: bool
    keep: int


def schedule(graph: GraphLike, layout: Layout, slab: int, *, zeros: bool = True) -> Iterator[Step]:
    """All steps of a run in order, of at most ``slab`` planes each; those that only pass on ``zeros`` if wanted."""
    stages = graph.stages
    last = len(stages) - 1
    position = {index: layout.held[index][0] for index in range(INPUT, len(stages))}
    readers: dict[int, list[tuple[int, int]]] = {index: [] for index in range(INPUT, len(stages))}
    for index, stage in enumerate(stages):
        for source, reach in zip(stage.sources, stage.reaches, strict=True):
            readers[source].append((index, reach))

    def advance(index: int, goal: int) -> Iterator[Step]:
        start, stop = layout.boxes[index][0]
        goal = min(goal, layout.held[index][1])
        while position[index] < goal:
            begin = position[index]
            empty = begin < start or begin >= stop
            edge = start if begin < start else layout.held[index][1] if begin >= stop else stop
            end = min(begin + slab, goal, edge)
            if not empty and index != INPUT:
                for source, reach in zip(stages[index].sources, stages[index].reaches, strict=True):
                    yield from advance(source, end + reach)
            if zeros or not empty:
                needs = [max(position[reader], layout.boxes[reader][0][0]) - reach for reader, reach in readers[index]]
                yield Step(index, (begin, end), empty, min(needs, default=begin))
            position[index] = end

    begin, stop = layout.boxes[last][0]
    for goal in range(begin + slab, stop + slab, slab):
        yield from advance(last, goal)
