"""The real panel on the stand-in for the application, with a real worker and a real model: what a user does to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy

ROOT = Path(__file__).resolve().parents[3]
pytest.importorskip("PySide6", reason="The stand-in for the application needs PySide6.")

MODEL = "pelvis-phantom"
COARSE = "coarse-pelvis"  # the same with voxels of 6 mm: for all tests but those that act in the middle of a run


class Application:
    """The module in the stand-in for the application, and what a user can do with it."""

    def __init__(self, host: Any) -> None:
        import slicer

        self.host = host
        self.slicer = slicer
        self.open_module()

    def open_module(self) -> None:
        self.widget = self.host.load_module(ROOT / "AutofocusSegmentation" / "AutofocusSegmentation.py")
        self.panel = self.widget.panel
        self.ui = self.widget.ui

    def wait(self, until: Callable[[], bool], seconds: float = 120.0) -> list[float]:
        """Let events happen until something holds; the lateness of the event loop in ms, all along."""
        waited = self.host.run(until, seconds)
        assert waited.reached, f"nothing came of it in {seconds} s: {self.ui.statusLabel.text}"
        assert not self.host.faults, self.host.faults
        return [1000 * late for late in waited.lateness]

    def close_module(self) -> None:
        self.widget.cleanup()

    def save_and_load(self, folder: Path) -> None:
        """Save the scene as .mrb, empty it, and open what was saved."""
        scene = self.slicer.mrmlScene
        assert scene.WriteToMRB(str(folder / "scene.mrb"))
        scene.Clear(0)
        with zipfile.ZipFile(folder / "scene.mrb") as archive:
            archive.extractall(folder / "opened")
        scene.SetURL(str(next((folder / "opened").rglob("*.mrml"))))
        assert scene.Import()

    def phantom(self, name: str = "Phantom CT", seed: int = 1000) -> Any:
        from AutofocusSegmentationLib.panel.sample_data import Sample, add_sample

        node = add_sample(self.slicer.mrmlScene, Sample(name, name, seed, 1.0))
        self.wait(lambda: not self.panel.inputs.missing() or not self.panel.models.names, 10)
        return node

    def ready(self, model: str = COARSE) -> Any:
        """A phantom, the model, the processor: ready for the click."""
        self.wait(lambda: model in self.panel.models.names)
        self.panel.models.choose(model)
        node = self.phantom()
        self.wait(lambda: self.ui.deviceSelector.findData("cpu") >= 0)
        self.panel.devices.choose("cpu")
        assert self.ui.segmentButton.enabled, self.panel.missing()
        return node

    def segment(self) -> list[float]:
        self.ui.segmentButton.click()
        assert self.panel.run is not None
        late = self.wait(lambda: self.ended)
        return late

    @property
    def ended(self) -> bool:
        return self.panel.run is not None and not self.panel.control.running

    @property
    def state(self) -> str:
        return self.panel.run.state.value


@pytest.fixture(scope="module", autouse=True)
def coarse_model(models_of_the_user_stay_untouched: None) -> Iterator[None]:
    """A model among the user's own that needs little time."""
    from Testing.small_models import write_coarse_pelvis

    folder = write_coarse_pelvis(Path(os.environ["AUTOFOCUS_MODELS"]) / COARSE, spacing=6.0)
    yield
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def host() -> Any:
    from Testing.SlicerHost import install_host

    return install_host()


@pytest.fixture
def app(host: Any) -> Iterator[Application]:
    host.new_session()
    application = Application(host)
    yield application
    application.close_module()
    host.new_session()


def workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [
        p for p in children if p.status() != psutil.STATUS_ZOMBIE and "AutofocusCore.worker" in " ".join(p.cmdline())
    ]


def test_a_click_gives_a_segmentation_on_the_scan_with_names_volumes_and_attention(app: Application) -> None:
    volume = app.ready()
    app.segment()
    assert app.state == "finished", app.ui.statusLabel.text
    node = app.panel.result.node
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())]
    assert names == ["Prostate", "Seminal vesicles", "Bladder", "Rectum", "Left femur", "Right femur"]
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    app.wait(lambda: app.ui.volumesTable.rowCount == 6, 5)
    rows = {app.ui.volumesTable.item(r, 0).text(): app.ui.volumesTable.item(r, 1).text() for r in range(6)}
    assert float(rows["Bladder"]) > 10
    assert app.ui.attentionCheckBox.enabled
    app.ui.attentionCheckBox.setChecked(True)
    shown = app.panel.attention.volume
    assert shown.GetAttribute("AutofocusSegmentation.Attention") == "zoom"
    values = vtk_to_numpy(shown.GetImageData().GetPointData().GetScalars())
    of_patient = values[values > 0]
    assert 12.0 <= of_patient.min() < of_patient.max() <= 84.0, "rates 2 to 14 at 6 mm"
    assert 0.1 < of_patient.size / values.size < 0.9, "the rest is air"
    assert 0 < shown.GetDisplayNode().GetLowerThreshold() < 12.0, "and not shown"


def test_the_button_says_what_is_missing(app: Application) -> None:
    app.wait(lambda: bool(app.panel.models.names))
    assert not app.ui.segmentButton.enabled
    app.panel.models.choose(COARSE)
    assert "volume for CT" in app.ui.segmentButton.toolTip
    app.phantom()
    assert app.ui.segmentButton.enabled


def test_the_plan_is_shown_before_the_click(app: Application) -> None:
    app.ready()
    app.wait(lambda: "GiB" in app.ui.planLabel.text)
    assert "about" in app.ui.planLabel.text


def test_the_search_finds_models_by_structure_and_modality(app: Application) -> None:
    app.wait(lambda: len(app.panel.models.names) >= 2)
    tree = app.ui.modelTree

    def shown() -> set[str]:
        items = [tree.topLevelItem(i) for i in range(tree.topLevelItemCount)]
        return {item.text(0) for item in items if not item.isHidden()}

    everything = shown()
    app.ui.modelSearchLineEdit.setText("bladder ct")
    assert {title.partition(" (")[0] for title in shown()} == {"Pelvic CT phantom"}
    app.ui.modelSearchLineEdit.setText("")
    assert shown() == everything


def test_the_event_loop_is_never_held_up_for_a_tenth_of_a_second_during_a_run(app: Application) -> None:
    app.ready(MODEL)
    late = app.segment()
    assert app.state == "finished"
    assert np.percentile(late, 99) < 100, (
        f"99th percentile {np.percentile(late, 99):.0f} ms, longest {max(late):.0f} ms"
    )


def test_cancelling_returns_at_once_and_leaves_no_process(app: Application) -> None:
    app.ready(MODEL)
    app.ui.segmentButton.click()
    app.wait(lambda: app.state == "computing" and app.ui.progressBar.value > 0)
    assert workers()
    app.ui.cancelButton.click()
    assert app.state == "cancelled"
    app.wait(lambda: not workers(), 2.0)
    assert app.panel.result.node is None
    assert app.ui.segmentButton.enabled
    app.segment()
    assert app.state == "finished", "the next click works"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="There is no SIGKILL on this system.")
def test_a_killed_worker_is_reported_with_a_remedy_and_the_next_click_works(app: Application) -> None:
    app.ready(MODEL)
    app.ui.segmentButton.click()
    app.wait(lambda: app.state == "computing" and app.ui.progressBar.value > 0)
    for process in workers():
        os.kill(process.pid, signal.SIGKILL)
    app.wait(lambda: app.ended)
    assert app.state == "failed"
    assert "memory" in app.ui.statusLabel.text
    app.segment()
    assert app.state == "finished"


def test_a_second_run_updates_the_segmentation_or_adds_one_as_the_user_chose(app: Application) -> None:
    app.ready()
    app.segment()
    first = app.panel.result.node
    app.segment()
    assert app.panel.result.node is first
    app.ui.updateResultCheckBox.setChecked(False)
    app.segment()
    assert app.panel.result.node is not first
    assert app.slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


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
    app.ui.segmentButton.click()
    app.wait(lambda: app.state == "computing")
    app.slicer.mrmlScene.RemoveNode(volume)
    assert app.state == "cancelled"
    assert "removed" in app.ui.statusLabel.text
    assert not app.ui.segmentButton.enabled
    app.wait(lambda: not workers(), 2.0)


def test_closing_the_scene_during_a_run_ends_the_run_and_the_panel_goes_on(app: Application) -> None:
    app.ready()
    app.ui.segmentButton.click()
    app.wait(lambda: app.state == "computing")
    app.slicer.mrmlScene.Clear(0)
    assert app.state == "cancelled"
    app.ready()
    app.segment()
    assert app.state == "finished"


def test_loading_the_module_again_leaves_no_process_and_works(app: Application) -> None:
    app.ready()
    app.ui.segmentButton.click()
    app.wait(lambda: app.state == "computing")
    app.close_module()
    app.wait(lambda: not workers(), 3.0)
    app.open_module()
    app.wait(lambda: not app.panel.missing())
    app.segment()
    assert app.state == "finished"


def test_a_saved_scene_brings_back_choices_result_and_attention(app: Application, tmp_path: Path) -> None:
    app.ready()
    app.segment()
    app.ui.attentionCheckBox.setChecked(True)
    app.save_and_load(tmp_path)
    panel = app.panel
    app.wait(lambda: panel.result.node is not None, 5)
    assert panel.parameters.model_name == COARSE
    assert panel.result.node.GetSegmentation().GetNumberOfSegments() == 6
    assert panel.attention.volume is not None
    from AutofocusSegmentationLib.scene.provenance_node import provenance_of

    record = provenance_of(panel.result.node)
    text = record if isinstance(record, dict) else json.loads(record.GetText())
    assert text["model"]["name"] == COARSE


def test_the_weights_at_the_cursor_add_up_and_the_circle_has_the_effective_size(app: Application) -> None:
    app.ready()
    app.segment()
    found = app.panel.attention.probe.look_at((0.0, 0.0, 0.0))
    assert found.inside
    assert float(np.sum(found.weights)) == pytest.approx(1.0, abs=1e-3)
    assert found.effective_mm == pytest.approx(float(np.dot(found.weights, found.rates_mm)), rel=1e-3)
    assert not app.ui.chartLabel.pixmap.isNull()


def test_a_model_that_is_no_model_is_refused_with_its_reason(app: Application, tmp_path: Path) -> None:
    app.wait(lambda: bool(app.panel.models.names))
    path = tmp_path / "model.zip"
    path.write_bytes(b"no archive")
    app.panel.models.import_file(str(path))
    app.wait(lambda: "color" in app.ui.modelSummaryLabel.text, 20)


def test_a_model_of_a_known_name_replaces_it_if_the_user_says_so(app: Application, tmp_path: Path) -> None:
    import qt

    app.wait(lambda: MODEL in app.panel.models.names)
    bundles = ROOT / "AutofocusCore" / "bundles"
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", root_dir=bundles, base_dir=MODEL)
    folder = Path(os.environ["AUTOFOCUS_MODELS"]) / MODEL
    app.panel.models.import_file(archive)  # and No
    app.wait(lambda: any(MODEL in dialog.text for dialog in app.host.dialogs.seen), 20)
    assert not folder.exists()
    app.host.dialogs.answers.append(qt.QMessageBox.Yes)
    app.panel.models.import_file(archive)
    app.wait(folder.exists, 20)
    shutil.rmtree(folder)


def write_streams_model(folder: Path) -> None:
    """A network of scale streams with random weights for phantoms, at a coarse spacing."""
    import AutofocusCore
    from AutofocusCore.models import Channel, Normalization, write_bundle
    from AutofocusCore.models.terminology import structures
    from Testing.small_models import small_spec

    architecture = {"architecture": "scale-streams", "in_channels": 1, "num_classes": 3, "encoder": "basic", "width": 4}
    network = AutofocusCore.build_network(**architecture)
    spec = small_spec(
        name=folder.name,
        title="Streams",
        channels=(Channel("CT", "CT", ("*",)),),
        structures=structures("Prostate", "Bladder"),
        normalization=Normalization("window", "body", window=(-150.0, 250.0)),
        architecture=network.options,
        spacing=(12.0, 12.0, 12.0),
    )
    write_bundle(folder, spec, network.state_dict(), "MIT License")


def test_the_scales_and_what_was_suppressed_are_laid_over_the_scan(app: Application) -> None:
    folder = Path(os.environ["AUTOFOCUS_MODELS"]) / "streams"
    write_streams_model(folder)
    try:
        app.close_module()
        app.open_module()
        app.wait(lambda: "streams" in app.panel.models.names)
        app.ready()
        app.panel.models.choose("streams")
        app.segment()
    finally:
        shutil.rmtree(folder)
    assert app.state == "finished", app.ui.statusLabel.text
    app.ui.attentionCheckBox.setChecked(True)
    assert app.panel.attention.volume.GetAttribute("AutofocusSegmentation.RatesMm").split() == ["12.0", "24.0"]
    selector = app.ui.attentionMapSelector
    titles = [selector.itemText(index) for index in range(selector.count)]
    assert titles[-3:] == [f"Suppressed (0) or kept (1): {name}" for name in ("Background", "Prostate", "Bladder")]
    selector.setCurrentIndex(len(titles) - 1)
    shown = app.panel.attention.volume
    assert shown.GetName() == "Recalibration, Bladder"
    low, high = shown.GetImageData().GetScalarRange()
    assert 0 <= low <= high <= 1
    composite = app.slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite.GetForegroundVolumeID() == shown.GetID()


def test_torch_that_is_missing_is_asked_for_and_never_installed_unasked(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from AutofocusSegmentationLib.panel import requirements

    app.ready()
    monkeypatch.setattr(requirements, "torch_version", lambda: None)
    app.ui.segmentButton.click()  # and Cancel
    assert any("PyTorch" in dialog.text for dialog in app.host.dialogs.seen)
    assert app.panel.run is None
    assert not app.host.installed


def test_every_frame_of_a_sequence_is_segmented_on_request(app: Application) -> None:
    volume = app.ready()
    slicer, scene = app.slicer, app.slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Frames")
    for value in ("0", "1"):
        sequence.SetDataNodeAtValue(volume, value)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(volume, sequence, False)
    app.panel.inputs.refresh()
    assert not app.ui.everyFrameCheckBox.isHidden()
    app.ui.everyFrameCheckBox.setChecked(True)
    app.ui.segmentButton.click()
    app.wait(lambda: app.ended and app.panel.result.node is not None, 240)
    collected = browser.GetSequenceNode(app.panel.result.node)
    assert collected.GetNumberOfDataNodes() == 2
    assert collected.GetNthDataNode(1).GetSegmentation().GetNumberOfSegments() == 6
    assert isinstance(collected.GetNthDataNode(0), slicer.vtkMRMLSegmentationNode)
