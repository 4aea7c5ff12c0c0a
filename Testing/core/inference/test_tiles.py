"""Networks of scale streams on volumes: as a whole or in tiles, the result is that of one pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.errors import Cancelled, MemoryLimitError, SettingError
from AutofocusCore.inference import Progress, plan_volume, predict_volume, receptive_reach
from AutofocusCore.inference.boxes import Box, place, shape_of, shift
from AutofocusCore.inference.progress import expected_seconds
from AutofocusCore.inference.task import Task
from AutofocusCore.inference.tiles import context, plan_tiles
from AutofocusCore.networks.scale_streams import ScaleStreams
from AutofocusCore.networks.scale_streams.dimensions import finish
from Testing.core.networks.test_scale_streams import streams_network
from Testing.core.peak_memory import peak_memory

BACKGROUND = -3.0
NARROW = {"encoder": "basic", "width": 8, "dilations": (1, 2)}
NETWORKS = [
    NARROW,
    {**NARROW, "recalibration": "additive", "scales": (1.0, (1.0, 0.5, 0.5), 0.25), "dilations": (1, 1, 2)},
    {"encoder": "afn-1", "dilation_rates": (2, 4), "width": 4, "dilations": (), "merge": "max"},
]


@torch.inference_mode()
def truth(network: ScaleStreams, volume: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """One pass over the whole padded volume: logits, location attention, recalibration."""
    x = functional.pad(volume[None], 6 * [network.margin], value=BACKGROUND)
    maps = finish(network.steps(x))
    location, recalibration = (
        None if values is None else network.to_image(values, x)[0] for values in (maps.location, maps.recalibration)
    )
    return network.to_image(maps.fused, x)[0], location, recalibration


def predict(network: ScaleStreams, volume: Tensor, **options: Any) -> Any:
    return predict_volume(
        network, volume, background=BACKGROUND, device="cpu", precision="float32", attention="all", **options
    )


def memory_for(network: ScaleStreams, shape: tuple[int, ...], splits: int) -> int:
    """A limit under which the volume is split into about so many tiles."""
    limit = plan_volume(network, shape, device="cpu", precision="float32", attention="all").peak_bytes
    while True:
        plan = plan_volume(network, shape, device="cpu", precision="float32", attention="all", memory_limit=limit)
        if plan.splits >= splits:
            return limit
        limit = plan.peak_bytes - 1


@pytest.mark.parametrize("options", NETWORKS)
def test_tiles_give_what_one_pass_over_the_padded_volume_gives(options: dict[str, Any]) -> None:
    network = streams_network(**options)
    volume = torch.randn(1, 3, 2, 97)
    expected = truth(network, volume)
    limit = memory_for(network, volume.shape, 2)
    for memory in (None, limit):
        found = predict(network, volume, memory_limit=memory)
        assert found.plan.splits == 1 if memory is None else found.plan.splits >= 2
        assert (found.logits - expected[0]).abs().max() <= 1e-4
        assert (expected[1] is None) == (found.attention == {})
        for mine, theirs in ((found.attention.get(0), expected[1]), (found.recalibration, expected[2])):
            if theirs is not None:
                assert (mine - theirs).abs().max() <= 1e-4


def test_a_region_is_that_part_of_the_whole_volumes_result() -> None:
    network = streams_network(**NARROW)
    volume = torch.randn(1, 9, 4, 97)
    region: Box = ((3, 8), (0, 3), (57, 76))
    found = predict(network, volume, region=region)
    for mine, theirs in zip(
        (found.logits, found.attention[0], found.recalibration), truth(network, volume), strict=True
    ):
        assert theirs is not None
        assert (mine - place(region, theirs)).abs().max() <= 1e-4
    assert found.plan.work < plan_volume(network, volume.shape, device="cpu").work


@pytest.mark.parametrize(
    "options", [*NETWORKS, {"encoder": "afn-2", "dilation_rates": (2, 6), "width": 4, "scales": (1.0,)}]
)
@torch.inference_mode()
def test_nothing_farther_than_the_halo_matters(options: dict[str, Any]) -> None:
    """What is not a number at one end spreads exactly as far as it is read, whatever the weights are."""
    network = streams_network(**options)
    reach = receptive_reach(network)
    x = torch.randn(1, 1, 2 * network.margin + 2, 2 * network.margin + 2, 2 * network.margin + reach + 24)
    for end in (0, -1):
        spoilt = x.clone()
        spoilt[..., end] = torch.nan
        lost = network(spoilt)[0].isnan().any(dim=(0)).any(dim=0).any(dim=0)
        places = lost.nonzero().flatten()
        if len(places):
            farthest = int(places.max() if end == 0 else len(lost) - 1 - places.min())
            assert farthest + network.margin <= reach
        # From the first output on, the input's first voxel lies a margin away; beyond `reach` nothing may be lost.
        assert not lost.all()


def test_a_tiles_input_is_aligned_and_has_the_halo_or_ends_with_the_volume() -> None:
    network = streams_network(**NETWORKS[1])
    geometry = network.geometry
    size = tuple(length + 2 * network.margin for length in (61, 203, 40))
    for tile in (((0, 9), (100, 130), (3, 40)), ((52, 61), (0, 203), (17, 18))):
        box = context(network, shift(tile, network.margin), size)  # type: ignore[arg-type]
        for (low, high), (start, stop), length in zip(box, tile, size, strict=True):
            assert low % geometry.alignment == 0
            assert low == 0 or start - low >= geometry.halo
            assert high == length or high - 2 * network.margin - stop >= geometry.halo
            assert high == length or (high - low) % geometry.alignment == 0


def test_the_tiles_cover_the_volume_once() -> None:
    network = streams_network(**NARROW)
    shape = (1, 90, 9, 111)
    whole = ((0, 90), (0, 9), (0, 111))
    task = Task.of(network, torch.empty(shape, device="meta"), torch.zeros(1), whole, None, device="meta")
    limit = memory_for(network, shape, 4)
    plan = plan_tiles(network, task, torch.float32, limit=limit, result_bytes=task.result_bytes)
    counts = torch.zeros(shape[1:], dtype=torch.int32)
    for tile in plan.tiles:
        place(shift(tile, -network.margin), counts).add_(1)
    assert (counts == 1).all()
    assert sum(shape_of(tile)[0] * shape_of(tile)[1] * shape_of(tile)[2] for tile in plan.tiles) == counts.numel()
    assert f"{plan.splits} tiles, each with its whole context" in plan.describe()


def test_with_pyramid_pooling_the_volume_is_never_cut() -> None:
    network = streams_network(**NARROW, pyramid_bins=(1, 2))
    volume = torch.randn(1, 13, 9, 70)
    found = predict(network, volume, region=((2, 4), (0, 9), (60, 70)))
    expected = truth(network, volume)[0][:, 2:4, :, 60:]
    assert (found.logits - expected).abs().max() <= 1e-4
    with pytest.raises(MemoryLimitError, match="pyramid pooling"):
        predict(network, volume, memory_limit=found.plan.peak_bytes - 1)
    with pytest.raises(SettingError, match="pyramid pooling"):
        receptive_reach(network)


def test_progress_comes_after_every_layer_and_cancelling_stops_there() -> None:
    network = streams_network(**NARROW)
    volume = torch.randn(1, 10, 9, 12)
    seen: list[Progress] = []
    found = predict(network, volume, progress=seen.append)
    assert [step.done for step in seen] == list(range(1, found.plan.steps + 1))
    assert found.plan.steps >= 2 * 5
    assert all(step.total == found.plan.steps for step in seen)
    with pytest.raises(Cancelled):
        predict(network, volume, progress=seen.append, cancelled=lambda: len(seen) > found.plan.steps + 3)
    assert len(seen) == found.plan.steps + 4
    assert expected_seconds(network, found.plan, "cpu", "float32") > 0


def test_attention_and_recalibration_come_only_when_asked_for() -> None:
    network = streams_network(**NARROW)
    volume = torch.randn(1, 10, 9, 12)
    found = predict_volume(network, volume, device="cpu")
    assert found.attention == {}
    assert found.recalibration is None
    with pytest.raises(SettingError, match="1 map"):
        predict_volume(network, volume, device="cpu", attention=[1])


def test_what_such_a_network_cannot_do_is_said_in_one_sentence() -> None:
    flat, solid = streams_network(encoder="resnet34"), streams_network(**NARROW)
    with pytest.raises(SettingError, match="two-dimensional"):
        predict_volume(flat, torch.zeros(1, 4, 4, 4), device="cpu")
    with pytest.raises(SettingError, match="Paper mode"):
        predict_volume(solid, torch.zeros(1, 4, 4, 4), device="cpu", mode="paper")
    with pytest.raises(MemoryLimitError, match="at least"):
        predict_volume(solid, torch.zeros(1, 20, 20, 40), device="cpu", memory_limit=2**20)


@pytest.mark.parametrize(("options", "precision"), [(NARROW, "float32"), ({"encoder": "basic"}, "bfloat16")])
def test_the_measured_peak_is_near_the_plan_and_not_far_above_it(options: dict[str, Any], precision: str) -> None:
    result = peak_memory("scale-streams", (30, 40, 60), network=options, precision=precision, attention="all")
    assert 0.6 * result["planned"] <= result["measured"] <= 1.15 * result["planned"]
