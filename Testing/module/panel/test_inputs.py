"""The input follows the views until the user chooses, and the panel says where the two differ."""

from __future__ import annotations

from Testing.module.panel.conftest import TINY, Application


def test_the_button_says_what_to_do_next_in_every_state(app: Application) -> None:
    app.wait(lambda: TINY in app.panel.models.names)
    app.panel.models.choose(TINY)
    assert not app.ui.segmentButton.enabled
    assert "Load a scan" in app.ui.statusLabel.text
    assert "Load a scan" in app.ui.segmentButton.toolTip
    app.scan()
    assert app.ui.segmentButton.enabled
    app.ui.outputSelector.setCurrentNode(None)
    assert "Click Segment" in app.ui.statusLabel.text
    app.wait(lambda: app.panel.planner.estimate is not None)
    assert "about" in app.ui.statusLabel.text
    assert "GiB" in app.ui.statusLabel.text, "how long and how much memory stand beside the button"
    app.panel.inputs._selectors[0].setCurrentNode(None)
    assert "Choose the volume for CT" in app.ui.statusLabel.text


def test_the_input_is_what_the_views_show(app: Application) -> None:
    a = app.ready()
    assert app.panel.inputs.nodes() == [a]
    b = app.scan("B")
    assert app.panel.inputs.nodes() == [b]
    app.slicer.util.setSliceViewerLayers(background=a)
    app.pause()
    assert app.panel.inputs.nodes() == [a]
    assert not app.ui.viewsNoticeWidget.visible


def test_a_chosen_input_stays_and_the_difference_is_said_plainly_with_one_click_to_change(app: Application) -> None:
    from AutofocusSegmentationLib.panel.shown_volume import shown_volume

    a = app.ready()
    b = app.scan("B")
    app.panel.inputs._selectors[0].setCurrentNode(a)  # as a user does
    assert app.panel.inputs.nodes() == [a]
    assert app.ui.viewsNoticeLabel.text == "The views show B, the input is A."
    assert not app.ui.viewsNoticeWidget.isHidden()
    c = app.scan("C")
    assert app.panel.inputs.nodes() == [a], "the user's choice"
    assert app.ui.viewsNoticeLabel.text == "The views show C, the input is A."
    app.ui.showInputButton.click()
    app.pause()
    assert shown_volume() is a
    assert app.ui.viewsNoticeWidget.isHidden()
    app.slicer.util.setSliceViewerLayers(background=c)
    app.pause()
    app.ui.useShownButton.click()
    assert app.panel.inputs.nodes() == [c]
    assert app.ui.viewsNoticeWidget.isHidden()
    app.slicer.util.setSliceViewerLayers(background=b)
    app.pause()
    assert app.panel.inputs.nodes() == [b], "from here on the input follows again"


def test_the_plan_follows_when_the_volume_or_the_region_is_moved(app: Application) -> None:
    volume = app.ready()
    app.wait(lambda: app.panel.planner.estimate is not None)
    first = app.panel.planner._planned_for
    volume.SetSpacing(6.0, 6.0, 6.0)
    app.wait(lambda: app.panel.planner._planned_for != first and app.panel.planner.estimate is not None)
    roi = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    centre = [0.0] * 6
    volume.GetRASBounds(centre)
    roi.SetXYZ(*[(centre[2 * axis] + centre[2 * axis + 1]) / 2 for axis in range(3)])
    roi.SetRadiusXYZ(30, 30, 30)
    app.ui.roiSelector.setCurrentNode(roi)
    second = app.panel.planner._planned_for
    app.wait(lambda: app.panel.planner._planned_for != second)
    third = app.panel.planner._planned_for
    roi.SetRadiusXYZ(50, 50, 50)
    app.wait(lambda: app.panel.planner._planned_for != third)


def test_a_region_smaller_than_a_voxel_is_refused_and_the_result_stays(app: Application) -> None:
    volume = app.ready()
    app.segment()
    result = app.result
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    roi = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Speck")
    roi.SetXYZ(*[(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 + 1 for axis in range(3)])
    roi.SetRadiusXYZ(0.5, 0.5, 0.5)
    app.ui.roiSelector.setCurrentNode(roi)
    app.wait(lambda: not app.ui.segmentButton.enabled)
    assert "Speck, 1 × 1 × 1 mm, is smaller than a voxel of A; make it larger" in app.ui.statusLabel.text
    roi.SetRadiusXYZ(30, 30, 30)
    app.wait(lambda: app.ui.segmentButton.enabled)
    assert "Click Segment" in app.ui.statusLabel.text
    roi.SetCenter(1000, 1000, 1000)
    app.wait(lambda: not app.ui.segmentButton.enabled)
    assert "does not touch A; move it there" in app.ui.statusLabel.text
    assert app.result is result
