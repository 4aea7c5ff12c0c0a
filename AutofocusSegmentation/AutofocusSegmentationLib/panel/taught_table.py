"""The table of a taught model: Dice of each structure before and after, and the sentence on what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.rows import fit_rows

STRUCTURE, TAUGHT, BEFORE, AFTER, AGREEMENT = range(5)
MOST_ROWS = 10  # that are in sight at once


class TaughtTable:
    """Shows the worker's answer to "teach".

    Args:
        table: the QTableWidget.
        label: a QLabel for the sentence.
    """

    def __init__(self, table: Any, label: Any) -> None:
        self._table, self._label = table, label
        header = table.horizontalHeader()
        header.setSectionResizeMode(STRUCTURE, qt.QHeaderView.Stretch)
        for column in (TAUGHT, BEFORE, AFTER, AGREEMENT):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        table.verticalHeader().hide()
        self.fill(None)

    def fill(self, answer: Mapping[str, Any] | None) -> None:
        """Show an answer; the table goes where there is none."""
        rows = [] if answer is None else answer["structures"]
        self._table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            taught = str(row["lessons"]) if row["taught"] else "-"
            dice = [_dice(row[key]) for key in ("before", "after", "agreement")]
            for column, text in enumerate((row["structure"], taught, *dice)):
                item = qt.QTableWidgetItem(text)
                if column != STRUCTURE:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                item.setToolTip(_told(row))
                self._table.setItem(number, column, item)
        fit_rows(self._table, MOST_ROWS)
        self._label.text = "" if answer is None else measured_on(answer)
        self._label.visible = answer is not None


def measured_on(answer: Mapping[str, Any]) -> str:
    """What the figures of an answer were measured on."""
    if answer["held_out"]:
        return _(
            "Mean Dice on {count} not learned from: {names}. They also chose the best moment to stop, so the figures "
            "are a little too good."
        ).format(count=counted_cases(len(answer["held_out"])), names=", ".join(answer["held_out"]))
    return _(
        "Mean Dice on the cases that it was taught with, as there were too few to hold any out: the figures are too "
        "good. Collect four cases or more for an honest measurement."
    )


def _told(row: Mapping[str, Any]) -> str:
    parts = [
        _("measured on {cases}").format(cases=counted_cases(row["cases"])) if row["cases"] else _("contoured in none")
    ]
    if row["gain"] is not None:
        parts.append(_("change {gain:+.3f}").format(gain=row["gain"]))
    if row["agreement"] is not None:
        parts.append(_("Dice between old and new contours {dice:.3f}").format(dice=row["agreement"]))
    return f"{row['structure']}: {'; '.join(parts)}."


def counted_cases(count: int) -> str:
    """`1 case`, `2 cases`."""
    return _("1 case") if count == 1 else _("{count} cases").format(count=count)


def _dice(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
