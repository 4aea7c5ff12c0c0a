"""Exact mode computes no voxel that sees only background, and its result is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from AutofocusCore.inference import predict_volume
from AutofocusCore.inference.background import FAR, find_foreground, rectangles_of, widened
from AutofocusCore.inference.boxes import Box, voxels
from AutofocusCore.inference.graph import build_graph
from AutofocusCore.networks.build import ARCHITECTURES
from Testing.core.small_networks import narrow_network, truth, whole

BACKGROUND = -1.5
SHAPE = (44, 10, 34)
BLOBS: dict[str, list[Box]] = {
    "one inside": [((20, 24), (4, 6), (25, 28))],
    "two far apart": [((0, 3), (2, 4), (0, 2)), ((37, 44), (6, 9), (28, 30))],
    "one in a corner": [((40, 44), (0, 3), (32, 34))],
    "nothing": [],
    "everything": [((0, 44), (0, 10), (0, 34))],
}


def scan(blobs: list[Box]) -> torch.Tensor:
    """Background, and random values in the blobs."""
    random = torch.Generator().manual_seed(5)
    volume = torch.full((1, *SHAPE), BACKGROUND)
    for (a, b), (c, d), (e, f) in blobs:
        volume[:, a:b, c:d, e:f] = torch.randn(1, b - a, d - c, f - e, generator=random)
    return volume


@pytest.mark.parametrize(
    ("architecture", "blobs"),
    [(name, "one inside") for name in ARCHITECTURES if name != "basic"] + [("basic", name) for name in BLOBS],
)
def test_logits_and_attention_are_those_of_one_pass_over_everything(architecture: str, blobs: str) -> None:
    network, volume = narrow_network(architecture), scan(BLOBS[blobs])
    logits, attention = truth(network, volume, BACKGROUND, whole(volume))
    found = predict_volume(network, volume, BACKGROUND, device="cpu", precision="float32", attention="all")
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=5e-6 * max(1.0, logits.abs().max().item()))
    for index, expected in enumerate(attention):
        torch.testing.assert_close(found.attention[index], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_far_from_the_patient_every_voxel_has_the_same_logits(precision: str) -> None:
    volume = scan(BLOBS["one in a corner"])
    logits = predict_volume(narrow_network("basic"), volume, BACKGROUND, device="cpu", precision=precision).logits
    air = logits[:, :16].flatten(1)
    assert torch.equal(air, air[:, :1].expand_as(air))


def test_only_what_sees_the_patient_is_computed() -> None:
    graph = build_graph(narrow_network("basic"))
    foreground = find_foreground(
        graph, scan(BLOBS["one inside"]), torch.tensor([BACKGROUND]), torch.float32, device="cpu"
    )
    frame = [(0, length + 2 * graph.margin) for length in SHAPE]
    for index, stage in enumerate(graph.stages):
        box: Box = tuple((low + stage.margin, high - stage.margin) for low, high in frame)  # type: ignore[assignment]
        assert sum(map(voxels, foreground.parts(index, box))) < 0.9 * voxels(box)


def test_layers_that_read_beyond_a_map_are_computed_whole_and_those_before_are_not() -> None:
    graph = build_graph(narrow_network("afn-2"))
    foreground = find_foreground(graph, scan([]), torch.tensor([BACKGROUND]), torch.float32, device="cpu")
    assert sorted(foreground.constants) == [-1, 0, 1, 2, 3, 4, 5]


def test_each_plane_has_the_rectangle_of_what_is_not_background_in_any_channel() -> None:
    volume = torch.tensor([0.0, 7.0])[:, None, None, None].repeat(1, 3, 5, 6)
    volume[0, 1, 2, 3] = 7.0
    volume[1, 1, 4, 1] = 0.0
    found = rectangles_of(volume, torch.tensor([0.0, 7.0]), margin=2)
    assert found.shape == (7, 4)
    assert found[3].tolist() == [2 + 2, -(4 + 2), 1 + 2, -(3 + 2)]
    assert (np.delete(found, 3, axis=0) == FAR).all()


def test_a_rectangle_grows_by_the_reach_along_all_three_axes() -> None:
    rectangles = np.full((6, 4), FAR, dtype=np.int64)
    rectangles[1], rectangles[2] = (4, -5, 4, -5), (3, -4, 6, -9)
    grown = widened(rectangles, 1)
    assert grown[:4].tolist() == [[3, -6, 3, -6], [2, -6, 3, -10], [2, -6, 3, -10], [2, -5, 5, -10]]
    assert (grown[4:] == FAR).all()
