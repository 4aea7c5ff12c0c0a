"""The probe at the cursor, and the circle around it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_set import AttentionSet, add_attention
from AutofocusSegmentationLib.scene.outlines import MARKERS, unlike
from AutofocusSegmentationLib.scene.probe import DistanceMarker, probe_at

from Testing.module.conftest import SceneMaker, oblique, world_of_voxel
from Testing.module.scene.attention_examples import RATES, RATES_MM, layers, reach


@pytest.mark.parametrize("transform", ["none", "linear", "warp"])
@pytest.mark.parametrize("saved", [False, True], ids=["from memory", "from the nodes"])
def test_the_probe_reads_the_voxel_under_the_cursor(scene: SceneMaker, transform: str, saved: bool) -> None:
    volume = scene.volume()
    if transform != "none":
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = oblique() * 1.3, (5, 6, 7)
        node = scene.linear(matrix) if transform == "linear" else scene.warp()
        volume.SetAndObserveTransformNodeID(node.GetID())
    attention = add_attention(volume, layers(), everything=True)
    if saved:
        attention = AttentionSet.find(scene.mrml, volume)
    for offset in ((0, 0, 0), (0.4, -0.4, 0.4)):
        point = world_of_voxel(attention.zoom(0), np.add((6, 4, 3), offset))
        found = probe_at(attention, attention.layer(0), tuple(point))
        assert found.inside
        assert found.weights == pytest.approx([0.5, 0.25, 0.25, 0])
        assert found.distance_mm == pytest.approx(7.5)
        assert (found.rates, found.rates_mm) == (RATES, RATES_MM)
    outside = probe_at(attention, attention.layer(0), tuple(world_of_voxel(attention.zoom(0), (-0.6, 4, 3))))
    assert not outside.inside
    assert not outside.weights.any()


def test_the_probe_of_the_reach_tells_how_far_all_layers_looked_and_their_mean_weights(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers(2), reach=reach(air=True))
    found = probe_at(attention, None, tuple(world_of_voxel(attention.reach, (6, 4, 3))))
    assert found.inside
    assert found.all_layers
    assert found.distance_mm == pytest.approx(float(reach().values[3, 4, 6]))
    assert found.weights == pytest.approx([0.5, 0.25, 0.25, 0])
    assert not probe_at(attention, None, tuple(world_of_voxel(attention.reach, (6, 1, 3)))).inside, "that is air"


def test_the_probe_keeps_up_with_the_mouse(scene: SceneMaker) -> None:
    volume = scene.volume()
    for attention in (add_attention(volume, layers(), everything=True), AttentionSet.find(scene.mrml, volume)):
        point = tuple(world_of_voxel(attention.zoom(0), (6, 4, 3)))
        one = attention.layer(0)
        probe_at(attention, one, point)
        taken = []
        for _ in range(50):
            start = time.perf_counter()
            probe_at(attention, one, point)
            taken.append(time.perf_counter() - start)
        assert min(taken) < 0.002, "however busy the computer is"


def test_without_the_volumes_of_the_rates_the_probe_says_what_it_knows(scene: SceneMaker) -> None:
    volume = scene.volume()
    add_attention(volume, layers(), reach=reach())
    found = AttentionSet.find(scene.mrml, volume)
    point = tuple(world_of_voxel(found.reach, (6, 4, 3)))
    assert probe_at(found, None, point).distance_mm == pytest.approx(float(reach().values[3, 4, 6]))
    assert not probe_at(found, None, point).rates
    volume = scene.volume(name="Without reach")
    add_attention(volume, layers())
    found = AttentionSet.find(scene.mrml, volume)
    assert not probe_at(found, found.layer(0), point).inside


def test_the_circle_has_the_colour_that_is_least_like_the_others() -> None:
    assert unlike([]) in MARKERS
    assert unlike([(1.0, 0.95, 0.1), (1.0, 1.0, 1.0), (0.1, 1.0, 0.2), (1.0, 0.1, 0.2)]) == (0.1, 1.0, 1.0)


def test_the_marker_has_the_true_size_and_is_neither_listed_nor_saved(scene: SceneMaker) -> None:
    marker = DistanceMarker(scene.mrml)
    marker.update((10.0, 20.0, 30.0), 7.5)
    bounds = [0.0] * 6
    marker.node.GetRASBounds(bounds)
    assert bounds == pytest.approx([2.5, 17.5, 12.5, 27.5, 22.5, 37.5], abs=0.05)
    display = marker.node.GetDisplayNode()
    assert (display.GetVisibility2D(), display.GetVisibility3D()) == (1, 0)
    assert marker.node.GetHideFromEditors()
    assert not marker.node.GetSaveWithScene()
    seen = []
    marker.node.AddObserver(marker.node.PolyDataModifiedEvent, lambda *_: seen.append(1))
    marker.update((0.0, 0.0, 0.0), 2.0)
    assert seen, "the views hear of it"
    marker.remove()
    assert scene.mrml.GetNumberOfNodesByClass("vtkMRMLModelNode") == 0
    marker.remove()
    marker.update((0.0, 0.0, 0.0), 2.0)
