"""The attention of scale streams in the scene: rates that are no whole numbers, shown and found like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_display import set_range, show_legend
from AutofocusSegmentationLib.scene.attention_nodes import is_attention
from AutofocusSegmentationLib.scene.attention_set import AttentionSet, add_attention
from vtkmodules.util.numpy_support import vtk_to_numpy

from AutofocusCore.result import AttentionMap, Recalibration, rates_of
from Testing.module.conftest import SceneMaker
from Testing.module.scene.attention_examples import grid

RATES = (1, 1.333333, 2)  # of streams that see the scan at its own size, at three quarters and at half


def test_which_scale_was_used_is_a_zoom_map_and_a_volume_for_each_scale(scene: SceneMaker) -> None:
    weights = np.random.default_rng(0).random((3, 4, 5, 6)).astype(np.float32)
    weights /= weights.sum(axis=0)
    volume = scene.volume()
    attention = add_attention(volume, {0: AttentionMap(weights, RATES, grid(shape=(4, 5, 6)))})
    names = [node.GetName() for node in attention.rates(0)]
    sizes = ("1 (1.5 mm)", "1.33333 (2 mm)", "2 (3 mm)")
    assert names == [f"Weight of rate {size}, layer 1: CT" for size in sizes]

    found = AttentionSet.find(scene.mrml, volume)
    assert found is not None
    assert found.layer(0).rates == RATES
    assert [node.GetName() for node in found.rates(0)] == names
    np.testing.assert_allclose(found.layer(0).weights(2, 3, 1), weights[:, 1, 3, 2])


def test_whole_rates_stay_whole_in_texts() -> None:
    assert rates_of("2 6 10") == (2, 6, 10)
    assert [str(rate) for rate in rates_of("1 1.5 2.0")] == ["1", "1.5", "2"]


def with_recalibration(scene: SceneMaker, volume: Any) -> tuple[AttentionSet, np.ndarray]:
    weights = np.full((2, 4, 5, 6), 0.5, np.float32)
    factors = np.random.default_rng(1).random((3, 4, 5, 6)).astype(np.float32)
    place = grid(shape=(4, 5, 6))
    recalibration = Recalibration(factors, place, ("Background", "Liver", "Tumour"))
    return add_attention(volume, {0: AttentionMap(weights, (1, 2), place)}, recalibration=recalibration), factors


def test_what_was_suppressed_is_a_volume_for_each_class(scene: SceneMaker) -> None:
    volume = scene.volume()
    attention, factors = with_recalibration(scene, volume)
    node = attention.recalibration()[1]
    values = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()).reshape(4, 5, 6)
    np.testing.assert_array_equal(values, factors[1])
    assert is_attention(node), "it is no scan to segment"
    set_range(node, 0.5, 1.0, only=True)
    assert (node.GetDisplayNode().GetLowerThreshold(), node.GetDisplayNode().GetUpperThreshold()) == (0.5, 1.0)
    assert show_legend(node).GetTitleText() == "Kept (0-1)"


def test_a_saved_scene_keeps_the_recalibration_and_a_new_run_replaces_it(scene: SceneMaker, tmp_path: Any) -> None:
    with_recalibration(scene, scene.volume())[0].make_all()
    again = scene.reopened(tmp_path)
    found = AttentionSet.find(again.mrml, again.node("CT"))
    assert found is not None
    assert [node.GetName() for node in found.recalibration()] == [
        "Recalibration, Background", "Recalibration, Liver", "Recalibration, Tumour",
    ]  # fmt: skip
    one = found.recalibration()[1]
    again.mrml.RemoveNode(one)
    assert found.holds(one), "without it the panel's choice is no longer right"
    with_recalibration(again, again.node("CT"))[0].make_all()
    assert again.mrml.GetNodesByName("Recalibration, Tumour").GetNumberOfItems() == 1
    AttentionSet.find(again.mrml, again.node("CT")).remove()
    assert again.mrml.GetNodesByName("Recalibration, Tumour").GetNumberOfItems() == 0


def test_maps_and_classes_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 maps for the classes Background"):
        Recalibration(np.zeros((2, 1, 1, 1), np.float32), grid(shape=(1, 1, 1)), ("Background",))
