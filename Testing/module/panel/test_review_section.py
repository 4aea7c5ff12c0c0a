"""Report, comparison, DICOM objects, uncertainty and points of a real run, by a real worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.core.images.conftest import write_series
from Testing.module.panel.conftest import Application

__all__ = ["write_series"]


@pytest.fixture
def segmented(app: Application) -> Application:
    app.ready()
    app.segment()
    assert app.state == "finished", app.ui.statusLabel.text
    return app


def first_label(node: Any) -> Any:
    key = node.GetSegmentation().GetNthSegmentID(0)
    return node.GetSegmentation().GetSegment(key)


def test_the_uncertainty_lies_over_the_scan_on_demand_and_is_bound_to_its_result(segmented: Application) -> None:
    from AutofocusSegmentationLib.scene import attention_display as display
    from AutofocusSegmentationLib.scene.attention_nodes import ATTENTION, OWNER_ROLE, UNCERTAINTY
    from vtkmodules.util.numpy_support import vtk_to_numpy

    app = segmented
    kinds = [node.GetAttribute(ATTENTION) for node in app.slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    assert UNCERTAINTY not in kinds, "it is made when it is asked for"
    app.ui.uncertaintyButton.click()
    shown = app.foregrounds()
    assert len(shown) == 1
    node = shown.pop()
    assert node.GetAttribute(ATTENTION) == UNCERTAINTY
    assert node.GetNodeReference(OWNER_ROLE) is app.result
    assert node.GetVoxelValueUnits().GetCodeValue() == "bit"
    legend = app.slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    assert legend.GetVisibility()
    assert legend.GetTitleText() == display.TITLES[UNCERTAINTY] == "Uncertainty (bits)"
    values = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    assert 0 <= values.min() < values.max() <= np.log2(4) + 1e-3
    assert app.ui.attentionRangeWidget.suffix == " bits"
    assert not app.ui.attentionButton.checked, "it is no attention"
    app.ui.attentionButton.click()
    assert app.foregrounds().pop().GetAttribute(ATTENTION) == "reach"
    assert not app.ui.uncertaintyButton.checked
    app.ui.uncertaintyButton.click()
    app.ui.uncertaintyButton.click()
    assert app.foregrounds() == {None}


def test_a_shown_uncertainty_is_saved_with_the_scene(segmented: Application, tmp_path: Path) -> None:
    app = segmented
    app.ui.uncertaintyButton.click()
    app.save_and_load(tmp_path)
    assert app.ui.uncertaintyButton.enabled
    assert app.panel.attention.has_uncertainty
    assert app.panel.attention.volume.GetName().startswith("Uncertainty in bits")


def test_without_attention_there_is_still_the_uncertainty(app: Application) -> None:
    app.ready()
    app.ui.keepAttentionCheckBox.setChecked(False)
    app.segment()
    assert not app.ui.attentionButton.enabled
    app.ui.uncertaintyButton.click()
    assert app.foregrounds().pop().GetName().startswith("Uncertainty in bits")


def test_the_report_button_writes_a_report_and_opens_it(segmented: Application, tmp_path: Path) -> None:
    app = segmented
    app.host.dialogs.answers.append(str(tmp_path / "report"))
    app.ui.reportButton.click()
    assert not app.ui.reportButton.enabled, "one at a time"
    app.wait(lambda: app.ui.reportButton.enabled)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Tiny CT" in text
    assert "Bladder" in text
    assert "data:image/png;base64" in text
    assert [Path(url).name for url in app.host.dialogs.opened_urls][-1:] == ["report.html"]
    app.wait(lambda: not list(Path(app.panel.session.folder).glob("errand-*")))  # the copies go in the background


def test_the_report_of_a_corrected_result_says_so_and_knows_the_users_own_segment(
    segmented: Application, tmp_path: Path
) -> None:
    app = segmented
    first_label(app.result).SetName("Prostate, corrected")
    app.panel.review.report(str(tmp_path / "r.html"))
    app.wait(lambda: app.ui.reportButton.enabled)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Prostate, corrected" in text
    assert "were changed after they had been segmented" in text


def test_ticked_places_are_in_the_report(segmented: Application, tmp_path: Path) -> None:
    from AutofocusSegmentationLib.scene.review_record import places_of, set_done

    app = segmented
    assert places_of(app.result), "random weights waver everywhere"
    set_done(app.result, 0, True)
    app.panel.review.report(str(tmp_path / "r.html"))
    app.wait(lambda: app.ui.reportButton.enabled)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<th>Checked</th>" in text
    assert text.count("<td>yes</td>") == 1


def test_two_results_of_one_patient_are_compared(segmented: Application) -> None:
    app = segmented
    first = app.result
    app.ui.outputSelector.setCurrentNode(None)
    app.segment()
    assert app.result is not first
    assert not app.ui.compareButton.enabled
    app.ui.compareSelector.setCurrentNode(first)
    app.ui.compareButton.click()
    app.wait(lambda: app.ui.comparisonTable.rowCount == 3)
    row = [app.ui.comparisonTable.item(0, column).text() for column in range(5)]
    assert row[0] == first_label(first).GetName()
    assert row[1] == row[2]
    assert row[3:] == ["1.00", "0.0"]
    assert "+0.00 mL" in app.ui.comparisonTable.item(0, 0).toolTip()
    assert not app.ui.comparisonWarningLabel.visible
    app.ui.compareSelector.setCurrentNode(None)
    assert app.ui.comparisonTable.rowCount == 0


def test_a_registered_second_scan_is_compared_where_it_lies(segmented: Application) -> None:
    """The second patient position is moved by 24 mm, and a transform moves it back: nothing has changed."""
    from AutofocusSegmentationLib.scene.handover import hand_over
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    app = segmented
    first = app.result
    moved = app.scan("B")
    matrix = vtkMatrix4x4()
    moved.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 3, matrix.GetElement(0, 3) + 24.0)
    moved.SetIJKToRASMatrix(matrix)
    back = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Back")
    shift = vtkMatrix4x4()
    shift.SetElement(0, 3, -24.0)
    back.SetMatrixTransformToParent(shift)
    moved.SetAndObserveTransformNodeID(back.GetID())
    app.pause()
    app.segment()
    assert app.result is not first, app.ui.statusLabel.text
    own, seen = hand_over(first), hand_over(app.result, beside=first)
    assert np.allclose(own.labels.index_to_lps, seen.labels.index_to_lps, atol=1e-6)
    app.ui.compareSelector.setCurrentNode(first)
    app.ui.compareButton.click()
    app.wait(lambda: app.ui.comparisonTable.rowCount == 3)
    assert app.ui.comparisonTable.item(0, 3).text() == "1.00"


def test_results_without_a_common_structure_are_refused_in_words(segmented: Application) -> None:
    from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

    app = segmented
    other = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    app.ui.compareSelector.setCurrentNode(other)
    app.ui.compareButton.click()
    assert "Other is empty" in app.ui.statusLabel.text
    labels = np.ones((20, 28, 36), np.uint8)
    from AutofocusSegmentationLib.scene.geometry import snapshot
    from AutofocusSegmentationLib.scene.result_identity import scan_of

    scan = scan_of(app.result)
    kind = {"label": 1, "name": "Liver", "color": [1, 2, 3]}
    app.ui.compareSelector.setCurrentNode(
        add_segmentation(scan, labels, snapshot(scan).index_to_lps, [kind], name="Liver")
    )
    app.ui.compareButton.click()
    app.wait(lambda: "have no structure in common" in app.ui.statusLabel.text)


def test_places_become_points_that_follow_what_is_done(segmented: Application, tmp_path: Path) -> None:
    from AutofocusSegmentationLib.scene.review_points import POINTS_ROLE
    from AutofocusSegmentationLib.scene.review_record import places_of, to_ras

    app = segmented
    app.ui.pointsButton.click()
    node = app.result.GetNodeReference(POINTS_ROLE)
    places = places_of(app.result)
    assert node.GetNumberOfControlPoints() == len(places) > 0
    position = [0.0, 0.0, 0.0]
    node.GetNthControlPointPosition(0, position)
    assert np.allclose(position, to_ras(places[0]["position_mm"]))
    assert node.GetNthControlPointLabel(0) == f"1 {places[0]['structure']}"
    app.ui.nextPlaceButton.click()
    app.ui.donePlaceButton.click()
    assert not node.GetNthControlPointSelected(0)
    app.ui.pointsButton.click()
    assert app.result.GetNodeReference(POINTS_ROLE) is node
    assert len(app.slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")) == 1
    app.save_and_load(tmp_path)
    [node] = app.slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert node.GetNumberOfControlPoints() == len(places)
    assert not node.GetNthControlPointSelected(0)


def test_a_place_under_a_transform_is_shown_where_the_patient_lies(segmented: Application) -> None:
    from AutofocusSegmentationLib.scene.result_identity import scan_of
    from AutofocusSegmentationLib.scene.review_record import places_of, to_ras
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    app = segmented
    shift = vtkMatrix4x4()
    shift.SetElement(2, 3, 36.0)
    transform = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    transform.SetMatrixTransformToParent(shift)
    for node in (scan_of(app.result), app.result):
        node.SetAndObserveTransformNodeID(transform.GetID())
    app.ui.nextPlaceButton.click()
    view = app.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    view = view or app.slicer.util.getNodesByClass("vtkMRMLSliceNode")[0]
    seen = [view.GetSliceToRAS().GetElement(i, 3) for i in range(3)]
    assert np.allclose(seen, np.add(to_ras(places_of(app.result)[0]["position_mm"]), (0, 0, 36)), atol=0.1)


def test_a_scan_that_is_no_dicom_cannot_become_an_rtstruct(segmented: Application, tmp_path: Path) -> None:
    app = segmented
    app.panel.result.dicom.export(app.result, "rtstruct", str(tmp_path / "x.dcm"))
    assert "A was not loaded from DICOM" in app.ui.statusLabel.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_a_result_on_dicom_becomes_an_object_that_refers_to_its_slices(
    app: Application, kind: str, write_series: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pydicom
    import SimpleITK as sitk
    from AutofocusSegmentationLib.scene.image_node import add_image

    from AutofocusCore.images import read_image
    from AutofocusCore.phantom import make_phantom

    pytest.importorskip("contourpy")
    pytest.importorskip("highdicom")
    image, _ = make_phantom(1000, size=(36, 28, 20), spacing=(12.0, 12.0, 12.0))
    positions = [image.TransformIndexToPhysicalPoint((0, 0, k)) for k in range(20)]
    folder = write_series(positions, sitk.GetArrayFromImage(image), spacing=(12.0, 12.0), FrameOfReferenceUID="1.2.3.4")
    app.ready()
    node = add_image(app.slicer.mrmlScene, "Planning CT", read_image(folder).image)
    uids = {str(pydicom.dcmread(file).SOPInstanceUID): str(file) for file in folder.iterdir()}
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))

    class Database:
        def fileForInstance(self, uid: str) -> str:  # noqa: N802
            return uids.get(uid, "")

    monkeypatch.setattr(app.slicer, "dicomDatabase", Database(), raising=False)
    app.slicer.util.setSliceViewerLayers(background=node, fit=True)
    app.pause()
    app.segment()
    assert app.state == "finished", app.ui.statusLabel.text
    first_label(app.result).SetName("Prostate, mine")
    app.host.dialogs.answers.append(str(tmp_path / "out"))
    title = {"rtstruct": "RTSTRUCT", "seg": "DICOM SEG"}[kind]
    action = next(one for one in app.panel.result._menu.actions() if one.text.startswith(title))
    action.trigger()
    app.wait(lambda: "Written: " in app.ui.statusLabel.text)
    written = pydicom.dcmread(tmp_path / "out.dcm")
    assert written.Modality == {"rtstruct": "RTSTRUCT", "seg": "SEG"}[kind]
    text = str(written)
    assert "Prostate, mine" in text
    assert "1.2.3.4" in text
    assert set(uids) & set(re.findall(r"[0-9.]{20,}", text)) == set(uids)


def test_lost_dicom_files_are_told(segmented: Application) -> None:
    from AutofocusSegmentationLib.scene.result_identity import scan_of

    app = segmented
    scan_of(app.result).SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    app.panel.result.dicom.export(app.result, "seg")
    assert "2 of the 2 DICOM files of A are no longer where" in app.ui.statusLabel.text
