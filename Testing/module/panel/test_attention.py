"""The overlay stays on its scan, its maps are made on demand, bars and circle follow the cursor and leave with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_nodes import is_attention
from AutofocusSegmentationLib.scene.slice_views import slice_nodes

from Testing.module.panel.conftest import Application


def maps(app: Application) -> list[str]:
    scene = app.slicer.mrmlScene
    nodes = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return [node.GetName() for node in found if is_attention(node)]


def legends(app: Application) -> list[Any]:
    nodes = app.slicer.mrmlScene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return [node for node in found if node.GetVisibility()]


def shown(app: Application) -> None:
    app.segment()
    assert app.state == "finished", app.ui.statusLabel.text
    app.ui.attentionButton.click()
    app.pause()


def move_to(app: Application, point: tuple[float, float, float] | None) -> None:
    """Move the mouse over a point in the views, or out of them."""
    crosshair = app.slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if point is None:
        crosshair.SetCursorPositionInvalid()
    else:
        crosshair.SetCursorPositionRAS(point)


def middle(app: Application) -> tuple[float, float, float]:
    bounds = [0.0] * 6
    app.panel.attention._set.reference.GetRASBounds(bounds)
    x, y, z = ((bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3))
    return x, y, z


def test_one_click_shows_the_reach_first_over_its_scan_with_one_legend(app: Application) -> None:
    app.ready()
    app.segment()
    assert maps(app) == ["Reach in mm: A - Tiny CT"], "nothing else until it is asked for"
    assert not app.ui.attentionCheckBox.checked
    app.ui.attentionButton.click()
    app.pause()
    assert not app.ui.attentionCollapsibleButton.collapsed
    assert app.ui.attentionMapSelector.itemText(0).startswith("Reach")
    front = app.panel.attention.volume
    assert app.foregrounds() == {front}
    assert front.GetName() == "Reach in mm: A - Tiny CT"
    (legend,) = legends(app)
    assert legend.GetTitleText() == "Reach (mm)"
    assert len(legend.GetViewNodeIDs()) == 1, "in one view"
    assert not app.result.GetDisplayNode().GetVisibility2DFill(), "segments are outlines"
    app.ui.attentionButton.click()
    assert app.foregrounds() == {None}
    assert legends(app) == []
    assert app.result.GetDisplayNode().GetVisibility2DFill()


def test_the_legend_can_be_read_in_a_view_of_any_size(app: Application) -> None:
    app.ready()
    shown(app)
    (legend,) = legends(app)
    view = app.slicer.mrmlScene.GetNodeByID(legend.GetViewNodeIDs()[0])
    for width, height in ((200, 240), (1200, 900), (300, 250)):
        view.SetDimensions(width, height, 1)
        app.pause()
        share = legend.GetSize()
        assert (share[0] * width, share[1] * height) == pytest.approx((36, 170), abs=0.5), "pixels"


def test_the_overlay_goes_with_its_scan_and_returns_with_it(app: Application) -> None:
    a = app.ready()
    shown(app)
    front = app.panel.attention.volume
    move_to(app, middle(app))
    assert app.panel.attention.probe.circle is not None
    app.scan("B")
    assert app.foregrounds() == {None}, "nothing of A lies over B"
    assert legends(app) == []
    assert app.panel.attention.probe.circle is None
    assert app.result is None
    app.slicer.util.setSliceViewerLayers(background=a)
    app.pause()
    assert app.foregrounds() == {front}
    assert len(legends(app)) == 1
    move_to(app, middle(app))
    assert app.panel.attention.probe.circle is not None


def test_the_overlay_goes_with_its_scan_also_where_the_input_was_chosen(app: Application) -> None:
    a = app.ready()
    app.panel.inputs._selectors[0].setCurrentNode(None)
    app.panel.inputs._selectors[0].setCurrentNode(a)
    shown(app)
    front = app.panel.attention.volume
    app.scan("B")
    assert app.foregrounds() == {None}
    assert legends(app) == []
    assert app.ui.viewsNoticeLabel.text == "The views show B, the input is A."
    app.ui.showInputButton.click()
    app.pause()
    assert app.foregrounds() == {front}


def test_maps_are_made_on_demand_and_can_all_be_kept(app: Application) -> None:
    app.ready()
    shown(app)
    assert len(maps(app)) == 1
    app.panel.attention.widgets.choose("zoom")
    app.pause()
    assert len(maps(app)) == 2
    assert app.foregrounds() == {app.panel.attention.volume}
    assert app.panel.attention.volume.GetName() == "Dilation in mm, layer 2: A - Tiny CT"
    app.panel.attention.widgets.choose("1")
    app.pause()
    assert app.panel.attention.volume.GetName() == "Weight of rate 6 (72 mm), layer 2: A - Tiny CT"
    app.ui.keepMapsButton.click()
    assert len(maps(app)) == 1 + 2 * 5 + 1, "reach, five maps of each layer, uncertainty"


def test_the_range_is_what_occurs_and_can_be_moved_and_reset(app: Application) -> None:
    app.ready()
    shown(app)
    volume, widget = app.panel.attention.volume, app.ui.attentionRangeWidget
    low, high = widget.minimumValue, widget.maximumValue
    image = app.slicer.util.arrayFromVolume(volume)
    assert (low, high) == pytest.approx(tuple(np.percentile(image[image > 0], (2, 98))), abs=0.06)
    assert widget.suffix == " mm"
    widget.setValues(low + 1, high - 1)
    display = volume.GetDisplayNode()
    assert display.GetWindowLevelMin() == pytest.approx(low + 1, abs=0.06)
    app.ui.attentionOnlyCheckBox.setChecked(True)
    assert display.GetLowerThreshold() == pytest.approx(low + 1, abs=0.06)
    app.ui.resetRangeButton.click()
    assert display.GetWindowLevelMin() == pytest.approx(low, abs=0.06)
    assert widget.minimumValue == pytest.approx(low, abs=0.06)
    assert not app.ui.attentionOnlyCheckBox.checked


def test_bars_and_circle_follow_the_cursor_and_leave_with_it(app: Application) -> None:
    app.ready()
    shown(app)
    probe = app.panel.attention.probe
    assert probe.circle is None
    point = middle(app)
    move_to(app, point)
    found = probe.look_at(point)
    assert found.inside
    assert float(np.sum(found.weights)) == pytest.approx(1.0, abs=1e-3)
    assert not app.ui.chartLabel.pixmap.isNull()
    bounds = [0.0] * 6
    probe.circle.GetRASBounds(bounds)
    assert (bounds[1] - bounds[0]) / 2 == pytest.approx(found.distance_mm, rel=0.02), "of true size"
    move_to(app, None)
    assert probe.circle is None
    assert "Move the mouse" in app.ui.chartLabel.text
    move_to(app, point)
    app.ui.attentionButton.click()
    assert probe.circle is None, "without an overlay there is no circle"


def test_rates_side_by_side_keep_the_place_and_tell_their_size(app: Application) -> None:
    volume = app.ready()
    shown(app)
    manager = app.slicer.app.layoutManager()
    before, red = manager.layout, manager.sliceWidget("Red").mrmlSliceNode()
    red.JumpSliceByCentering(11.0, 12.0, 13.0)
    app.panel.attention.widgets.choose("all")
    app.pause()
    names = [node.GetLayoutName() for node in slice_nodes()]
    assert len(names) == 4
    labels = [manager.sliceWidget(name).mrmlSliceNode().GetLayoutLabel() for name in names]
    assert labels == ["rate 2 (24 mm)", "rate 6 (72 mm)", "rate 10 (120 mm)", "rate 14 (168 mm)"]
    for name in names:
        matrix = manager.sliceWidget(name).mrmlSliceNode().GetSliceToRAS()
        assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx([11.0, 12.0, 13.0])
        assert manager.sliceWidget(name).mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    assert len(app.foregrounds()) == 4
    assert len(legends(app)) == 1
    app.panel.attention.widgets.choose("reach")
    app.pause()
    assert manager.layout == before
    assert app.foregrounds() == {app.panel.attention.volume}


def test_rates_side_by_side_keep_the_place_where_new_views_come_to_rest_late(app: Application) -> None:
    from AutofocusSegmentationLib.panel.rate_views import RESTED

    app.ready()
    shown(app)
    manager = app.slicer.app.layoutManager()
    manager.sliceWidget("Red").mrmlSliceNode().JumpSliceByCentering(11.0, 12.0, 13.0)
    app.panel.attention.widgets.choose("all")
    rate_views = app.panel.attention.rate_views
    app.wait(lambda: rate_views._looks > 0)
    view = manager.sliceWidget(slice_nodes()[0].GetLayoutName()).mrmlSliceNode()
    view.SetSliceOffset(-200.0)  # as the slider of a new view does on a busy computer
    app.wait(lambda: view.GetSliceOffset() == pytest.approx(13.0))
    app.wait(lambda: rate_views._rested == RESTED)
    view.SetSliceOffset(20.0)
    app.pause(0.3)
    assert view.GetSliceOffset() == pytest.approx(20.0), "the user is free to go elsewhere"


def test_only_views_that_are_in_the_layout_count(app: Application) -> None:
    app.ready()
    shown(app)
    app.panel.attention.widgets.choose("all")
    app.pause()
    app.panel.attention.widgets.choose("reach")
    app.pause()
    assert [node.GetLayoutName() for node in slice_nodes()] == ["Red", "Green", "Yellow"]
    (legend,) = legends(app)
    assert app.slicer.mrmlScene.GetNodeByID(legend.GetViewNodeIDs()[0]).GetLayoutName() == "Red"


def test_played_layers_are_what_the_views_show(app: Application) -> None:
    app.ready()
    shown(app)
    app.ui.layerSequenceButton.click()
    app.pause()
    playing = app.panel.attention.volume
    assert app.foregrounds() == {playing}
    browser = app.slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    assert browser.GetProxyNode(browser.GetMasterSequenceNode()) is playing
    assert len(legends(app)) == 1


def test_each_result_of_a_scan_shows_its_own_maps(app: Application) -> None:
    app.ready()
    shown(app)
    first, front = app.result, app.panel.attention.volume
    app.ui.outputSelector.setCurrentNode(None)
    app.segment()
    assert app.panel.attention.volume is not front
    app.ui.segmentationSelector.setCurrentNode(first)
    app.pause()
    assert app.panel.attention.volume is front
    assert app.foregrounds() == {front}


def test_a_saved_scene_brings_back_choices_result_and_attention(app: Application, tmp_path: Path) -> None:
    from AutofocusSegmentationLib.scene.provenance_node import provenance_of

    app.ready()
    shown(app)
    app.save_and_load(tmp_path)
    app.wait(lambda: app.result is not None)
    assert app.panel.parameters.model_name == "tiny-ct"
    assert app.result.GetSegmentation().GetNumberOfSegments() == 3
    assert app.panel.attention.volume.GetName() == "Reach in mm: A - Tiny CT"
    assert provenance_of(app.result)["model"]["name"] == "tiny-ct"
    assert app.ui.outputSelector.currentNode() is app.result, "it may be updated"
