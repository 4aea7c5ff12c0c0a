"""The table of a taught model: Dice of each structure before and after, and the sentence on what it was measured on."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from AutofocusCore.jobs.teach_check import has_drifted
from AutofocusSegmentationLib.panel.messages import amber, plain
from AutofocusSegmentationLib.panel.rows import fill_figures, prepare_figures

MOST_ROWS = 10  # that are in sight at once


class TaughtTable:
    """Shows the worker's answer to "teach".

    Args:
        table: the QTableWidget.
        label: a QLabel for the sentence.
    """

    def __init__(self, table: Any, label: Any) -> None:
        self._table, self._label = table, label
        prepare_figures(table)
        self.fill(None)

    def fill(self, answer: Mapping[str, Any] | None) -> None:
        """Show an answer; the table goes where there is none."""
        rows = [] if answer is None else answer["structures"]
        fill_figures(self._table, [(_cells(row), _told(row)) for row in rows], MOST_ROWS)
        self._label.text = "" if answer is None else _below(answer)
        self._label.visible = answer is not None


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    taught = str(row["lessons"]) if row["taught"] else "-"
    return (row["structure"], taught, *(_dice(row[key]) for key in ("before", "after", "agreement")))


def _below(answer: Mapping[str, Any]) -> str:
    """What the figures mean, and a warning of structures that changed although nobody taught them; rich text."""
    agreement = _(
        "Same as old: Dice between the contours of both models. Of what was not taught it should stay near 1."
    )
    told = f"{measured_on(answer)} {agreement}"
    changed = [
        f"{row['structure']} ({row['agreement']:.2f})"
        for row in answer["structures"]
        if has_drifted(row["taught"], row["agreement"])
    ]
    if not changed:
        return plain(told)
    warning = _("Not taught, but changed: {structures}. Look at their contours before you use the new model.")
    return f"<span>{html.escape(told)}</span><br>{amber([warning.format(structures=', '.join(changed))])}"


def measured_on(answer: Mapping[str, Any]) -> str:
    """What the figures of an answer were measured on."""
    if answer["held_out"]:
        return _(
            "Mean Dice on {count} not learned from: {names}. It also chose the best moment to stop, so the figures are "
            "a little too good."
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
