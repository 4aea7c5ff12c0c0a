# ruff: noqa: N801, N802, N815 (the names are the application’s)
"""The modules of the application: their logics, and scripted ones with their panels."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6.QtCore import Signal

from Testing.SlicerHost.mrml_widgets import qMRMLWidget
from Testing.SlicerHost.pythonqt import QtCore, QtWidgets


class qSlicerLoadableModule:
    """qSlicerLoadableModule: a C++ module, of which there is only the logic."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = self.title = name
        self._logic = logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


class qSlicerScriptedLoadableModule:
    """qSlicerScriptedLoadableModule: what a scripted module finds as its parent."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.path = str(path)
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self.contributors: list[str] = []
        self.icon: Any = None
        self.hidden = False
        self.index = -1
        self._representation: qSlicerScriptedLoadableModuleWidget | None = None
        self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """The panel; made, and set up, when it is asked for the first time."""
        if self._representation is None:
            self._representation = qSlicerScriptedLoadableModuleWidget(self.name)
            self._representation.reload()
        return self._representation

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        made = qSlicerScriptedLoadableModuleWidget(self.name)
        made.reload()
        return made


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """qSlicerScriptedLoadableModuleWidget: holds a scripted panel, and tells it when the module is shown or left."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._panel: Any = None
        self._entered = False
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        self.setMRMLScene(slicer.mrmlScene)

    def self(self) -> Any:
        return self._panel

    def reload(self) -> None:
        """Make the panel anew from the class that the script has now, and set it up."""
        self._panel = getattr(sys.modules[self._name], f"{self._name}Widget")(self)
        setattr(slicer.modules, f"{self._name}Widget", self._panel)
        self._panel.setup()
        if self._entered and hasattr(self._panel, "enter"):
            self._panel.enter()

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._panel, "enter"):
            self._panel.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._panel, "exit"):
            self._panel.exit()


class ModuleManager(QtCore.QObject):
    """qSlicerModuleManager: knows the modules by name."""

    moduleAboutToBeUnloaded = Signal(str)
    SIGNALS = {"moduleAboutToBeUnloaded(QString)": "moduleAboutToBeUnloaded"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._shown: str | None = None

    @property
    def shown(self) -> str | None:
        """Name of the module whose panel is shown."""
        return self._shown

    def add(self, module: Any) -> None:
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._modules)

    def factoryManager(self) -> Any:
        return SimpleNamespace(loadedModuleNames=self.modulesNames, isLoaded=lambda name: name in self._modules)

    def select(self, name: str) -> None:
        """Leave the module that is shown, and show this one: what choosing it in the module selector does."""
        left = self.module(self.shown).widgetRepresentation() if self.shown else None
        if left is not None:
            left.exit()
        self._shown = name
        entered = self.module(name).widgetRepresentation() if name else None
        if entered is not None:
            entered.enter()

    def unload(self, name: str) -> None:
        """Leave a module, have its panel cleaned up, and forget it: what happens at the application's end."""
        if self.shown == name:
            self.select("")
        self.moduleAboutToBeUnloaded.emit(name)
        module = self._modules.pop(name)
        for attribute in (name.lower(), f"{name}Widget", f"{name}Instance"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        module.widgetRepresentation().deleteLater()

    def load(self, path: Path) -> qSlicerScriptedLoadableModule:
        """A scripted module from its file, whose folder then is on Python's path; anew, if it is loaded already."""
        if path.stem in self._modules:
            self.unload(path.stem)
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        module = qSlicerScriptedLoadableModule(path)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = script
        spec.loader.exec_module(script)
        self.add(module)
        make: Callable[[Any], Any] = getattr(script, path.stem)
        setattr(slicer.modules, f"{path.stem}Instance", make(module))
        return module
