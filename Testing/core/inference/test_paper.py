"""Paper mode repeats the released tiling, without its faults."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from AutofocusCore.inference import predict_volume
from Testing.core.small_networks import narrow_network

TILE, RESULT, MARGIN = 75, 47, 14


def test_each_tile_is_a_pass_of_its_own_and_no_plane_is_dropped() -> None:
    """94 = 2 x 47 along one axis, where the released planner loses the last plane."""
    network = narrow_network("afn-1")
    volume = torch.randn(1, 94, 10, 12)
    prediction = predict_volume(network, volume, -1.5, mode="paper", device="cpu", attention="all")
    assert prediction.plan.splits == 2
    assert prediction.precision == "float32"
    padded = functional.pad(volume[None], (MARGIN, 64, MARGIN, 64, MARGIN, MARGIN), value=-1.5)
    for index in range(2):
        tile = padded[:, :, RESULT * index : RESULT * index + TILE, :TILE, :TILE]
        with torch.inference_mode():
            logits, (attention,) = network.forward_with_attention(tile)
        planes = slice(RESULT * index, RESULT * (index + 1))
        torch.testing.assert_close(prediction.logits[:, planes], logits[0, :, :, :10, :12])
        torch.testing.assert_close(prediction.attention[0][:, planes], attention[0, :, :, :10, :12])


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 48, 3)])
def test_every_size_is_covered(size: tuple[int, int, int]) -> None:
    network = narrow_network("basic")
    volume = torch.randn(1, *size)
    paper, exact = (
        predict_volume(network, volume, mode=mode, device="cpu", precision="float32")
        for mode in ("paper", "exact")  # type: ignore[arg-type]
    )
    assert paper.logits.shape == (3, *size)
    torch.testing.assert_close(paper.logits, exact.logits, rtol=1e-3, atol=1e-3)  # Basic has no far branches


def test_deepmedic_has_tiles_of_its_own_size() -> None:
    network = narrow_network("deepmedic")
    prediction = predict_volume(network, torch.randn(1, 28, 20, 20), mode="paper", device="cpu")
    assert prediction.plan.splits == 2
    assert prediction.logits.shape == (3, 28, 20, 20)
