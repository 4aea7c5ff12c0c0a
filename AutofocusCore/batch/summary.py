"""The summary page of a batch: one HTML file with a row for each case, outliers first, sortable by every column.

An outlier has a contour with a low estimate of quality, or a volume far from the others' of this cohort (in median
absolute deviations of its logarithm, as if they were standard deviations).
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from AutofocusCore.io.atomic import Staging

SUMMARY = "summary.html"
ODD = 3.0
"""A volume this many deviations from the median is an outlier."""
FEWEST_CASES = 5
LEAST_DEVIATION = 0.05

SORTING = """<script>
for (const th of document.querySelectorAll("th[data-sort]")) th.onclick = () => {
  const table = th.closest("table"), column = th.cellIndex, rows = [...table.rows].slice(1);
  const down = th.dataset.sort = th.dataset.sort === "up" ? "down" : "up";
  const value = row => { const v = row.cells[column].dataset.v; return v === "" ? NaN : isNaN(v) ? v : Number(v) };
  rows.sort((a, b) => { const x = value(a), y = value(b), e = Number.isNaN(x) - Number.isNaN(y);
    return e || (x > y ? 1 : x < y ? -1 : 0) * (down === "up" ? 1 : -1) });
  rows.forEach(row => table.tBodies[0].append(row));
};
</script>"""


def write_summary(
    folder: Path, names: Sequence[str], outcomes: Mapping[str, Mapping[str, Any]], structures: Sequence[str]
) -> None:
    """Write the page.

    Args:
        folder: of the batch.
        names: all cases.
        outcomes: by case, as a worker answers.
        structures: names of the model's structures.
    """
    from AutofocusCore.jobs.page import page

    odd = odd_volumes(names, outcomes, structures)
    order = sorted(names, key=lambda name: _rank(outcomes.get(name), odd.get(name, {})))
    titles = ["Case", "Status", "To check", "Lowest estimate", "Most unusual volume"]
    titles += [f"{name} (mL)" for name in structures] + [f"{name} (estimated Dice)" for name in structures]
    head = "".join(f'<th data-sort="">{html.escape(title)}</th>' for title in titles)
    rows = "\n".join(_row(name, outcomes.get(name), odd.get(name, {}), structures) for name in order)
    done = sum(outcome["type"] == "result" for outcome in outcomes.values())
    note = f"{done} of {len(names)} cases are done. Outliers come first; click a title to sort by it."
    parts = [
        "<h1>Summary of the batch</h1>",
        f'<p class="note">{note}</p>',
        f"<table><tbody><tr>{head}</tr>\n{rows}</tbody></table>",
        SORTING,
    ]
    with Staging() as staging:
        data = page("Summary of the batch", parts).encode("utf-8", "backslashreplace")
        staging.aside(folder / SUMMARY).write_bytes(data)


def odd_volumes(
    names: Sequence[str], outcomes: Mapping[str, Mapping[str, Any]], structures: Sequence[str]
) -> dict[str, dict[str, float]]:
    """By case and structure, how far its volume is from the cohort's median; none for fewer than five cases."""
    found: dict[str, dict[str, float]] = {}
    for structure in structures:
        logs = {}
        for name in names:
            outcome = outcomes.get(name)
            volume = outcome["volumes_ml"].get(structure, 0.0) if outcome and outcome["type"] == "result" else 0.0
            if volume > 0:
                logs[name] = math.log(volume)
        if len(logs) < FEWEST_CASES:
            continue
        middle = median(logs.values())
        deviation = max(1.4826 * median(abs(value - middle) for value in logs.values()), LEAST_DEVIATION)
        for name, value in logs.items():
            found.setdefault(name, {})[structure] = (value - middle) / deviation
    return found


def estimates_of(outcome: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """The estimates of a case's outcome, by structure; those there are."""
    review = (outcome or {}).get("review") or {}
    return {name: estimate for name, estimate in (review.get("estimates") or {}).items() if estimate is not None}


def to_check(outcome: Mapping[str, Any] | None) -> list[str]:
    """The structures of a case whose contours are among the quarter to check first."""
    return [name for name, estimate in estimates_of(outcome).items() if estimate["check"]]


def _rank(outcome: Mapping[str, Any] | None, odd: Mapping[str, float]) -> tuple[float, ...]:
    """What is sorted by: failures, then results by the oddness of their worst structure, then what is pending."""
    if outcome is None:
        return (2, 0.0, 0.0)
    if outcome["type"] == "error":
        return (0, 0.0, 0.0)
    estimates = estimates_of(outcome)
    lowest = min((float(one["dice"]) for one in estimates.values()), default=1.0)
    oddest = max((abs(value) for value in odd.values()), default=0.0)
    return (1, -float(len(to_check(outcome)) + sum(abs(value) > ODD for value in odd.values())), lowest - oddest / 100)


def _row(name: str, outcome: Mapping[str, Any] | None, odd: Mapping[str, float], structures: Sequence[str]) -> str:
    if outcome is None or outcome["type"] == "error":
        status = "pending" if outcome is None else f"failed: {outcome['cause']}"
        return f"<tr>{_cell(name)}{_cell(status)}{_cell('') * (3 + 2 * len(structures))}</tr>"
    estimates = estimates_of(outcome)
    lowest = min((float(one["dice"]) for one in estimates.values()), default=None)
    oddest = max(odd.items(), key=lambda item: abs(item[1]), default=None)
    is_odd = oddest is not None and abs(oddest[1]) > ODD
    odd_text = "" if oddest is None else f"{oddest[0]} ({oddest[1]:+.1f})"
    cells = [
        _cell(name),
        _cell("done" if not outcome["warnings"] else "done, with warnings"),
        _cell(", ".join(to_check(outcome)), marked=True),
        _cell("" if lowest is None else f"{lowest:.2f}"),
        _cell(odd_text, value="" if oddest is None else abs(oddest[1]), marked=is_odd),
    ]
    cells += [_cell(f"{outcome['volumes_ml'].get(s, 0.0):.2f}") for s in structures]
    cells += [
        _cell(f"{estimates[s]['dice']:.2f}" if s in estimates else "", marked=s in to_check(outcome))
        for s in structures
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str, *, value: object = None, marked: bool = False) -> str:
    shown = html.escape(text)
    inner = f'<span class="check">{shown}</span>' if marked and text else shown
    return f'<td data-v="{html.escape(str(text if value is None else value))}">{inner}</td>'
