"""The list of structures: visibility, colour, name, volume and estimated quality of each segment, in one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.observers import Observers
from AutofocusSegmentationLib.panel.rows import fit_rows
from AutofocusSegmentationLib.scene.outlines import drawn_colours
from AutofocusSegmentationLib.scene.review_record import estimates_of
from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml

STRUCTURE, VOLUME, ESTIMATE = range(3)
MOST_ROWS = 8  # that are in sight at once
SWATCH = 14  # pixels
PAUSE_MS = 50  # in which changes are collected


class SegmentsTable:
    """Shows the segments of one segmentation node, and keeps up with it.

    Args:
        table: the QTableWidget.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._node: Any = None
        self._keys: list[str] = []
        self._observers = Observers()
        self._volumes: dict[str, float] | None = None
        self._filling = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", self.fill)
        table.horizontalHeader().setSectionResizeMode(STRUCTURE, qt.QHeaderView.Stretch)
        table.horizontalHeader().setSectionResizeMode(VOLUME, qt.QHeaderView.ResizeToContents)
        table.setColumnCount(3)
        table.setHorizontalHeaderItem(ESTIMATE, qt.QTableWidgetItem(_("Estimated Dice")))
        table.horizontalHeader().setSectionResizeMode(ESTIMATE, qt.QHeaderView.ResizeToContents)
        table.verticalHeader().hide()
        table.connect("itemChanged(QTableWidgetItem*)", self._ticked)
        table.connect("cellClicked(int,int)", lambda row, column: self.jump_to(row))
        table.connect("cellDoubleClicked(int,int)", lambda row, column: self._choose_colour(row))
        self.fill()

    def show(self, node: Any) -> None:
        """Show a segmentation node, or nothing."""
        self.stop()
        self._node, self._volumes = node, None
        if node is not None:
            self._observers.add(node, vtk.vtkCommand.AnyEvent, self._changed_later)
            self._observers.add(node.GetSegmentation(), vtk.vtkCommand.AnyEvent, self._recount_later)
            if node.GetDisplayNode() is not None:
                self._observers.add(node.GetDisplayNode(), vtk.vtkCommand.AnyEvent, self._changed_later)
        self._timer.start()

    def stop(self) -> None:
        """Follow the node no longer."""
        self._timer.stop()
        self._observers.stop()

    def fill(self) -> None:
        """Write the rows."""
        node = self._node if self._node is not None and self._node.GetScene() is not None else None
        self._keys = [] if node is None else list(node.GetSegmentation().GetSegmentIDs())
        if node is not None and self._volumes is None:
            self._volumes = volumes_ml(node)
        colours = drawn_colours(node)
        estimates = estimates_of(node)
        self._table.setColumnHidden(ESTIMATE, not any(estimates.values()))
        self._filling = True
        self._table.setRowCount(len(self._keys))
        for row, key in enumerate(self._keys):
            name = qt.QTableWidgetItem(node.GetSegmentation().GetSegment(key).GetName())
            display = node.GetDisplayNode()
            seen = display is None or display.GetSegmentVisibility(key)
            name.setCheckState(qt.Qt.Checked if seen else qt.Qt.Unchecked)
            name.setIcon(_swatch(colours[key]))
            amount = qt.QTableWidgetItem(volume_text((self._volumes or {}).get(key, 0.0)))
            amount.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(row, STRUCTURE, name)
            self._table.setItem(row, VOLUME, amount)
            self._table.setItem(row, ESTIMATE, _estimate_item(estimates.get(str(name.text()))))
        fit_rows(self._table, MOST_ROWS)
        self._filling = False

    def jump_to(self, row: int) -> None:
        """Let all slice views show the middle of a structure."""
        if 0 <= row < len(self._keys):
            jump_to_segments(self._node, [self._keys[row]])

    def _ticked(self, item: Any) -> None:
        if self._filling or item.column() != STRUCTURE or self._node is None or self._node.GetDisplayNode() is None:
            return
        seen = item.checkState() == qt.Qt.Checked
        self._node.GetDisplayNode().SetSegmentVisibility(self._keys[item.row()], seen)

    def _choose_colour(self, row: int) -> None:
        segment = self._node.GetSegmentation().GetSegment(self._keys[row])
        window = slicer.util.mainWindow()
        now = qt.QColor.fromRgbF(*segment.GetColor())
        chosen = qt.QColorDialog.getColor(now, window, _("Colour of {name}").format(name=segment.GetName()))
        if chosen.isValid():
            segment.SetColor(chosen.redF(), chosen.greenF(), chosen.blueF())

    def _changed_later(self, *_: Any) -> None:
        self._timer.start()

    def _recount_later(self, *_: Any) -> None:
        self._volumes = None
        self._timer.start()


def _estimate_item(estimate: dict[str, Any] | None) -> Any:
    """The estimate; bold, and saying so, where the contour is among the quarter to check first."""
    item = qt.QTableWidgetItem("" if estimate is None else f"{estimate['dice']:.2f}")
    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    if estimate is None:
        return item
    told = _("In 80 of 100 cases Dice is {low:.2f} to {high:.2f}.").format(**estimate)
    if estimate["check"]:
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        told += " " + _("Check this contour first.")
    item.setToolTip(told)
    return item


def volume_text(volume: float) -> str:
    """Millilitres in words."""
    return _("not found") if volume <= 0 else f"{volume:.1f}" if volume >= 10 else f"{volume:.2f}"


def jump_to_segments(node: Any, keys: list[str] | None = None) -> None:
    """Let all slice views show the middle of these segments; without `keys`, of the most central one that was found.

    The middle of several lies in none of them, often enough, and the views would show no contour.
    """
    keys = [key for key, volume in volumes_ml(node).items() if volume > 0] if keys is None else keys
    centres = []
    for key in keys:
        centre = [0.0, 0.0, 0.0]
        node.GetSegmentCenterRAS(key, centre)
        centres.append(centre)
    if centres:
        middle = np.mean(centres, axis=0)
        x, y, z = min(centres, key=lambda centre: float(np.linalg.norm(centre - middle)))
        centred = slicer.vtkMRMLSliceNode.CenteredJumpSlice
        slicer.vtkMRMLSliceNode.JumpAllSlices(node.GetScene(), x, y, z, centred)


def _swatch(colour: tuple[float, float, float]) -> Any:
    pixmap = qt.QPixmap(SWATCH, SWATCH)
    pixmap.fill(qt.QColor(110, 110, 110))  # the frame, without which white is not seen
    painter = qt.QPainter()
    painter.begin(pixmap)
    painter.fillRect(1, 1, SWATCH - 2, SWATCH - 2, qt.QColor.fromRgbF(*colour))
    painter.end()
    return qt.QIcon(pixmap)
