"""The attention of scale streams in the scene: rates that are no whole numbers, shown and found like any other."""

from __future__ import annotations

import numpy as np
import pytest
from AutofocusSegmentationLib.attention_layer import Layer, rates_of
from AutofocusSegmentationLib.attention_nodes import AttentionSet, add_attention

from .conftest import SceneMaker, index_to_ras

RATES = (1, 1.333333, 2)  # of streams that see the scan at its own size, at three quarters and at half


def test_which_scale_was_used_is_a_zoom_map_and_a_volume_for_each_scale(scene: SceneMaker) -> None:
    weights = np.random.default_rng(0).random((3, 4, 5, 6)).astype(np.float32)
    weights /= weights.sum(axis=0)
    rates_mm = tuple(1.5 * rate for rate in RATES)
    volume = scene.volume()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ index_to_ras("left-handed")
    attention = add_attention(volume, [Layer(0, RATES, rates_mm, weights, lps)])
    names = [node.GetName() for node in attention.rates(0)]
    assert names == [f"Attention, layer 1, rate {rate}" for rate in ("1", "1.333333", "2")]
    display = attention.zoom(0).GetDisplayNode()
    assert display.GetLevel() - display.GetWindow() / 2 == pytest.approx(1.5)
    assert display.GetLevel() + display.GetWindow() / 2 == pytest.approx(3.0)

    found = AttentionSet.find(scene.mrml, volume)
    assert found is not None
    assert found.layer(0).rates == RATES
    assert [node.GetName() for node in found.rates(0)] == names
    np.testing.assert_allclose(found.layer(0).weights(2, 3, 1), weights[:, 1, 3, 2])


def test_whole_rates_stay_whole_in_texts() -> None:
    assert rates_of("2 6 10") == (2, 6, 10)
    assert [str(rate) for rate in rates_of("1 1.5 2.0")] == ["1", "1.5", "2"]
