"""The table of two results compared: volumes of both, overlap, distance of the surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.rows import fill_figures, prepare_figures
from AutofocusSegmentationLib.panel.segments_table import volume_text

MOST_ROWS = 8  # that are in sight at once
UNKNOWN = "-"


class ComparisonTable:
    """Shows the worker's answer to "compare".

    Args:
        table: the QTableWidget.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        prepare_figures(table)
        self.fill([])

    def fill(self, rows: Sequence[dict[str, Any]]) -> None:
        """Show these structures; the table goes where there are none."""
        fill_figures(self._table, [(_cells(row), _told(row)) for row in rows], MOST_ROWS)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    volumes = (_volume(row["first_ml"]), _volume(row["second_ml"]))
    return (row["structure"], *volumes, _number(row["dice"], 2), _number(row["mean_distance_mm"], 1))


def _told(row: dict[str, Any]) -> str:
    parts = [str(row["structure"])]
    if row["change_ml"] is not None:
        share = "" if row["change_percent"] is None else f" ({row['change_percent']:+.1f} %)"
        parts.append(_("change {amount} mL{share}").format(amount=f"{row['change_ml']:+.2f}", share=share))
    if row["mean_distance_mm"] is not None:
        distance = _("surfaces {mean:.1f} mm apart in the mean; 95 of 100 points less than {most:.1f} mm")
        parts.append(distance.format(mean=row["mean_distance_mm"], most=row["hd95_mm"]))
    return "; ".join(parts) + "."


def _volume(value: float | None) -> str:
    return UNKNOWN if value is None else volume_text(value)


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
