"""The real panel on the stand-in for the application, with a real worker, and small models that run in a second.

One panel and one warm worker serve all tests; each test finds an empty scene. What closes the panel opens it again.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from Testing.waiting import command_of, patience

pytest.importorskip("slicer", reason="The scene needs slicer-core.")
pytest.importorskip("PySide6", reason="The stand-in for the application needs PySide6.")

ROOT = Path(__file__).resolve().parents[3]
TINY, TINY_MR = "tiny-ct", "tiny-mr"
SECTIONS = ("review", "teach", "attention", "options", "log")  # that are folded


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

    def close_module(self) -> None:
        self.widget.cleanup()

    def wait(self, until: Callable[[], Any]) -> list[float]:
        """Let events happen until something holds; the lateness of the event loop in ms, all along."""
        waited = self.host.run(until, patience(50))
        assert waited.reached, f"nothing came of it in {waited.seconds:.0f} s: {self.ui.statusLabel.text}"
        assert not self.host.faults, self.host.faults
        return [1000 * late for late in waited.lateness]

    def pause(self, seconds: float = 0.15) -> None:
        """Let events happen for some time; on a busy computer for longer, until the event loop had as many turns."""
        from Testing.SlicerHost.host import TICK_MS

        turns = iter(range(round(1000 * seconds / TICK_MS)))
        self.wait(lambda: next(turns, None) is None)

    def new_session(self) -> None:
        """An empty scene, and nothing left of the test before."""
        self.panel.control.cancel()
        self.panel.teaching.lesson.cancel()
        self.host.new_session()
        self.slicer.util.selectModule("AutofocusSegmentation")
        self.widget.enter()
        for section in SECTIONS:
            getattr(self.ui, f"{section}CollapsibleButton").collapsed = True

    def save_and_load(self, folder: Path) -> None:
        """Save the scene as .mrb, empty it, and open what was saved."""
        scene = self.slicer.mrmlScene
        assert scene.WriteToMRB(str(folder / "scene.mrb"))
        scene.Clear(0)
        with zipfile.ZipFile(folder / "scene.mrb") as archive:
            archive.extractall(folder / "opened")
        scene.SetURL(str(next((folder / "opened").rglob("*.mrml"))))
        assert scene.Import()
        self.pause()

    def scan(self, name: str = "A", seed: int = 1000, *, show: bool = True) -> Any:
        """A coarse phantom, which the views show as they show what has just been loaded."""
        from AutofocusSegmentationLib.scene.image_node import add_image

        from AutofocusCore.phantom import make_phantom

        image, _ = make_phantom(seed, size=(36, 28, 20), spacing=(12.0, 12.0, 12.0))
        node = add_image(self.slicer.mrmlScene, name, image)
        if show:
            self.slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.pause(0.05)
        return node

    def ready(self, name: str = "A", model: str = TINY) -> Any:
        """A scan, a model, the processor: ready for the click."""
        self.wait(lambda: model in self.panel.models.names)
        self.panel.models.choose(model)
        node = self.scan(name)
        self.wait(lambda: self.ui.deviceSelector.findData("cpu") >= 0)
        self.panel.devices.choose("cpu")
        self.wait(lambda: self.ui.segmentButton.enabled)
        return node

    def segment(self) -> list[float]:
        self.ui.segmentButton.click()
        assert self.panel.run is not None
        return self.wait(lambda: self.ended)

    @property
    def ended(self) -> bool:
        return self.panel.run is not None and not self.panel.control.running

    @property
    def state(self) -> str:
        return self.panel.run.state.value

    @property
    def result(self) -> Any:
        return self.panel.result.node

    def foregrounds(self) -> set[Any]:
        """What lies in front in the slice views of the layout."""
        from AutofocusSegmentationLib.scene.slice_views import composite_nodes

        scene = self.slicer.mrmlScene
        return {scene.GetNodeByID(composite.GetForegroundVolumeID() or "") for composite in composite_nodes()}


def write_tiny_model(folder: Path, *, title: str, modality: str = "CT", layers: int = 2) -> None:
    """An AFN with random weights at a coarse spacing: nothing that it finds means anything."""
    import torch

    import AutofocusCore
    from AutofocusCore.models import Channel, Normalization, write_bundle
    from AutofocusCore.models.terminology import structures
    from Testing.small_models import small_spec

    torch.manual_seed(0)
    architecture = {"architecture": f"afn-{layers}", "in_channels": 1, "num_classes": 4, "norm": "fused"}
    network = AutofocusCore.build_network(**architecture)
    for parameter in network.parameters():
        if parameter.ndim == 5:
            torch.nn.init.normal_(parameter, 0.0, 0.15)
    spec = small_spec(
        name=folder.name,
        title=title,
        channels=(Channel(modality, modality, ("*",)),),
        structures=structures("Prostate", "Bladder", "Rectum"),
        normalization=Normalization("window", "body", window=(-150.0, 250.0)),
        architecture=network.options,
        spacing=(12.0, 12.0, 12.0),
        synthetic=False,
    )
    write_bundle(folder, spec, network.state_dict(), "MIT License")


@pytest.fixture(scope="session")
def host() -> Any:
    from Testing.SlicerHost import install_host

    return install_host()


@pytest.fixture(scope="session")
def application(host: Any, models_of_the_user_stay_untouched: None) -> Iterator[Application]:
    models = Path(os.environ["AUTOFOCUS_MODELS"])
    write_tiny_model(models / TINY, title="Tiny CT")
    write_tiny_model(models / TINY_MR, title="Tiny MR", modality="MR", layers=1)
    host.new_session()
    application = Application(host)
    yield application
    application.close_module()
    host.new_session()
    for name in (TINY, TINY_MR):
        shutil.rmtree(models / name)


@pytest.fixture
def app(application: Application) -> Iterator[Application]:
    application.new_session()
    yield application
    application.pause(0.02)
    application.new_session()


def workers() -> list[psutil.Process]:
    """The worker processes that this process has started."""
    return [one for one in psutil.Process().children(recursive=True) if "AutofocusCore.worker" in command_of(one)]


def computing(app: Application) -> None:
    """Click, and wait until the worker computes; it is stopped there."""
    app.ui.segmentButton.click()
    for process in workers():
        process.suspend()
    app.wait(lambda: app.state == "computing")


def go_on() -> None:
    """Let the stopped worker compute."""
    for process in workers():
        process.resume()


@pytest.fixture(scope="module")
def ball_model(application: Application) -> Iterator[None]:
    """A model that can be taught in a second."""
    from Testing.core.small_lessons import write_ball_model
    from Testing.module.panel.lessons import MODEL, read_models

    folder = Path(os.environ["AUTOFOCUS_MODELS"])
    write_ball_model(folder / MODEL)
    yield
    shutil.rmtree(folder / MODEL)
    read_models(application)
    application.panel.models.choose(TINY)  # the tests that follow choose none, and this one is gone


@pytest.fixture
def teach(app: Application, ball_model: None, tmp_path: Path) -> Iterator[Application]:
    """The section is open, the model is chosen, and cases are collected in an empty folder."""
    from AutofocusSegmentationLib.panel.case_collection import SETTING

    from Testing.module.panel.lessons import MODEL, NEW, read_models

    app.slicer.app.userSettings().setValue(SETTING, str(tmp_path))
    app.ui.teachCollapsibleButton.collapsed = False
    read_models(app)
    app.panel.models.choose(MODEL)
    app.panel.devices.choose("cpu")
    app.panel.teaching.choices._left_out.clear()  # the ticks of the test before
    app.ui.teachNameLineEdit.text = NEW  # as it is suggested
    app.panel.teaching.update()
    yield app
    app.panel.teaching.lesson.cancel()
    app.wait(lambda: not app.panel.teaching.running)
    app.slicer.app.userSettings().remove(SETTING)
    shutil.rmtree(Path(os.environ["AUTOFOCUS_MODELS"]) / NEW, ignore_errors=True)
    for lesson in Path(os.environ["AUTOFOCUS_MODELS"]).glob(".*.lesson*"):
        lesson.unlink()
    read_models(app)
