"""Tables of the panel are as high as their rows, so that nothing below is pushed out of sight without need.

Tables of figures have names in their first column, and figures, to the right, in the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt


def fit_rows(table: Any, most: int) -> bool:
    """Make a QTableWidget as high as its rows, and hide it without any; returns whether it is shown.

    Args:
        table: the table.
        most: rows that are in sight at once; further ones are scrolled to.
    """
    line = table.fontMetrics().height() + 7
    table.verticalHeader().setDefaultSectionSize(line)
    shown = min(int(table.rowCount), most)
    table.setFixedHeight(line * shown + table.horizontalHeader().sizeHint.height() + 4)
    table.visible = shown > 0
    return shown > 0


def prepare_figures(table: Any) -> None:
    """Let the names of a table of figures take the room that the figures leave; rows have no numbers."""
    header = table.horizontalHeader()
    for column in range(int(table.columnCount)):
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch)
    table.verticalHeader().hide()


def fill_figures(table: Any, rows: Sequence[tuple[Sequence[str], str]], most: int) -> None:
    """Write the rows of a table of figures.

    Args:
        table: the table.
        rows: the texts of each row's cells, and its tool tip.
        most: as for `fit_rows`.
    """
    table.setRowCount(len(rows))
    for number, (texts, tip) in enumerate(rows):
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            if column:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            item.setToolTip(tip)
            table.setItem(number, column, item)
    fit_rows(table, most)
