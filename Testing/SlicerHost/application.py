# ruff: noqa: N801, N802, N815 (the names are the application’s)
"""slicer.app and the main window."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6.QtCore import QCoreApplication, QSettings, Signal

from Testing.SlicerHost.io_manager import CoreIOManager
from Testing.SlicerHost.layout import LayoutManager
from Testing.SlicerHost.modules import ModuleManager
from Testing.SlicerHost.pythonqt import QtWidgets

VERSION = (5, 10)  # of the application that the host resembles


class SlicerApplication(QtWidgets.QApplication):
    """qSlicerApplication: Qt's application, through which everything else is found.

    Its settings are files in a folder of their own.
    """

    startupCompleted = Signal()
    lastWindowClosedByUser = Signal()
    majorVersion, minorVersion = VERSION
    applicationVersion = f"{VERSION[0]}.{VERSION[1]}.0"
    revision = "0"
    organizationDomain = "slicer.org"

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-host-")
        QSettings.setDefaultFormat(QSettings.IniFormat)
        QSettings.setPath(QSettings.IniFormat, QSettings.UserScope, self._folder.name)
        QCoreApplication.setApplicationName("Slicer")
        QCoreApplication.setOrganizationName("Slicer")
        self._testing = False
        self._scene: Any = None

    def take(self, scene: Any, application_logic: Any, logics: dict[str, Any]) -> None:
        """Begin with this scene."""
        self._scene, self._logic, self._logics = scene, application_logic, logics
        self._manager = ModuleManager()
        self._io = CoreIOManager(scene, logics)
        self._layout = LayoutManager(scene, application_logic)

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def coreIOManager(self) -> CoreIOManager:
        return self._io

    ioManager = coreIOManager

    def layoutManager(self) -> LayoutManager:
        return self._layout

    @property
    def temporaryPath(self) -> str:
        return self._folder.name

    @property
    def slicerHome(self) -> str:
        return str(Path(self._folder.name) / "home")

    def userSettings(self) -> QSettings:
        return QSettings()

    settings = revisionUserSettings = userSettings

    @property
    def slicerUserSettingsFilePath(self) -> str:
        return QSettings().fileName()

    def testingEnabled(self) -> bool:
        """False: message boxes are shown, that is, recorded."""
        return self._testing

    def commandOptions(self) -> Any:
        return SimpleNamespace(runPythonAndExit=False, noMainWindow=slicer.util.mainWindow() is None)

    def translate(self, context: str, text: str) -> str:
        return text

    def pauseRender(self) -> None:
        """Nothing is drawn here."""

    resumeRender = pauseRender

    def startupEnvironment(self) -> Any:
        return dict(os.environ)

    def moduleDocumentationUrl(self, name: str) -> str:
        return ""


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """qSlicerMainWindow: its name, by which slicer.util finds it; its status bar, and the choice of the module."""

    def __init__(self, manager: ModuleManager) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelector(self, manager)

    def moduleSelector(self) -> Any:
        return self._selector


class qSlicerModuleSelector(QtWidgets.QWidget):
    """qSlicerModuleSelectorToolBar, as far as slicer.util.selectModule asks for it."""

    moduleSelected = Signal(str)
    SIGNALS = {"moduleSelected(QString)": "moduleSelected"}  # noqa: RUF012

    def __init__(self, parent: Any, manager: ModuleManager) -> None:
        super().__init__(parent)
        self._manager = manager

    def selectModule(self, name: str) -> None:
        self._manager.select(name)
        self.moduleSelected.emit(name)

    @property
    def selectedModule(self) -> str:
        return self._manager.shown or ""
