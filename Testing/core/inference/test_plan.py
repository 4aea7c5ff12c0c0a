"""The plan counts what the run takes: planes of buffers, and temporary tensors of each step."""

from __future__ import annotations

import pytest
import torch

from AutofocusCore.inference.boxes import Box, Window, convolve, shape_of, with_planes
from AutofocusCore.inference.dry_run import MemoryTracker
from AutofocusCore.inference.filters import is_faster_on
from AutofocusCore.inference.graph import BoxGraph, build_fine_graph, build_graph
from AutofocusCore.inference.schedule import lay_out, schedule
from AutofocusCore.inference.stages import INPUT
from AutofocusCore.inference.stream import capacities
from AutofocusCore.networks.deepmedic import SCALE, DeepMedic
from Testing.core.small_networks import random_network

SIZE = (68, 58, 56)
SLAB = 8
WEIGHTS = 100_000
"""Bytes of weights, which the tracker counts where an operation takes a view of them."""


def graph_of(name: str) -> tuple[BoxGraph, Box]:
    """A network with filters of two planes at a time, and a target with all around it."""
    network, minimal = random_network(name), is_faster_on("cpu")
    margin = network.margin
    target: Box = tuple((margin, length - margin) for length in SIZE)  # type: ignore[assignment]
    if isinstance(network, DeepMedic):
        coarse = torch.zeros(1, network.subsampled.out_channels, *(-(-length // SCALE) for length in shape_of(target)))
        return build_fine_graph(network, coarse, (margin, margin, margin), minimal=minimal), target
    return build_graph(network, minimal=minimal), target


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["basic", "aspp-s", "afn-2", "deepmedic"])
@torch.inference_mode()
def test_no_step_takes_more_memory_than_it_says(name: str, dtype: torch.dtype) -> None:
    graph, target = graph_of(name)
    graph, layout = graph.to(dtype), lay_out(graph, SIZE, target)
    for index, stage in enumerate(graph.stages):
        start = layout.boxes[index][0][0]
        box = with_planes(layout.boxes[index], (start, start + SLAB))
        windows = []
        for source, reach in zip(stage.sources, stage.reaches, strict=True):
            held = with_planes(layout.boxes[source], (start - reach, start + SLAB + reach))
            channels = graph.in_channels if source == INPUT else graph.stages[source].channels
            features = torch.ones(1, *shape_of(held), channels, dtype=dtype).permute(0, 4, 1, 2, 3)
            windows.append(Window(features, held))
        out = torch.empty(1, *shape_of(box), stage.channels, dtype=dtype).permute(0, 4, 1, 2, 3)
        with MemoryTracker() as tracker:
            for tensor in (out, *(window.tensor for window in windows)):
                tracker.count(tensor)
            before = tracker.held
            stage.operation(windows, box, out)
        said = stage.operation.workspace([window.box for window in windows], box, dtype.itemsize)
        assert tracker.peak - before <= said + WEIGHTS, (index, type(stage.operation).__name__)


@pytest.mark.parametrize("slab", [3, 8, 64])
@pytest.mark.parametrize("name", ["basic", "aspp-c", "afn-2"])
def test_a_buffer_has_no_plane_that_is_never_written(name: str, slab: int) -> None:
    graph, target = graph_of(name)
    layout = lay_out(graph, SIZE, target)
    offsets = {index: layout.held[index][0] for index in range(INPUT, len(graph.stages) - 1)}
    room, most = capacities(graph, layout, slab), dict.fromkeys(offsets, 0)
    for step in schedule(graph, layout, slab):
        if step.stage in offsets:
            if step.planes[1] - offsets[step.stage] > room[step.stage]:
                offsets[step.stage] = step.keep
            most[step.stage] = max(most[step.stage], step.planes[1] - offsets[step.stage])
    assert most == room


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN.")
@pytest.mark.parametrize(("channels", "planes"), [(1, 20), (12, 1), (12, 20)])
def test_every_convolution_in_float32_is_onednns_which_copies_no_input_for_each_tap(channels: int, planes: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, planes + 4, 24, 24, channels).permute(0, 4, 1, 2, 3)
    weight, bias = torch.randn(9, channels, 3, 3, 3), torch.randn(9)
    found = convolve(x, weight, bias, (0, 1, 2), (2, 2, 2))
    assert found.is_contiguous(memory_format=torch.channels_last_3d), "as oneDNN writes it"
    expected = torch.conv3d(x.double(), weight.double(), bias.double(), padding=(0, 1, 2), dilation=2)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
