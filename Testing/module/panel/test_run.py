"""Runs: cancelled, killed, interrupted by the scene or by closing; nothing of a patient is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy

from Testing.module.panel.conftest import Application, computing, go_on, workers
from Testing.waiting import alive

own_folders: set[Path] = set()


def copies() -> list[Path]:
    """Copies of volumes in the folders through which this process has sent them to workers."""
    for owner in Path(tempfile.gettempdir()).glob("autofocus-*/.owner"):
        with contextlib.suppress(OSError):
            if owner.read_text(encoding="ascii") == str(os.getpid()):
                own_folders.add(owner.parent)
    return [path for folder in own_folders for path in folder.glob("run-*/*") if path.is_file()]


def test_the_event_loop_is_never_held_up_for_long_during_a_run(app: Application) -> None:
    app.ready()
    app.segment()
    # A call that holds the loop up does so in every run, a busy computer now and then.
    assert any(np.percentile(app.segment(), 99) < 100 for _ in range(3)), "99th percentile in milliseconds"


def test_after_a_run_the_views_show_what_was_found_and_the_text_says_what_to_do(app: Application) -> None:
    app.ready()
    app.segment()
    assert "Done in" in app.ui.statusLabel.text
    assert "Check every contour" in app.ui.statusLabel.text
    app.pause()
    centres = []
    for key in app.result.GetSegmentation().GetSegmentIDs():
        centre = [0.0, 0.0, 0.0]
        app.result.GetSegmentCenterRAS(key, centre)
        centres.append(centre)
    matrix = app.slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceToRAS()
    found = [key for key, volume in app.panel.result.table._volumes.items() if volume > 0]
    if len(found) == len(centres):
        away = np.linalg.norm(np.subtract(centres, np.mean(centres, axis=0)), axis=1)
        assert matrix.GetElement(2, 3) == pytest.approx(centres[int(away.argmin())][2], abs=0.5), "a contour is shown"
    app.panel.result.table.jump_to(1)
    assert matrix.GetElement(2, 3) == pytest.approx(centres[1][2], abs=0.5)


def test_copies_of_the_volumes_go_when_the_run_ends(app: Application) -> None:
    app.ready()
    computing(app)
    assert any(path.name.startswith("channel-1") for path in copies())
    go_on()
    app.wait(lambda: app.ended)
    assert app.state == "finished"
    app.wait(lambda: not copies())


def test_cancelling_returns_at_once_leaves_no_process_and_no_copy(app: Application) -> None:
    app.ready()
    computing(app)
    assert copies()
    its_processes = workers()
    app.ui.cancelButton.click()
    assert app.state == "cancelled"
    assert "Click Segment to start again" in app.ui.statusLabel.text
    go_on()
    app.wait(lambda: not alive(its_processes))  # another one plans anew
    app.wait(lambda: not copies())
    assert app.result is None
    assert app.ui.segmentButton.enabled
    app.segment()
    assert app.state == "finished", "the next click works"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="There is no SIGKILL on this system.")
def test_a_killed_worker_is_reported_with_a_remedy_and_the_next_click_works(app: Application) -> None:
    app.ready()
    computing(app)
    for process in workers():
        os.kill(process.pid, signal.SIGKILL)
    app.wait(lambda: app.ended)
    assert app.state == "failed"
    assert "memory" in app.ui.statusLabel.text
    app.wait(lambda: not copies())
    app.segment()
    assert app.state == "finished"


def test_a_worker_that_cannot_start_says_why_and_the_list_of_models_can_be_read_again(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from AutofocusSegmentationLib.worker import session

    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'numpy'\" >&2\nexit 1\n")
    broken.chmod(0o755)
    app.close_module()
    with monkeypatch.context() as patch:
        patch.setattr(session, "python_executable", lambda: str(broken))
        app.open_module()
        app.wait(lambda: "No models" in app.ui.modelButton.text)
    assert "No module named" in app.ui.statusLabel.text, "the reason, and not a guess"
    assert "memory" not in app.ui.statusLabel.text
    assert "No module named" in app.ui.logText.toPlainText()
    app.ui.modelButton.click()
    app.wait(lambda: bool(app.panel.models.names))


def test_an_idle_worker_gives_its_memory_back(app: Application) -> None:
    app.ready()
    app.wait(lambda: app.panel.planner.estimate is not None)
    assert workers()
    app.panel.session.idle_seconds = 0.1
    app.wait(lambda: not workers())
    app.panel.session.idle_seconds = 300.0
    assert "was idle" in app.ui.logText.toPlainText()


def test_closing_the_application_during_a_run_asks(app: Application) -> None:
    import qt

    window = app.slicer.util.mainWindow()
    app.ready()
    assert window.close(), "nothing is running: nobody is asked"
    assert not app.host.dialogs.seen
    window.show()
    computing(app)
    assert not window.close(), "and No"
    assert "A segmentation is running" in app.host.dialogs.seen[-1].text
    assert app.state == "computing"
    app.host.dialogs.answers.append(qt.QMessageBox.Yes)
    assert window.close()
    assert app.state == "cancelled"
    go_on()
    app.wait(lambda: not copies())
    window.hide()


def test_a_complaint_names_the_volume_as_the_user_does_and_adds_nothing(app: Application) -> None:
    volume = app.ready()
    volume.SetName("Mrs. Example's CT")
    volume.GetImageData().GetPointData().GetScalars().Fill(0)
    app.segment()
    assert app.state == "failed"
    assert "Mrs. Example&#x27;s CT is empty" in app.ui.statusLabel.text
    assert ".nrrd" not in app.ui.statusLabel.text
    assert app.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_deleting_the_input_while_it_is_segmented_cancels_the_run(app: Application) -> None:
    volume = app.ready()
    computing(app)
    its_processes = workers()
    app.slicer.mrmlScene.RemoveNode(volume)
    assert app.state == "cancelled"
    assert not app.ui.segmentButton.enabled
    go_on()
    app.wait(lambda: not alive(its_processes))


def test_closing_the_scene_during_a_run_ends_the_run_and_the_panel_goes_on(app: Application) -> None:
    app.ready()
    computing(app)
    app.slicer.mrmlScene.Clear(0)
    assert app.state == "cancelled"
    go_on()
    app.ready()
    app.segment()
    assert app.state == "finished"


def test_loading_the_module_again_leaves_no_process_and_works(app: Application) -> None:
    app.ready()
    app.ui.segmentButton.click()
    app.close_module()
    app.wait(lambda: not workers())
    app.open_module()
    app.wait(lambda: not app.panel.readiness.missing())
    app.segment()
    assert app.state == "finished"


def test_torch_that_is_missing_is_asked_for_and_never_installed_unasked(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from AutofocusSegmentationLib.panel import requirements

    app.ready()
    before = app.panel.run
    monkeypatch.setattr(requirements, "torch_version", lambda: None)
    app.ui.segmentButton.click()  # and Cancel
    assert any("PyTorch" in dialog.text for dialog in app.host.dialogs.seen)
    assert app.panel.run is before
    assert not app.host.installed


# What looks wrong


def as_array(volume: Any) -> np.ndarray:
    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def test_a_ct_stored_with_1024_more_is_named_beside_the_button(app: Application) -> None:
    volume = app.ready()
    assert app.ui.warningLabel.isHidden(), app.ui.warningLabel.text
    as_array(volume)[...] += 1024
    app.panel._changed()
    assert "HU + 1024" in app.ui.warningLabel.text
    assert app.ui.segmentButton.enabled, "it is the user's decision"
    as_array(volume)[...] -= 1024
    app.panel._changed()
    assert app.ui.warningLabel.isHidden()


def test_a_size_that_no_patient_has_is_named(app: Application) -> None:
    volume = app.ready()
    volume.SetSpacing(0.012, 0.012, 0.012)
    app.panel._changed()
    assert "smaller than anything that is segmented" in app.ui.warningLabel.text


def test_a_model_of_phantoms_on_another_scan_is_named_before_and_after(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from AutofocusSegmentationLib.panel import sample_data
    from AutofocusSegmentationLib.panel.sample_data import SYNTHETIC

    volume = app.ready()
    app.panel.models.choose("pelvis-phantom")
    warning = "Pelvic CT phantom was trained on synthetic images only"
    assert warning in app.ui.warningLabel.text
    volume.SetAttribute(SYNTHETIC, "1")
    app.panel._changed()
    assert app.ui.warningLabel.isHidden(), "of our own samples it is the right model"
    volume.SetAttribute(SYNTHETIC, None)
    name = volume.GetName()
    volume.SetName("SyntheticPelvicCT_1")  # all that SampleData.downloadSample leaves to know a sample by, and its size
    with monkeypatch.context() as patch:
        patch.setattr(sample_data, "SIZE", volume.GetImageData().GetDimensions())
        app.panel.readiness.show()
        assert app.ui.warningLabel.isHidden()
    app.panel.readiness.show()
    assert not app.ui.warningLabel.isHidden(), "a scan of another size is none of our samples"
    volume.SetName(name)
    app.panel.readiness.show()
    assert not app.ui.warningLabel.isHidden()
    app.segment()
    app.pause()
    assert warning in app.ui.resultWarningLabel.text
    assert app.ui.warningLabel.isHidden(), "it stands beside the result now"
    app.ui.segmentationSelector.setCurrentNode(None)
    app.pause()
    assert not app.ui.warningLabel.isHidden()
