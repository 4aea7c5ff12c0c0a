"""Check boxes for the structures of a case that somebody looked at: what is not ticked stays unknown in the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import vtk
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.observers import Observers
from AutofocusSegmentationLib.panel.rows import fit_rows
from AutofocusSegmentationLib.panel.segments_table import volume_text
from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml
from AutofocusSegmentationLib.scene.teaching_case import segments_of_model

STRUCTURE, VOLUME = range(2)
MOST_ROWS = 8  # that are in sight at once
PAUSE_MS = 200  # in which changes are collected


class StructureChoices:
    """Shows the segments of one segmentation node as far as the model knows them, and keeps up with it.

    Args:
        table: the QTableWidget.
        on_change: called when a box was ticked, or the segments have changed.
    """

    def __init__(self, table: Any, on_change: Callable[[], None]) -> None:
        self._table, self._on_change = table, on_change
        self._node: Any = None
        self._model: Mapping[str, Any] | None = None
        self._keys: list[str] = []
        self._left_out: set[str] = set()  # names of the structures that are not ticked, here and in the next case
        self._observers = Observers()
        self._filling = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", self.fill)
        header = table.horizontalHeader()
        header.setSectionResizeMode(STRUCTURE, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(VOLUME, qt.QHeaderView.ResizeToContents)
        table.verticalHeader().hide()
        table.connect("itemChanged(QTableWidgetItem*)", self._ticked)
        self.fill()

    @property
    def chosen(self) -> list[str]:
        """Ids of the segments that are ticked, have a contour, and are of the model's structures."""
        boxes = [self._table.item(row, STRUCTURE) for row in range(len(self._keys))]
        return [key for key, box in zip(self._keys, boxes, strict=True) if box.checkState() == qt.Qt.Checked]

    def show(self, node: Any, model: Mapping[str, Any] | None) -> None:
        """Show these segments for this model; nothing without either."""
        if node is not self._node:
            self.stop()
            self._node = node
            if node is not None:
                self._observers.add(node.GetSegmentation(), vtk.vtkCommand.AnyEvent, self._changed)
        elif model is self._model:
            return
        self._model = model
        self.fill()

    def stop(self) -> None:
        """Follow the node no longer."""
        self._timer.stop()
        self._observers.stop()

    def fill(self) -> None:
        """Write the rows."""
        node = self._node if self._node is not None and self._node.GetScene() is not None else None
        known = {} if node is None or self._model is None else segments_of_model(node, self._model)
        volumes = volumes_ml(node) if known else {}
        self._keys = list(known)
        self._filling = True
        self._table.setRowCount(len(known))
        for row, (key, is_known) in enumerate(known.items()):
            name = node.GetSegmentation().GetSegment(key).GetName()
            box = qt.QTableWidgetItem(name)
            teaches = is_known and volumes[key] > 0
            box.setCheckState(qt.Qt.Checked if teaches and name not in self._left_out else qt.Qt.Unchecked)
            if not teaches:
                box.setFlags(qt.Qt.NoItemFlags)
            reason = "" if is_known else _("{model} has no structure of this name.").format(model=self._model["title"])
            box.setToolTip(reason or ("" if teaches else _("It has no contour, so it stays unknown in this case.")))
            amount = qt.QTableWidgetItem(volume_text(volumes[key]))
            amount.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(row, STRUCTURE, box)
            self._table.setItem(row, VOLUME, amount)
        fit_rows(self._table, MOST_ROWS)
        self._filling = False
        self._on_change()

    def _ticked(self, item: Any) -> None:
        if self._filling or item.column() != STRUCTURE:
            return
        name = str(item.text())
        if item.checkState() == qt.Qt.Checked:
            self._left_out.discard(name)
        else:
            self._left_out.add(name)
        self._on_change()

    def _changed(self, *_: Any) -> None:
        self._timer.start()
