"""The qMRML widgets beside the node selector, as the module `slicer` has them in the application."""

# ruff: noqa: N801, N802, N815, RUF012 (the names are the application’s)

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Qt, Signal
from vtkmodules.vtkCommonCore import vtkCommand

from Testing.SlicerHost.node_selector import qMRMLNodeComboBox
from Testing.SlicerHost.observations import Observations
from Testing.SlicerHost.pythonqt import QtGui, QtWidgets


class qMRMLWidget(QtWidgets.QWidget):
    """qMRMLWidget: a widget that is told the scene, and tells it on."""

    mrmlSceneChanged = Signal(object)
    SIGNALS = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLSegmentsTableView(qMRMLWidget):
    """qMRMLSegmentsTableView: the segments of a segmentation node, with visibility, colour and name."""

    selectionChanged = Signal(object, object)
    SIGNALS = {**qMRMLWidget.SIGNALS, "selectionChanged(QItemSelection,QItemSelection)": "selectionChanged"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observations = Observations(self)
        self._read_only = False
        self._selection_mode = QtWidgets.QAbstractItemView.ExtendedSelection
        self._table = QtWidgets.QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["", "", "Name"])
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.verticalHeader().hide()
        for column in (0, 1):
            self._table.setColumnWidth(column, 28)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._table)
        self._table.itemChanged.connect(self._ticked)
        self._table.selectionModel().selectionChanged.connect(lambda new, old: self.selectionChanged.emit(new, old))

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if node is not self._node:
            self._observations.drop()
            self._node = node
            if node is not None:
                self._observations.add(node, vtkCommand.AnyEvent, lambda *_: self._fill())
        self._fill()

    def _fill(self) -> None:
        ids = list(self._node.GetSegmentation().GetSegmentIDs()) if self._node is not None else []
        display = self._node.GetDisplayNode() if ids else None
        self._table.blockSignals(True)
        self._table.setRowCount(len(ids))
        for row, key in enumerate(ids):
            segment = self._node.GetSegmentation().GetSegment(key)
            seen, colour, name = (QtWidgets.QTableWidgetItem() for _ in range(3))
            visible = display is None or display.GetSegmentVisibility(key)
            seen.setCheckState(Qt.Checked if visible else Qt.Unchecked)
            seen.setData(Qt.UserRole, key)
            colour.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            name.setText(segment.GetName())
            for column, item in enumerate((seen, colour, name)):
                self._table.setItem(row, column, item)
        self._table.blockSignals(False)

    def _ticked(self, item: Any) -> None:
        display = self._node.GetDisplayNode() if self._node is not None else None
        if item.column() == 0 and display is not None:
            display.SetSegmentVisibility(item.data(Qt.UserRole), item.checkState() == Qt.Checked)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedRows()})
        return tuple(self._table.item(row, 0).data(Qt.UserRole) for row in rows)

    def setSelectedSegmentIDs(self, ids: Any) -> None:
        self._table.clearSelection()
        for row in range(self._table.rowCount):
            if self._table.item(row, 0).data(Qt.UserRole) in ids:
                self._table.selectRow(row)

    def _column(self: Any, value: bool) -> None:
        """Which columns and lines are shown changes nothing here."""

    def setReadOnly(self, value: bool) -> None:
        self._read_only = value
        triggers = QtWidgets.QAbstractItemView
        self._table.setEditTriggers(triggers.NoEditTriggers if value else triggers.DoubleClicked)

    def setSelectionMode(self, mode: Any) -> None:
        self._selection_mode = QtWidgets.QAbstractItemView.SelectionMode(mode)
        self._table.setSelectionMode(self._selection_mode)

    selectionMode = Property(int, lambda self: self._selection_mode.value, setSelectionMode)
    readOnly = Property(bool, lambda self: self._read_only, setReadOnly)
    visibilityColumnVisible = Property(bool, lambda self: True, _column)
    colorColumnVisible = Property(bool, lambda self: True, _column)
    opacityColumnVisible = Property(bool, lambda self: False, _column)
    statusColumnVisible = Property(bool, lambda self: False, _column)
    filterBarVisible = Property(bool, lambda self: False, _column)
    headerVisible = Property(bool, lambda self: True, _column)
    setVisibilityColumnVisible = setColorColumnVisible = setOpacityColumnVisible = _column
    setStatusColumnVisible = setFilterBarVisible = setHeaderVisible = _column


class qMRMLColorTableComboBox(qMRMLNodeComboBox):
    """qMRMLColorTableComboBox: a selector of colour nodes."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.nodeTypes = ["vtkMRMLColorNode"]
        self.addEnabled = self.removeEnabled = False


CLASSES = {
    cls.__name__: cls for cls in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentsTableView, qMRMLColorTableComboBox)
}
