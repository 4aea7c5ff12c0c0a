"""Puts the stand-ins into place, and is the hand of the user and the eye of the test."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util

from Testing.SlicerHost import (
    ctk_widgets,
    mrml_widgets,
    packaging,
    parameter_node,
    pythonqt,
    qt_module,
    scripted_module,
    translation,
)
from Testing.SlicerHost import modules as scripted
from Testing.SlicerHost.application import SlicerApplication, qSlicerMainWindow
from Testing.SlicerHost.dialogs import Dialogs
from Testing.SlicerHost.scene import LOGICS, new_scene

TICK_MS = 5


def without_processor() -> float:
    """Seconds in which this thread was ready, but others had the processors; 0 where the system does not say."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


@dataclass
class Waited:
    """How a stay in the event loop went.

    Args:
        reached: whether what was waited for came.
        seconds: how long it took.
        lateness: for each tick of a timer of 5 ms, how many seconds after its time it came, without those in which
            other programs had the processors.
    """

    reached: bool
    seconds: float
    lateness: list[float]

    @property
    def longest_block(self) -> float:
        """The longest time, in seconds, that the event loop was kept from going on."""
        return max(self.lateness, default=0.0)


@dataclass
class Host:
    """The stand-in application.

    Args:
        app: slicer.app.
        scene: slicer.mrmlScene.
        dialogs: what was asked and answered.
        faults: exceptions that nobody caught, in slots and observers; in the application they go to the error log.
        installed: requirements that were to be installed with pip.
    """

    app: SlicerApplication
    scene: Any
    dialogs: Dialogs = field(default_factory=Dialogs)
    faults: list[BaseException] = field(default_factory=list)
    installed: list[str] = field(default_factory=list)

    def load_module(self, path: Path) -> Any:
        """Load a scripted module as the application does at its start, and show its panel. Returns its widget class."""
        module = self.app.moduleManager().load(Path(path).resolve())
        self.app.startupCompleted.emit()
        slicer.util.selectModule(module.name)
        return module.widgetRepresentation().self()

    def close_module(self, name: str) -> None:
        """Leave a scripted module and have it clean up, as at the end of the application."""
        self.app.moduleManager().unload(name)
        self.app.processEvents()

    def run(self, until: Callable[[], Any] = lambda: False, timeout: float = 10.0) -> Waited:
        """Let events happen until a condition holds, which is asked at every tick, or the time is over (seconds)."""
        lateness: list[float] = []
        loop, timer = pythonqt.QtCore.QEventLoop(), pythonqt.QtCore.QTimer()
        started = last = time.perf_counter()
        lacked = without_processor()
        reached = False

        def tick() -> None:
            nonlocal last, lacked, reached
            now = time.perf_counter()
            lateness.append(max(0.0, now - last - TICK_MS / 1000 - (without_processor() - lacked)))
            reached = bool(until())
            last, lacked = time.perf_counter(), without_processor()
            if reached or now - started > timeout:
                loop.quit()

        timer.setTimerType(pythonqt.QtCore.Qt.PreciseTimer)
        timer.timeout.connect(tick)
        timer.start(TICK_MS)
        loop.exec()
        timer.stop()
        return Waited(reached, time.perf_counter() - started, lateness)

    def grab(self, widget: Any, path: Path, width: int | None = None) -> Path:
        """A picture (PNG) of a widget, as tall as it wants to be where `width` (pixels) is given."""
        if width is not None:
            widget.resize(width, max(widget.sizeHint.height(), widget.minimumSizeHint.height()))
        widget.show()
        self.app.processEvents()
        if not widget.grab().save(str(path), "PNG"):
            raise OSError(f"{path} cannot be written")
        return path

    def new_session(self) -> None:
        """Empty the scene and forget dialogs, faults and installations: for the next test.

        Parameter nodes go too, which outlive the emptying, and with them the widgets that a test has left bound.
        """
        self.scene.Clear(0)
        nodes = self.scene.GetNodesByClass("vtkMRMLScriptedModuleNode")
        for node in [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]:
            node.RemoveAllObservers()
            self.scene.RemoveNode(node)
        self.app.processEvents()
        self.dialogs.seen.clear()
        self.dialogs.answers.clear()
        self.dialogs.opened_urls.clear()
        self.faults.clear()
        self.installed.clear()


_host: Host | None = None


def _pass_on(kind: Any, context: Any, text: str) -> None:
    """Qt's messages, without what it says of every window that is shown offscreen."""
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)


def install_host(main_window: bool = True) -> Host:
    """Make this process the application: `import slicer`, `qt`, `ctk`, `vtk` then give what they give there.

    Args:
        main_window: False is `Slicer --no-main-window`. A process has but one application, so only the first call of
            a process chooses.
    """
    global _host
    if _host is not None:
        return _host
    pythonqt.QtCore.qInstallMessageHandler(_pass_on)
    app = SlicerApplication()
    slicer.app = app
    slicer.selfTests = {}
    slicer.modules = types.SimpleNamespace()
    vars(slicer).update(mrml_widgets.CLASSES)
    slicer.qSlicerScriptedLoadableModule = scripted.qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = scripted.qSlicerScriptedLoadableModuleWidget
    slicer.mrmlScene, application_logic, logics = new_scene(app.temporaryPath)
    app.take(slicer.mrmlScene, application_logic, logics)
    for name in ("Colors", *LOGICS):
        app.moduleManager().add(scripted.qSlicerLoadableModule(name, logics[name]))
    _host = Host(app, slicer.mrmlScene)
    # VTK deletes the scene's logics in any order at the end of Python; one that still sees a scan then crashes.
    atexit.register(_host.new_session)
    _host.dialogs.install()
    sys.modules["qt"], sys.modules["ctk"] = qt_module.module(), ctk_widgets.module()
    for module in (
        translation.module(),
        packaging.module(_host.installed),
        scripted_module.module(),
        parameter_node.module(),
    ):
        sys.modules[module.__name__] = module
        setattr(slicer, module.__name__.split(".")[-1], module)
    if main_window:
        app._window = qSlicerMainWindow(app.moduleManager())
    told = sys.excepthook

    def hear(kind: Any, error: Any, trace: Any) -> None:
        _host.faults.append(error)
        told(kind, error, trace)

    sys.excepthook = hear
    return _host
