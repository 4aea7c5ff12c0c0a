"""Where a result goes: nothing of another scan, of another model or of the user's own is lost."""

from __future__ import annotations

from typing import Any

from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml

from Testing.module.panel.conftest import TINY, TINY_MR, Application


def segmentations(app: Application) -> list[str]:
    nodes = app.slicer.mrmlScene.GetNodesByClass("vtkMRMLSegmentationNode")
    return sorted(nodes.GetItemAsObject(index).GetName() for index in range(nodes.GetNumberOfItems()))


def paint(app: Application) -> dict[str, float]:
    """Correct the result by hand: some voxels more of its first segment. Returns the volumes."""
    import vtk

    key = next(iter(app.result.GetSegmentation().GetSegmentIDs()))
    image = app.result.GetSegmentation().GetSegment(key).GetRepresentation("Binary labelmap")
    extent = image.GetExtent()
    value = app.result.GetSegmentation().GetSegment(key).GetLabelValue()
    for i in range(extent[0], extent[0] + 3):
        image.SetScalarComponentFromDouble(i, extent[2], extent[4], 0, value)
    image.Modified()
    app.result.GetSegmentation().InvokeEvent(vtk.vtkCommand.ModifiedEvent)
    return volumes_ml(app.result)


def test_a_new_segmentation_is_made_unless_something_else_is_chosen(app: Application) -> None:
    app.ready()
    assert app.ui.outputSelector.currentNode() is None
    assert app.ui.outputSelector.noneDisplay == "Create new segmentation"
    app.segment()
    assert app.state == "finished", app.ui.statusLabel.text
    assert segmentations(app) == ["A - Tiny CT"]
    assert app.ui.outputSelector.currentNode() is app.result, "the next click updates it"


def test_the_next_click_updates_the_result_or_adds_one_as_the_user_chose(app: Application) -> None:
    app.ready()
    app.segment()
    first = app.result
    app.segment()
    assert app.result is first
    app.ui.outputSelector.setCurrentNode(None)
    app.segment()
    assert app.result is not first
    assert len(set(segmentations(app))) == 2
    assert not app.host.dialogs.seen, "there was nothing to ask about"


def test_a_second_patients_result_does_not_touch_the_first_ones(app: Application) -> None:
    a = app.ready()
    app.segment()
    first, before = app.result, volumes_ml(app.result)
    b = app.scan("B", seed=7)
    app.pause()
    assert app.panel.inputs.nodes() == [b], "the views show it, and nobody has chosen anything"
    assert app.ui.outputSelector.currentNode() is None
    assert app.result is None, "there is no result of B yet"
    app.segment()
    assert segmentations(app) == ["A - Tiny CT", "B - Tiny CT"]
    assert volumes_ml(first) == before
    role = first.GetReferenceImageGeometryReferenceRole()
    assert first.GetNodeReference(role) is a
    assert app.result.GetNodeReference(role) is b
    app.slicer.util.setSliceViewerLayers(background=a)
    app.pause()
    assert app.panel.inputs.nodes() == [a]
    assert app.result is first, "it comes back with its scan"


def test_another_models_result_is_a_segmentation_of_its_own(app: Application) -> None:
    app.ready()
    app.segment()
    app.panel.models.choose(TINY_MR)
    assert app.ui.outputSelector.currentNode() is None
    app.segment()
    assert segmentations(app) == ["A - Tiny CT", "A - Tiny MR"]
    app.panel.models.choose(TINY)
    assert app.ui.outputSelector.currentNode() is None


def test_a_corrected_result_is_asked_about_and_survives_as_a_copy(app: Application) -> None:
    import qt

    app.ready()
    app.segment()
    corrected = paint(app)
    app.ui.segmentButton.click()  # and No
    assert "was changed after it had been segmented" in app.host.dialogs.seen[-1].text
    assert not app.panel.control.running
    assert "Nothing was started" in app.ui.statusLabel.text
    assert volumes_ml(app.result) == corrected
    app.host.dialogs.answers.append(qt.QMessageBox.Yes)
    app.segment()
    assert segmentations(app) == ["A - Tiny CT", "A - Tiny CT (kept)"]
    kept = app.slicer.mrmlScene.GetFirstNodeByName("A - Tiny CT (kept)")
    assert list(volumes_ml(kept).values()) == list(corrected.values())
    assert "A - Tiny CT (kept)" in app.ui.statusLabel.text


def test_a_correction_during_the_run_survives_too(app: Application) -> None:
    app.ready()
    app.segment()
    app.ui.segmentButton.click()
    corrected = paint(app)
    app.wait(lambda: app.ended)
    kept = app.slicer.mrmlScene.GetFirstNodeByName("A - Tiny CT (kept)")
    assert list(volumes_ml(kept).values()) == list(corrected.values())


def test_a_hand_made_segmentation_is_asked_about(app: Application) -> None:
    app.ready()
    mine = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    mine.GetSegmentation().AddEmptySegment("Tumour", "Tumour")
    app.ui.outputSelector.setCurrentNode(mine)
    assert app.ui.outputSelector.currentNode() is mine, "what the user has chosen stays chosen"
    app.ui.segmentButton.click()  # and No
    assert "Mine is no result of Tiny CT on A" in app.host.dialogs.seen[-1].text
    assert list(mine.GetSegmentation().GetSegmentIDs()) == ["Tumour"]


def test_every_frame_makes_one_segmentation_and_updates_it(app: Application) -> None:
    volume = app.ready()
    scene = app.slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Frames")
    for value in ("0", "1"):
        sequence.SetDataNodeAtValue(volume, value)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(volume, sequence, False)
    app.panel.inputs.refresh()
    assert not app.ui.everyFrameCheckBox.isHidden()
    app.ui.everyFrameCheckBox.setChecked(True)
    app.segment()
    assert app.state == "finished", app.ui.statusLabel.text
    frames = browser.GetSequenceNode(app.result)
    assert frames.GetNumberOfDataNodes() == 2
    assert frames.GetNthDataNode(1).GetSegmentation().GetNumberOfSegments() == 3
    assert isinstance(frames.GetNthDataNode(0), app.slicer.vtkMRMLSegmentationNode)
    names = segmentations(app)
    assert len(names) == len(set(names)) == 1
    app.segment()
    assert segmentations(app) == names
    assert browser.GetSequenceNode(app.result) is frames
    assert not app.host.dialogs.seen
    app.ui.outputSelector.setCurrentNode(None)
    app.segment()
    assert len(set(segmentations(app))) == 2, "and a new one has another name"


def test_surfaces_that_were_shown_are_shown_after_the_next_run(app: Application) -> None:
    app.ready()
    app.segment()
    app.ui.show3DButton.setChecked(True)
    assert app.result.GetSegmentation().ContainsRepresentation("Closed surface")
    app.segment()
    assert app.result.GetSegmentation().ContainsRepresentation("Closed surface")
    assert app.result.GetDisplayNode().GetVisibility3D()


def names_in_the_table(app: Application) -> dict[str, Any]:
    table = app.ui.segmentsTable
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def test_one_list_tells_of_visibility_colour_and_volume_and_keeps_up(app: Application) -> None:
    import qt

    app.ready()
    app.segment()
    app.pause()
    rows = names_in_the_table(app)
    assert list(rows) == ["Prostate", "Bladder", "Rectum"]
    volumes = list(volumes_ml(app.result).values())
    for text, volume in zip(rows.values(), volumes, strict=True):
        assert text == "not found" if volume == 0 else float(text) == abs(volume) or abs(float(text) - volume) < 0.06
    item = app.ui.segmentsTable.item(0, 0)
    key = app.result.GetSegmentation().GetNthSegmentID(0)
    item.setCheckState(qt.Qt.Unchecked)
    assert not app.result.GetDisplayNode().GetSegmentVisibility(key)
    app.result.GetDisplayNode().SetSegmentVisibility(key, True)
    app.pause()
    assert app.ui.segmentsTable.item(0, 0).checkState() == qt.Qt.Checked
    app.result.GetSegmentation().GetSegment(key).SetName("Gland")
    app.pause()
    assert next(iter(names_in_the_table(app))) == "Gland"


def test_contours_leave_with_their_scan_and_return_with_it(app: Application) -> None:
    a = app.ready()
    app.segment()
    result = app.result
    app.scan("B")
    assert not result.GetDisplayNode().GetVisibility(), "they would be read as contours of B"
    assert app.ui.segmentationSelector.currentNode() is None
    assert app.ui.outputSelector.currentNode() is None
    app.slicer.util.setSliceViewerLayers(background=a)
    app.pause()
    assert result.GetDisplayNode().GetVisibility()
    assert app.ui.segmentationSelector.currentNode() is result


def test_contours_that_the_user_shows_over_another_scan_stay(app: Application) -> None:
    app.ready()
    app.segment()
    result = app.result
    app.scan("B")
    result.GetDisplayNode().SetVisibility(True)
    app.scan("C")
    assert result.GetDisplayNode().GetVisibility()


def test_a_choice_made_while_slicer_fills_the_selectors_is_shown(app: Application) -> None:
    app.ready()
    app.segment()
    result, parameters = app.result, app.panel.parameters

    def choose(node: Any) -> None:
        if node is None:
            app.panel._show_result(None)

    app.panel._input = None  # as if the scan had just changed
    app.ui.outputSelector.connect("currentNodeChanged(vtkMRMLNode*)", choose)
    parameters.output = None
    app.ui.outputSelector.disconnect("currentNodeChanged(vtkMRMLNode*)", choose)
    assert parameters.segmentation is app.ui.segmentationSelector.currentNode()
    assert result.GetScene() is not None
