"""Whole volumes in the ROI domain: the planned run equals the network itself, whatever the memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from AutofocusCore.errors import Cancelled, MemoryLimitError, SettingError
from AutofocusCore.inference import plan_volume, predict_volume, prediction, receptive_reach
from AutofocusCore.networks.build import build_network
from Testing.core.networks.test_roi import lively

SHAPE = (9, 12, 11)


@pytest.fixture(scope="module")
def volume() -> torch.Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def mask() -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(4)) < 0.5


@pytest.mark.parametrize(
    ("architecture", "norm"),
    [
        ("basic", "branch"),
        ("aspp-s", "branch"),
        ("aspp-c", "branch"),
        ("deepmedic", "branch"),
        ("afn-2", "branch"),
        ("afn-6", "fused"),
    ],
)
def test_a_prediction_is_the_networks_forward_pass(
    architecture: str, norm: str, volume: torch.Tensor, mask: torch.Tensor
) -> None:
    network = lively(architecture, norm=norm)
    result = predict_volume(network, volume, mask=mask, precision="float32", device="cpu", attention="all")
    with torch.no_grad():
        logits, attention = network.forward_with_attention(volume[None], mask[None])
    torch.testing.assert_close(result.logits, logits[0], atol=1e-4, rtol=1e-4)
    assert sorted(result.attention) == list(range(network.autofocus_layers))
    for index, weights in result.attention.items():
        torch.testing.assert_close(weights, attention[index][0], atol=1e-4, rtol=1e-4)


def test_the_result_does_not_depend_on_the_memory_that_a_run_may_take() -> None:
    network = lively("afn-2", norm="fused", dilation_rates=(1, 2))
    volume = torch.randn(2, 300, 5, 5, generator=torch.Generator().manual_seed(3))
    options = {"precision": "float32", "device": "cpu", "attention": "all"}
    whole = predict_volume(network, volume, **options)
    assert whole.plan.slabs == 1
    less = predict_volume(network, volume, **options, memory_limit=whole.plan.peak_bytes - 1)
    assert less.plan.slabs > 1
    torch.testing.assert_close(less.logits, whole.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(less.attention[1], whole.attention[1], atol=1e-5, rtol=1e-5)
    with pytest.raises(MemoryLimitError, match="needs at least"):
        predict_volume(network, volume, **options, memory_limit=1)


@pytest.mark.parametrize("slab", [1, 3, 9])
@pytest.mark.parametrize("splits", [1, 2])
def test_slabs_and_splits_leave_no_seam(
    slab: int, splits: int, volume: torch.Tensor, mask: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = lively("afn-2", norm="fused", dilation_rates=(1, 2))
    whole = predict_volume(network, volume, mask=mask, precision="float32", device="cpu")
    (planes, rows, columns), cut = whole.plan.tiles[0], 6
    tiles = ((planes, (0, cut), columns), (planes, (cut, rows[1]), columns)) if splits == 2 else whole.plan.tiles
    plan = dataclasses.replace(whole.plan, slab=slab, tiles=tiles)
    monkeypatch.setattr(prediction, "plan_roi_volume", lambda *_, **__: plan)
    cut_up = predict_volume(network, volume, mask=mask, precision="float32", device="cpu")
    torch.testing.assert_close(cut_up.logits, whole.logits, atol=1e-5, rtol=1e-5)


def test_a_region_is_that_part_of_the_whole(volume: torch.Tensor, mask: torch.Tensor) -> None:
    network = lively("afn-2", norm="fused", dilation_rates=(1, 2))
    region = ((2, 7), (1, 9), (4, 11))
    whole = predict_volume(network, volume, mask=mask, precision="float32", attention="all")
    part = predict_volume(network, volume, mask=mask, precision="float32", attention="all", region=region)
    where = (slice(None), *(slice(*ends) for ends in region))
    torch.testing.assert_close(part.logits, whole.logits[where], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.attention[1], whole.attention[1][where], atol=1e-5, rtol=1e-5)


def test_arrays_and_no_mask_and_an_empty_mask_will_do(volume: torch.Tensor) -> None:
    network = lively("basic")
    everywhere = predict_volume(network, volume.numpy(), precision="float32")
    same = predict_volume(network, volume, mask=np.ones(SHAPE, dtype=bool), precision="float32")
    torch.testing.assert_close(everywhere.logits, same.logits)
    assert not predict_volume(network, volume, mask=np.zeros(SHAPE, dtype=bool)).logits.any()


def test_bfloat16_differs_by_its_own_rounding(volume: torch.Tensor, mask: torch.Tensor) -> None:
    network = lively("afn-2", norm="fused")
    exact = predict_volume(network, volume, mask=mask, precision="float32").logits
    rounded = predict_volume(network, volume, mask=mask, precision="bfloat16").logits
    error = (rounded - exact).abs()[:, mask].mean() / exact.abs()[:, mask].mean()
    assert 0 < error < 0.05


def test_progress_comes_to_its_end_and_a_run_can_be_cancelled(volume: torch.Tensor, mask: torch.Tensor) -> None:
    network = lively("basic")
    seen = []
    predict_volume(network, volume, mask=mask, progress=seen.append)
    assert seen[-1].done == seen[-1].total
    with pytest.raises(Cancelled):
        predict_volume(network, volume, mask=mask, cancelled=lambda: True)


def test_what_cannot_be_done_is_said(volume: torch.Tensor, mask: torch.Tensor) -> None:
    with pytest.raises(SettingError, match="box domain"):
        predict_volume(build_network("basic", in_channels=2, num_classes=3), volume, mask=mask)
    with pytest.raises(SettingError, match=r"\(9, 12, 11\)"):
        predict_volume(lively("basic"), volume, mask=mask[1:])
    with pytest.raises(SettingError, match="Paper mode"):
        predict_volume(lively("basic"), volume, mask=mask, mode="paper")


def test_a_plan_counts_the_active_voxels(volume: torch.Tensor) -> None:
    network = lively("afn-4", norm="fused")
    full = plan_volume(network, (2, 100, 100, 100), device="cpu")
    tenth = plan_volume(network, (2, 100, 100, 100), device="cpu", active_share=0.1)
    assert tenth.work == pytest.approx(full.work / 10, rel=0.01)
    assert tenth.peak_bytes < full.peak_bytes
    assert "inside the patient" in full.describe()
    assert receptive_reach(network) == 2 + 2 * 2 + 4 * 14
