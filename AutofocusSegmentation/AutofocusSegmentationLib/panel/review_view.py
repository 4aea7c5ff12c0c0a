"""The list of places to check: go to the next one, tick what is done."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from AutofocusSegmentationLib.panel.rows import fit_rows
from AutofocusSegmentationLib.scene.review_points import update_points
from AutofocusSegmentationLib.scene.review_record import places_of, set_done, to_ras

PLACE, AMOUNT = range(2)
MOST_ROWS = 3  # that are in sight at once


class ReviewView:
    """Shows the places of one segmentation node.

    Args:
        ui: the panel's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._table = ui.placesTable
        self._node: Any = None
        self._current = -1
        self._filling = False
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(PLACE, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(AMOUNT, qt.QHeaderView.ResizeToContents)
        self._table.verticalHeader().hide()
        self._table.connect("cellClicked(int,int)", lambda row, column: self.go_to(row))
        self._table.connect("itemChanged(QTableWidgetItem*)", self._ticked)
        ui.nextPlaceButton.connect("clicked(bool)", lambda checked=False: self.next())
        ui.donePlaceButton.connect("clicked(bool)", lambda checked=False: self.done())
        self.show(None)

    def show(self, node: Any) -> None:
        """Show the places of a segmentation node, or nothing."""
        self._node, self._current = node, -1
        places = places_of(node)
        self._filling = True
        self._table.setRowCount(len(places))
        for row, place in enumerate(places):
            name = qt.QTableWidgetItem(f"{row + 1}  {place['structure']}")
            name.setCheckState(qt.Qt.Checked if place.get("done") else qt.Qt.Unchecked)
            amount = qt.QTableWidgetItem(f"{place['volume_ml']:.2f}")
            amount.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(row, PLACE, name)
            self._table.setItem(row, AMOUNT, amount)
        self._filling = False
        shown = fit_rows(self._table, MOST_ROWS)
        for widget in (self._ui.nextPlaceButton, self._ui.donePlaceButton):
            widget.visible = shown
        self._ui.donePlaceButton.enabled = False

    def go_to(self, row: int) -> None:
        """Let all slice views show a place."""
        places = places_of(self._node)
        if not 0 <= row < len(places):
            return
        self._current = row
        self._table.selectRow(row)
        self._ui.donePlaceButton.enabled = True
        world = [0.0, 0.0, 0.0]
        self._node.TransformPointToWorld(to_ras(places[row]["position_mm"]), world)
        centred = slicer.vtkMRMLSliceNode.CenteredJumpSlice
        slicer.vtkMRMLSliceNode.JumpAllSlices(self._node.GetScene(), *world, centred)

    def next(self) -> None:
        """Go to the next place that is not done, from the first again after the last."""
        places = places_of(self._node)
        order = [(self._current + step) % len(places) for step in range(1, len(places) + 1)] if places else []
        waiting = [row for row in order if not places[row].get("done")]
        if waiting:
            self.go_to(waiting[0])

    def done(self) -> None:
        """Tick the place that is shown, and go on."""
        if self._current >= 0:
            self._table.item(self._current, PLACE).setCheckState(qt.Qt.Checked)
            self.next()

    def _ticked(self, item: Any) -> None:
        if not self._filling and item.column() == PLACE and self._node is not None:
            set_done(self._node, item.row(), item.checkState() == qt.Qt.Checked)
            update_points(self._node)
