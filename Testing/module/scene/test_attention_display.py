"""Overlay, range, colours, legend and outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_display import (
    hide_overlay,
    limits,
    set_colours,
    set_range,
    show_legend,
    show_overlay,
    shown_range,
)
from AutofocusSegmentationLib.scene.attention_nodes import first_range
from AutofocusSegmentationLib.scene.attention_set import add_attention
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.outlines import (
    OUTLINES,
    drawn_colours,
    show_all_as_before,
    show_as_before,
    show_as_outlines,
    show_outlines_only,
)
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation
from AutofocusSegmentationLib.scene.zoom_colours import (
    NODE_NAME,
    add_zoom_colours,
    colour_choices,
    colour_node,
    rate_colour,
)

from AutofocusCore.result import AttentionMap
from Testing.module.conftest import SHAPE, STRUCTURES, SceneMaker
from Testing.module.scene.attention_examples import GRID, RATES, layer, layers, reach, voxels


@pytest.fixture
def composite(scene: SceneMaker) -> Any:
    import slicer

    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetLayoutName("Red")
    return scene.mrml.AddNode(node)


def test_the_overlay_comes_and_what_was_there_before_returns(scene: SceneMaker, composite: Any) -> None:
    ct, pet = scene.volume(), scene.volume(name="PET")
    attention = add_attention(ct, layers())
    composite.SetBackgroundVolumeID(ct.GetID())
    composite.SetForegroundVolumeID(pet.GetID())
    composite.SetForegroundOpacity(0.3)
    composite.SetLinkedControl(False)
    for volume in (attention.zoom(0), attention.rates(0)[0]):
        show_overlay([composite], volume, opacity=0.6)
        assert composite.GetForegroundVolumeID() == volume.GetID()
        assert composite.GetForegroundOpacity() == 0.6
        assert composite.GetLinkedControl()
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() == pet.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    assert not composite.GetLinkedControl()
    composite.SetForegroundOpacity(0.9)
    hide_overlay([composite])
    assert composite.GetForegroundOpacity() == 0.9, "a second time there is nothing to put back"


def test_hiding_leaves_alone_what_the_user_has_chosen_meanwhile(scene: SceneMaker, composite: Any) -> None:
    ct, pet = scene.volume(), scene.volume(name="PET")
    attention = add_attention(ct, layers())
    show_overlay([composite], attention.zoom(0), opacity=0.6)
    composite.SetForegroundVolumeID(pet.GetID())
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() == pet.GetID()


def test_a_scan_that_a_view_lays_over_itself_when_the_map_is_removed_goes_too(
    scene: SceneMaker, composite: Any
) -> None:
    ct = scene.volume()
    attention = add_attention(ct, layers())
    composite.SetBackgroundVolumeID(ct.GetID())
    show_overlay([composite], attention.zoom(0), opacity=0.6)
    scene.mrml.RemoveNode(attention.zoom(0))
    composite.SetForegroundVolumeID(ct.GetID())  # as the selector of the application's slice views does
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() is None


def test_a_map_whose_voxels_have_not_been_loaded_yet_has_the_limits_of_its_range(scene: SceneMaker) -> None:
    zoom = add_attention(scene.volume(), layers()).zoom(0)
    zoom.SetAndObserveImageData(None)
    assert limits(zoom) == first_range(zoom)


def test_hiding_works_when_what_was_before_is_gone(scene: SceneMaker, composite: Any) -> None:
    ct, pet = scene.volume(), scene.volume(name="PET")
    attention = add_attention(ct, layers())
    composite.SetForegroundVolumeID(pet.GetID())
    show_overlay([composite], attention.zoom(0), opacity=0.6)
    scene.mrml.RemoveNode(pet)
    hide_overlay([composite])
    assert composite.GetForegroundVolumeID() is None


def test_the_range_follows_what_occurs_and_can_be_moved_and_reset(scene: SceneMaker) -> None:
    zoom = add_attention(scene.volume(), layers()).zoom(0)
    low, high = first_range(zoom)
    assert shown_range(zoom) == pytest.approx((low, high))
    assert limits(zoom) == pytest.approx((float(layer().dilation_mm.min()), 21.0))
    set_range(zoom, 5.0, 10.0)
    assert shown_range(zoom) == pytest.approx((5.0, 10.0))
    assert not zoom.GetDisplayNode().GetApplyThreshold(), "what is beyond has the colours of the ends"
    set_range(zoom, 5.0, 10.0, only=True)
    display = zoom.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (5.0, 10.0)
    set_range(zoom, *first_range(zoom))
    assert shown_range(zoom) == pytest.approx((low, high))


def test_air_is_never_shown_whatever_else_is(scene: SceneMaker) -> None:
    whole = layer()
    air = np.zeros(GRID, bool)
    air[:, :3] = True
    made = AttentionMap(whole.weights, RATES, whole.grid, ~air)
    attention = add_attention(scene.volume(), {0: made}, reach=reach(air=True))
    for node in (attention.reach, attention.zoom(0), *attention.rates(0)):
        low, high = first_range(node)
        assert low > 0, "air is left out of the range"
        for change in (None, (low, high, True), (low, high, False)):
            if change is not None:
                set_range(node, *change[:2], only=change[2])
            display = node.GetDisplayNode()
            assert display.GetApplyThreshold()
            shown = (voxels(node) >= display.GetLowerThreshold()) & (voxels(node) <= display.GetUpperThreshold())
            assert not shown[air].any()
            if change is None and node not in attention.rates(0):  # a weight may be 0 in the patient
                assert shown[~air].all()
    for k, rate in enumerate(attention.rates(0)):
        np.testing.assert_array_equal(voxels(rate), np.where(air, 0, whole.weights[k]))


def test_the_patient_has_no_rim_in_the_colour_of_near(scene: SceneMaker) -> None:
    whole = layer()
    air = np.zeros(GRID, bool)
    air[:, :3] = True
    attention = add_attention(
        scene.volume(), {0: AttentionMap(whole.weights, RATES, whole.grid, ~air)}, reach=reach(air=True)
    )
    for node in (attention.reach, attention.zoom(0)):
        values, (low, high) = voxels(node), first_range(node)
        assert not values[:, :2].any(), "away from the patient the air is 0"
        far = high - values[:, 2].max()  # from a voxel that looked far to its neighbour in the air
        near = low - node.GetDisplayNode().GetLowerThreshold()  # what of that is drawn as near
        assert near / far < 0.05, "of a voxel"


def lightness_of(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """CIELAB of a lookup table: lightness of its 256 colours, and the lengths of steps of 15 colours."""
    rgb = np.array([table.GetTableValue(index)[:3] for index in range(256)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.array(matrix).T / (0.9505, 1.0, 1.089)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
    return lab[:, 0], np.linalg.norm(np.diff(lab[::15], axis=0), axis=1)


def test_the_diverging_map_has_equal_steps_and_a_lightness_that_falls_and_rises(scene: SceneMaker) -> None:
    lightness, steps = lightness_of(add_zoom_colours(scene.mrml).GetLookupTable())
    np.testing.assert_allclose(np.delete(steps, 8), steps[0], rtol=0.08)  # the one in the middle turns back
    half = len(lightness) // 2
    assert (np.diff(lightness[:half:4]) < 0).all()
    assert (np.diff(lightness[half::4]) > 0).all()
    assert min(lightness[0], lightness[-1]) - lightness[half] > 45, "what is unusual shines on a grey scan"


def test_nothing_is_filled_under_the_overlay_as_its_colour_would_be_read_as_the_overlays(scene: SceneMaker) -> None:
    volume = scene.volume()
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    place = snapshot(volume).index_to_lps
    nodes = [add_segmentation(volume, labels, place, STRUCTURES, name=name) for name in ("Pelvis", "By hand")]
    owner, other = (node.GetDisplayNode() for node in nodes)
    colours = drawn_colours(nodes[1])
    show_outlines_only(nodes[0])
    assert not owner.GetVisibility2DFill()
    assert not other.GetVisibility2DFill()
    assert drawn_colours(nodes[1]) == colours
    other.SetVisibility2DFill(True)
    show_outlines_only(nodes[0])
    assert other.GetVisibility2DFill(), "what the user shows again stays so"
    show_all_as_before(scene.mrml)
    assert owner.GetVisibility2DFill()
    assert other.GetVisibility2DFill()


def test_segments_become_outlines_in_colours_that_the_overlay_does_not_have(scene: SceneMaker) -> None:
    volume = scene.volume()
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    node = add_segmentation(volume, labels, snapshot(volume).index_to_lps, STRUCTURES, name="Pelvis")
    display, before = node.GetDisplayNode(), drawn_colours(node)
    show_as_outlines(node)
    show_as_outlines(node)
    assert not display.GetVisibility2DFill()
    np.testing.assert_allclose(list(drawn_colours(node).values()), OUTLINES[:3])
    table = add_zoom_colours(scene.mrml).GetLookupTable()
    overlay = np.array([table.GetTableValue(index)[:3] for index in range(256)])
    for colour in OUTLINES:
        assert np.linalg.norm(overlay - colour, axis=1).min() > 0.3
        others = [other for other in OUTLINES if other is not colour]
        assert np.linalg.norm(np.array(others) - colour, axis=1).min() > 0.25, "each structure has a colour of its own"
    assert len(OUTLINES) >= 10
    show_as_before(node)
    assert display.GetVisibility2DFill()
    assert drawn_colours(node) == before
    show_as_before(node)


def test_colour_maps_can_be_chosen_and_ours_come_first(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers())
    zoom_names = [name for _, name in colour_choices(scene.mrml, "zoom")]
    rate_names = [name for _, name in colour_choices(scene.mrml, "rate")]
    assert zoom_names[0] == NODE_NAME
    assert attention.rates(0)[0].GetDisplayNode().GetColorNode().GetName() == rate_names[0]
    for name in rate_names:
        set_colours(attention.zoom(0), name)
        assert attention.zoom(0).GetDisplayNode().GetColorNode().GetName() == name
    assert rate_colour(0.0)[2] > 200 > rate_colour(0.0)[0]
    assert rate_colour(1.0)[0] > 200 > rate_colour(1.0)[2]


def test_weights_have_colours_whose_lightness_rises_evenly(scene: SceneMaker) -> None:
    lightness, _ = lightness_of(colour_node(scene.mrml, "Attention weight").GetLookupTable())
    np.testing.assert_allclose(lightness, np.linspace(5, 95, 256), atol=2.5)
    assert (np.diff(lightness[::4]) > 0).all()


def test_one_legend_tells_units_in_one_view_and_can_be_hidden(scene: SceneMaker) -> None:
    attention = add_attention(scene.volume(), layers(), reach=reach())
    assert show_legend(attention.reach, visible=False) is None
    legend = show_legend(attention.reach, view="vtkMRMLSliceNodeRed")
    assert legend.GetTitleText() == "Reach (mm)"
    assert (legend.GetNumberOfLabels(), legend.GetLabelFormat()) == (5, "%.0f")
    assert legend.GetVisibility()
    assert list(legend.GetViewNodeIDs()) == ["vtkMRMLSliceNodeRed"]
    set_range(attention.reach, 30.0, 31.0)
    assert show_legend(attention.reach, view="vtkMRMLSliceNodeGreen").GetLabelFormat() == "%.2f", "30.25 is not 30.2"
    assert list(legend.GetViewNodeIDs()) == ["vtkMRMLSliceNodeGreen"]
    assert show_legend(attention.reach, visible=False) is legend
    assert not legend.GetVisibility()
    assert show_legend(attention.zoom(0)).GetTitleText() == "Dilation (mm)"
    assert show_legend(attention.rates(0)[0]).GetTitleText() == "Weight (0-1)"
