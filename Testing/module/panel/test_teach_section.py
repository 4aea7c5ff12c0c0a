"""Teaching from the panel: corrected cases are collected, and a real worker makes a new model of them."""

from __future__ import annotations

import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from AutofocusCore.batch.collected import CollectedCase, collected_cases
from AutofocusCore.images import read_image
from AutofocusCore.jobs.saved_result import read_result
from Testing.core.small_lessons import BRIGHT, DIM, balls
from Testing.module.panel.conftest import TINY, Application
from Testing.module.panel.lessons import (
    ANTERIOR,
    MODEL,
    NEW,
    POSTERIOR,
    add,
    boxes,
    collect,
    corrected,
    start,
)
from Testing.waiting import alive, patience

pytestmark = pytest.mark.timeout(300)  # a worker loads torch's optimisers, on a busy computer


def test_a_corrected_case_is_written_as_it_is_with_what_was_ticked_alone(teach: Application, tmp_path: Path) -> None:
    import qt

    node = corrected(teach, 1)
    assert teach.ui.caseNameLineEdit.text == "Anna 1"
    assert [box.text() for box in boxes(teach)] == [ANTERIOR, POSTERIOR]
    boxes(teach)[1].setCheckState(qt.Qt.Unchecked)
    add(teach)
    (case,) = collected_cases(tmp_path / MODEL)
    assert (case.name, case.structures) == ("Anna 1", (ANTERIOR,))
    image, labels = balls(1)
    scan, found = read_image(case.images[0]).image, read_result(case.labels)
    assert np.array_equal(np.asarray(list(scan)), np.asarray(list(image)))
    assert np.array_equal(found.label_array, np.where(labels == BRIGHT, BRIGHT, 0))
    assert node.GetSegmentation().GetNumberOfSegments() == 2, "the scene stays as it was"
    row = [teach.ui.casesTable.item(0, column).text() for column in range(3)]
    assert row == ["Anna 1", case.added[:10], ANTERIOR]
    assert "unknown in this case" in teach.ui.teachStatusLabel.text


def test_the_case_lies_where_its_scan_lies_under_any_rigid_transform(teach: Application, tmp_path: Path) -> None:
    from AutofocusSegmentationLib.scene.placing import as_vtk

    node = corrected(teach, 1)
    (scan,) = teach.panel.inputs.nodes()
    turned = np.array([[0.0, -1, 0, 9], [1, 0, 0, 8], [0, 0, 1, 7], [0, 0, 0, 1]])
    transform = teach.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(as_vtk(turned))
    for moved in (scan, node):
        moved.SetAndObserveTransformNodeID(transform.GetID())
    add(teach)
    (case,) = collected_cases(tmp_path / MODEL)
    image, labels = balls(1)
    assert read_image(case.images[0]).image.GetOrigin() == image.GetOrigin()
    assert np.array_equal(read_result(case.labels).label_array, labels)


def test_a_segment_that_the_model_does_not_know_or_without_contour_cannot_be_ticked(teach: Application) -> None:
    import qt

    node = corrected(teach, 1, names=("Anterior  HIPPOCAMPUS", "Something else"))
    node.GetSegmentation().AddEmptySegment("empty", POSTERIOR)
    teach.wait(lambda: len(boxes(teach)) == 3)
    assert [box.checkState() == qt.Qt.Checked for box in boxes(teach)] == [True, False, False]
    assert [bool(box.flags() & qt.Qt.ItemIsEnabled) for box in boxes(teach)] == [True, False, False]
    assert "no structure of this name" in boxes(teach)[1].toolTip()
    assert "no contour" in boxes(teach)[2].toolTip()
    boxes(teach)[0].setCheckState(qt.Qt.Unchecked)
    assert not teach.ui.addCaseButton.enabled
    assert "No structure is ticked" in teach.ui.addCaseButton.toolTip


def test_what_was_not_looked_at_in_one_case_is_not_ticked_in_the_next(teach: Application) -> None:
    import qt

    corrected(teach, 1)
    boxes(teach)[1].setCheckState(qt.Qt.Unchecked)
    corrected(teach, 2)
    assert [box.checkState() == qt.Qt.Checked for box in boxes(teach)] == [True, False]


def test_a_case_of_the_same_name_is_replaced_only_if_the_user_says_so(teach: Application, tmp_path: Path) -> None:
    import qt

    corrected(teach, 1)
    add(teach)
    labels = Path(collected_cases(tmp_path / MODEL)[0].labels)
    before = labels.read_bytes()
    boxes(teach)[0].setCheckState(qt.Qt.Unchecked)
    teach.ui.addCaseButton.click()  # and No
    assert "Replace it?" in teach.host.dialogs.seen[-1].text
    assert teach.ui.addCaseButton.enabled
    assert labels.read_bytes() == before
    teach.host.dialogs.answers.append(qt.QMessageBox.Yes)
    teach.ui.addCaseButton.click()
    teach.wait(lambda: teach.ui.casesTable.item(0, 2).text() == POSTERIOR)
    assert [case.structures for case in collected_cases(tmp_path / MODEL)] == [(POSTERIOR,)]


def test_a_case_of_another_scan_is_not_replaced_and_another_name_is_proposed(
    teach: Application, tmp_path: Path
) -> None:
    for seed in (1, 2):
        corrected(teach, seed)
        teach.ui.caseNameLineEdit.text = "CT"
        teach.panel.teaching.update()
        if seed == 1:
            add(teach)
    seen = len(teach.host.dialogs.seen)
    teach.ui.addCaseButton.click()
    assert len(teach.host.dialogs.seen) == seen, "no hasty Yes"
    assert "The case CT is of another scan, so nothing was added" in teach.ui.teachStatusLabel.text
    assert teach.ui.caseNameLineEdit.text == "CT 2"
    add(teach)
    images = [read_image(case.images[0]).image for case in collected_cases(tmp_path / MODEL)]
    for image, seed in zip(images, (1, 2), strict=True):
        assert np.array_equal(np.asarray(list(image)), np.asarray(list(balls(seed)[0])))


def test_a_look_into_the_folder_that_ends_late_hides_no_newer_case(
    teach: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from AutofocusSegmentationLib.panel import case_collection

    first, later = threading.Event(), threading.Event()

    def listed(folder: Path) -> list[CollectedCase]:
        cases = collected_cases(folder)
        if not first.is_set():
            first.set()
            later.wait(patience())
        return cases

    teach.wait(lambda: not teach.panel.main_thread.busy)
    monkeypatch.setattr(case_collection, "collected_cases", listed)
    corrected(teach, 1)
    teach.panel.teaching.collection.refresh()
    teach.wait(first.is_set)
    add(teach)
    later.set()
    teach.wait(lambda: not teach.panel.main_thread.busy)
    assert teach.ui.casesTable.rowCount == 1


def test_a_case_is_removed_if_the_user_says_so(teach: Application, tmp_path: Path) -> None:
    import qt

    corrected(teach, 1)
    add(teach)
    assert not teach.ui.removeCaseButton.enabled
    teach.ui.casesTable.selectRow(0)
    teach.ui.removeCaseButton.click()  # and No
    assert collected_cases(tmp_path / MODEL)
    teach.host.dialogs.answers.append(qt.QMessageBox.Yes)
    teach.ui.removeCaseButton.click()
    teach.wait(lambda: teach.ui.casesTable.rowCount == 0)
    assert list((tmp_path / MODEL).iterdir()) == []
    assert "Add a corrected case first" in teach.ui.teachButton.toolTip


def test_cases_are_collected_where_the_user_wants_them(teach: Application, tmp_path: Path) -> None:
    teach.host.dialogs.answers.append(str(tmp_path / "elsewhere"))
    teach.ui.caseFolderButton.click()
    corrected(teach, 1)
    add(teach)
    assert [case.name for case in collected_cases(tmp_path / "elsewhere" / MODEL)] == ["Anna 1"]


def test_the_name_of_a_case_follows_the_scan_and_knows_the_patient(teach: Application) -> None:
    corrected(teach, 1)
    teach.ui.caseNameLineEdit.text = "Somebody"
    hierarchy = teach.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(teach.slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Doe^Anna")
    corrected(teach, 2)
    assert teach.ui.caseNameLineEdit.text == "Anna 2"
    (scan,) = teach.panel.inputs.nodes()
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(scan), patient)
    teach.panel.teaching.update()
    assert teach.ui.caseNameLineEdit.text == "Doe_Anna Anna 2"


def test_a_name_that_was_typed_goes_with_its_scan_also_if_the_next_one_is_called_the_same(teach: Application) -> None:
    first, second = (corrected(teach, seed) for seed in (1, 2))
    scans = [one.GetNodeReference(one.GetReferenceImageGeometryReferenceRole()) for one in (first, second)]
    for scan in scans:
        scan.SetName("CT")
    teach.panel.teaching.update()
    teach.ui.caseNameLineEdit.text = "Bert"
    teach.panel.teaching.update()
    assert teach.ui.caseNameLineEdit.text == "Bert"
    teach.slicer.util.setSliceViewerLayers(background=scans[0], fit=True)
    teach.wait(lambda: teach.panel.inputs.nodes() == [scans[0]])
    teach.panel.teaching.update()
    assert teach.ui.caseNameLineEdit.text == "CT"


def test_what_is_removed_from_the_scene_is_no_case(teach: Application) -> None:
    node = corrected(teach, 1)
    teach.slicer.mrmlScene.RemoveNode(node)
    teach.wait(lambda: not boxes(teach))
    assert "Segment the scan first" in teach.ui.addCaseButton.toolTip
    (scan,) = teach.panel.inputs.nodes()
    teach.slicer.mrmlScene.RemoveNode(scan)
    teach.wait(lambda: teach.ui.caseNameLineEdit.text == "")
    assert not teach.ui.addCaseButton.enabled


def test_contours_of_another_scan_are_no_case_of_this_one(teach: Application) -> None:
    first = corrected(teach, 1)
    corrected(teach, 2)
    teach.ui.segmentationSelector.setCurrentNode(first)
    teach.wait(lambda: not teach.ui.addCaseButton.enabled)
    assert "Contours 1 are not of Anna 2" in teach.ui.addCaseButton.toolTip


def test_a_model_of_the_box_domain_says_that_it_cannot_be_taught(teach: Application) -> None:
    corrected(teach, 1)
    teach.panel.models.choose(TINY)
    assert "cannot be taught" in teach.ui.teachHintLabel.text
    for button in (teach.ui.addCaseButton, teach.ui.teachButton):
        assert not button.enabled
        assert "box domain" in button.toolTip


@pytest.mark.usefixtures("forked_workers")
def test_a_new_model_is_taught_measured_listed_and_chosen(teach: Application) -> None:
    collect(teach, 1, 2, 3, 4)
    assert "quarter of the 4 cases" in teach.ui.teachHintLabel.text
    assert teach.ui.teachNameLineEdit.text == NEW
    lesson, heard = teach.panel.teaching.lesson, []
    hear = lesson._progressed

    def progressed(message: dict[str, Any]) -> None:
        hear(message)
        heard.append((message["stage"], teach.ui.teachProgressBar.value, teach.ui.teachStatusLabel.text))

    lesson._progressed = progressed
    start(teach, steps=25)
    del lesson._progressed
    assert not teach.ui.teachButton.enabled
    assert not teach.ui.segmentButton.enabled
    assert "being taught" in teach.ui.segmentButton.toolTip
    teach.wait(lambda: not teach.panel.teaching.running)
    assert list(dict.fromkeys(stage for stage, _, _ in heard)) == ["read", "before", "keep", "teach", "after"]
    assert [value for _, value, _ in heard] == sorted(value for _, value, _ in heard)
    assert any(re.fullmatch(r"Learning, \d+ (s|min) left", text) for _, _, text in heard)
    assert "chosen" in teach.ui.teachStatusLabel.text, teach.ui.teachStatusLabel.text
    teach.wait(lambda: (teach.panel.models.chosen or {}).get("name") == NEW)
    table = teach.ui.taughtTable
    rows = [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]
    assert [row[:2] for row in rows] == [[ANTERIOR, "3"], [POSTERIOR, "-"]]
    assert float(rows[0][3]) > float(rows[0][2]), "that contour was grown"
    assert rows[1][2:4] == ["-", "-"], "it was not looked at"
    assert float(rows[1][4]) > 0.7, "and it stays"
    assert re.search(r"not learned from: Anna \d\. It also chose", teach.ui.taughtLabel.text)
    assert "Same as old: Dice between the contours of both models" in teach.ui.taughtLabel.text
    assert table.horizontalHeaderItem(4).text() == "Same as old"
    assert teach.ui.teachNameLineEdit.text == f"{NEW}-2"
    corrected(teach, 5)
    teach.wait(lambda: teach.ui.segmentButton.enabled)


@pytest.mark.usefixtures("forked_workers")
def test_what_is_not_better_is_not_written_and_the_panel_says_so(teach: Application) -> None:
    collect(teach, 1, 2)
    assert "With 4 cases or more" in teach.ui.teachHintLabel.text
    start(teach, minutes=1e-9, check=["Anna 1"])
    teach.wait(lambda: not teach.panel.teaching.running)
    assert "not better" in teach.ui.teachStatusLabel.text
    assert "nothing was written" in teach.ui.teachStatusLabel.text
    assert teach.ui.taughtTable.rowCount == 2
    assert not (Path(os.environ["AUTOFOCUS_MODELS"]) / NEW).exists()
    assert teach.panel.models.chosen["name"] == MODEL


def test_a_lesson_is_cancelled_at_once_leaves_nothing_and_keeps_the_other_worker(teach: Application) -> None:
    collect(teach, 1, 2)
    teach.wait(lambda: teach.panel.session.pid is not None)
    other = psutil.Process(teach.panel.session.pid)
    start(teach, minutes=30)
    teach.wait(lambda: "Learning" in teach.ui.teachStatusLabel.text)
    mine = [psutil.Process(teach.panel.teaching.lesson._session.pid)]
    teach.ui.teachCancelButton.click()
    teach.wait(lambda: not teach.panel.teaching.running)
    assert "no model was written" in teach.ui.teachStatusLabel.text
    teach.wait(lambda: not alive(mine))
    assert alive([other])
    assert teach.ui.teachButton.enabled
    assert not (Path(os.environ["AUTOFOCUS_MODELS"]) / NEW).exists()


def test_a_segmentation_and_a_lesson_do_not_run_at_once(teach: Application) -> None:
    collect(teach, 1)
    teach.wait(lambda: teach.ui.segmentButton.enabled)
    teach.ui.segmentButton.click()
    assert not teach.ui.teachButton.enabled
    assert "segmentation is running" in teach.ui.teachButton.toolTip
    teach.wait(lambda: teach.ended)
    assert teach.ui.teachButton.enabled


@pytest.mark.usefixtures("forked_workers")
def test_a_name_that_is_taken_is_replaced_only_if_the_user_says_so(teach: Application) -> None:
    import qt

    collect(teach, 1)
    teach.ui.teachNameLineEdit.text = MODEL
    start(teach, steps=1)
    teach.wait(lambda: not teach.panel.teaching.running)  # and No
    assert "in its place" in teach.host.dialogs.seen[-1].text
    assert "another name" in teach.ui.teachStatusLabel.text
    shutil.copytree(Path(os.environ["AUTOFOCUS_MODELS"]) / MODEL, Path(os.environ["AUTOFOCUS_MODELS"]) / NEW)
    teach.ui.teachNameLineEdit.text = NEW
    teach.host.dialogs.answers.append(qt.QMessageBox.Yes)
    start(teach, steps=1)
    teach.wait(lambda: "chosen" in teach.ui.teachStatusLabel.text)
    assert "too good" in teach.ui.taughtLabel.text, "one case, so none was held out"


def test_a_name_that_no_model_may_have_is_refused_before_the_click(teach: Application) -> None:
    collect(teach, 1)
    teach.ui.teachNameLineEdit.text = "../Our Balls"
    teach.panel.teaching.update()
    assert not teach.ui.teachButton.enabled
    assert "cannot be named ../Our Balls; use up to 64 lower-case letters" in teach.ui.teachButton.toolTip
    assert "would name" not in teach.ui.teachButton.toolTip
    teach.ui.teachNameLineEdit.text = ""
    teach.panel.teaching.update()
    assert teach.ui.teachButton.toolTip == "Give the new model a name."


def test_cases_whose_files_have_gone_are_told_and_leave_the_list(teach: Application, tmp_path: Path) -> None:
    collect(teach, 1, 2)
    shutil.rmtree(tmp_path / MODEL)
    start(teach, steps=1)
    teach.wait(lambda: not teach.panel.teaching.running)
    assert "Anna 1: There is no file or folder" in teach.ui.teachStatusLabel.text
    assert ".;" not in teach.ui.teachStatusLabel.text
    teach.wait(lambda: teach.ui.casesTable.rowCount == 0)


def test_a_case_that_is_being_written_is_whole_although_scene_and_model_change(
    teach: Application, tmp_path: Path
) -> None:
    corrected(teach, 1)
    teach.ui.addCaseButton.click()
    teach.slicer.mrmlScene.Clear(0)
    teach.panel.models.choose(TINY)
    teach.wait(lambda: not teach.panel.teaching.collection.adding)
    (case,) = collected_cases(tmp_path / MODEL)
    image, labels = balls(1)
    assert np.array_equal(np.asarray(list(read_image(case.images[0]).image)), np.asarray(list(image)))
    assert np.array_equal(read_result(case.labels).label_array, labels)


def test_closing_the_application_during_a_lesson_asks_and_the_scene_may_be_closed(teach: Application) -> None:
    import qt

    collect(teach, 1)
    start(teach, minutes=30)
    teach.slicer.mrmlScene.Clear(0)
    assert teach.panel.teaching.running, "the cases are files"
    window = teach.slicer.util.mainWindow()
    window.show()
    assert not window.close(), "and No"
    assert "being taught" in teach.host.dialogs.seen[-1].text
    teach.host.dialogs.answers.append(qt.QMessageBox.Yes)
    assert window.close()
    teach.wait(lambda: not teach.panel.teaching.running)
    window.hide()


def test_the_label_of_an_overlapping_segment_that_is_not_ticked_takes_nothing_away(
    teach: Application, tmp_path: Path
) -> None:
    import qt

    node = corrected(teach, 1)
    segmentation = node.GetSegmentation()
    first = segmentation.GetSegment(segmentation.GetNthSegmentID(0))
    over = teach.slicer.vtkSegment()
    over.DeepCopy(first)
    over.SetName(POSTERIOR)
    segmentation.RemoveSegment(segmentation.GetNthSegmentID(1))
    segmentation.AddSegment(over)
    teach.wait(lambda: len(boxes(teach)) == 2 and boxes(teach)[1].text() == POSTERIOR)
    boxes(teach)[1].setCheckState(qt.Qt.Unchecked)
    add(teach)
    (case,) = collected_cases(tmp_path / MODEL)
    assert (read_result(case.labels).label_array > 0).sum() == (balls(1)[1] == BRIGHT).sum()
    assert DIM not in read_result(case.labels).label_array
