"""The module `qt`: all of Qt's names in one place, as PythonQt offers them to Slicer's Python."""

from __future__ import annotations

import types

from PySide6 import QtCore

from Testing.SlicerHost import pythonqt
from Testing.SlicerHost.ui_loader import QUiLoader

# PySide6's own, which PythonQt lacks: a module that used them would fail in the application.
NOT_IN_PYTHONQT = ("Signal", "Slot", "Property", "ClassInfo", "SignalInstance", "QtCore", "QtGui", "QtWidgets")


def module() -> types.ModuleType:
    """The module `qt`."""
    made = types.ModuleType("qt", __doc__)
    names = {name: value for name, value in pythonqt.classes().items() if name not in NOT_IN_PYTHONQT}
    vars(made).update(names, QUiLoader=QUiLoader, QT_VERSION_STR=QtCore.__version__)
    return made
