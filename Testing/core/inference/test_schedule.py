"""The order of the slabs: nothing twice, nothing too late, nothing held for longer than it is read."""

from __future__ import annotations

import pytest

from AutofocusCore.inference.boxes import Box, grow, hull, intersect, shape_of, shift, voxels
from AutofocusCore.inference.graph import BoxGraph, build_graph
from AutofocusCore.inference.schedule import lay_out, schedule
from AutofocusCore.inference.stages import INPUT
from AutofocusCore.inference.stream import capacities
from AutofocusCore.networks.afnet import AFNet
from Testing.core.small_networks import random_network

SIZE = (68, 48, 38)
TARGET: Box = ((14, 54), (14, 34), (14, 24))


@pytest.fixture(params=["basic", "aspp-c", "afn-2", "afn-6"])
def graph(request: pytest.FixtureRequest) -> BoxGraph:
    network = random_network(request.param)
    assert isinstance(network, AFNet)
    return build_graph(network)


@pytest.mark.parametrize("slab", [1, 3, 8, 64])
def test_every_plane_of_every_stage_is_computed_once_and_in_order(graph: BoxGraph, slab: int) -> None:
    layout = lay_out(graph, SIZE, TARGET)
    planes: dict[int, list[int]] = {}
    for step in schedule(graph, layout, slab):
        assert 0 < step.planes[1] - step.planes[0] <= slab
        planes.setdefault(step.stage, []).extend(range(*step.planes))
    for index in range(INPUT, len(graph.stages)):
        assert planes[index] == list(range(*layout.held[index]))


@pytest.mark.parametrize("slab", [1, 5])
def test_what_a_step_reads_is_there_and_not_yet_forgotten(graph: BoxGraph, slab: int) -> None:
    layout = lay_out(graph, SIZE, TARGET)
    end = {index: layout.held[index][0] for index in range(INPUT, len(graph.stages))}
    keep = dict(end)
    for step in schedule(graph, layout, slab):
        if step.stage != INPUT and not step.zeros:
            stage = graph.stages[step.stage]
            for source, reach in zip(stage.sources, stage.reaches, strict=True):
                assert keep[source] <= step.planes[0] - reach
                assert step.planes[1] + reach <= end[source]
        end[step.stage], keep[step.stage] = step.planes[1], step.keep


def test_memory_does_not_depend_on_the_length_of_the_volume(graph: BoxGraph) -> None:
    short = capacities(graph, lay_out(graph, (400, 48, 38), ((14, 386), *TARGET[1:])), 8)
    long = capacities(graph, lay_out(graph, (900, 48, 38), ((14, 886), *TARGET[1:])), 8)
    assert short == long


def test_planes_beyond_a_feature_map_are_zero_and_only_there(graph: BoxGraph) -> None:
    layout = lay_out(graph, SIZE, TARGET)
    for step in schedule(graph, layout, 4):
        start, stop = layout.boxes[step.stage][0]
        assert step.zeros == (step.planes[1] <= start or step.planes[0] >= stop)


def test_boxes() -> None:
    box: Box = ((2, 5), (0, 4), (1, 2))
    assert grow(box, 2) == ((0, 7), (-2, 6), (-1, 4))
    assert shift(box, -1) == ((1, 4), (-1, 3), (0, 1))
    assert intersect(box, ((4, 9), (1, 2), (0, 9))) == ((4, 5), (1, 2), (1, 2))
    assert hull(box, ((4, 9), (1, 2), (0, 9))) == ((2, 9), (0, 4), (0, 9))
    assert (shape_of(box), voxels(box)) == ((3, 4, 1), 12)
