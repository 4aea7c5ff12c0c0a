"""Tables of the panel are as high as their rows, so that nothing below is pushed out of sight without need."""

from __future__ import annotations

from typing import Any


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
