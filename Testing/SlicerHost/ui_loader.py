"""QUiLoader that knows the stand-ins, and connects what a .ui file connects.

Stands for Slicer's QUiLoader, which finds the CTK and qMRML widgets as designer plugins. Connections between signals
and slots of stand-ins, such as mrmlSceneChanged(vtkMRMLScene*), are made by name, for Qt knows nothing of their types.
"""

# ruff: noqa: N802 (the names are the application’s)

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from PySide6.QtCore import QBuffer, QByteArray
from PySide6.QtUiTools import QUiLoader as PlainLoader

from Testing.SlicerHost import ctk_widgets, mrml_widgets
from Testing.SlicerHost.pythonqt import QtWidgets

STAND_INS = {**vars(ctk_widgets.module()), **mrml_widgets.CLASSES}


class QUiLoader(PlainLoader):
    """Loads a .ui file. A class that neither Qt nor the host has is an error."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[Any] = []  # alive until they have parents

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        if class_name in STAND_INS:
            widget = STAND_INS[class_name](parent)
            widget.setObjectName(name)
        elif class_name in self.availableWidgets():
            widget = super().createWidget(class_name, parent, name)
        else:
            raise NotImplementedError(f"The host has no stand-in for the widget {class_name}")
        self._made.append(widget)
        return widget

    def load(self, device: Any, parent: Any = None) -> Any:
        root = ElementTree.fromstring(bytes(device.readAll()))
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(root)))
        buffer.open(QBuffer.ReadOnly)
        widget = super().load(buffer, parent)
        for connection in connections if connections is not None else ():
            parts = (connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
            sender, signal, receiver, slot = (part or "" for part in parts)
            _named(widget, sender).connect(signal, getattr(_named(widget, receiver), slot.split("(")[0]))
        return widget


def _named(root: Any, name: str) -> Any:
    return root if root.objectName == name else root.findChild(QtWidgets.QWidget, name)
