"""The tables of an evaluation: every case as CSV, a summary for each structure as CSV and Markdown.

A case that several runs measured (seeds) counts once, with its mean over them. Means leave out what is undefined (see
measures.py), and the columns found, missed, false_positive, absent and unknown count the cases in each state.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.errors import InputError, SettingError
from Training.evaluation.comparing import Comparison, Values, interval
from Training.evaluation.measures import (
    NUMBERS,
    SHARED,
    STATES,
    UNKNOWN,
    Measures,
    mean_of,
    mean_over_structures,
    value_of,
)

CASE_COLUMNS = tuple(f.name for f in fields(Measures))
SUMMARY_COLUMNS = (
    "structure", "cases", *(state.replace(" ", "_") for state in STATES),
    *(f"{number}_{part}" for number in NUMBERS for part in ("mean", "sd", "median")), "dice_low", "dice_high",
)  # fmt: skip
ALL = "mean of structures"
"""The row of all structures together: the mean of their means, so that each counts the same however many cases know it.
Its standard deviation is between the cases' own means, over the structures that each defines; these are also compared
between models."""

UNITS = {"hd95_mm": "HD95 (mm)", "asd_mm": "ASD (mm)", "dice": "Dice"}


@dataclass(frozen=True)
class Summary:
    """A structure over all cases.

    Attributes:
        structure: its name, or `ALL`.
        cases: how many know it, whatever their state else.
        found, missed, false_positive, absent, unknown: how often, over all runs; None for `ALL`.
        mean, sd, median: of each measure by its name; the standard deviation is between cases (n - 1), NaN for one. The
            median of `ALL` is NaN.
        low, high: 95 % bootstrap interval of the mean Dice.
    """

    structure: str
    cases: int
    found: int | None
    missed: int | None
    false_positive: int | None
    absent: int | None
    unknown: int | None
    mean: dict[str, float]
    sd: dict[str, float]
    low: float
    high: float
    median: dict[str, float] = field(default_factory=dict)


def values_by_case(results: Sequence[Measures], structure: str, number: str) -> Values:
    """One measure of one structure, or of `ALL`, by case: its mean over runs, NaN where it is undefined in all."""
    by_run: dict[str, dict[str, float]] = {}
    for run in dict.fromkeys(one.run for one in results):
        own = [one for one in results if one.run == run]
        if structure == ALL:
            by_run[run] = mean_over_structures(own, number)
        else:
            by_run[run] = {one.case: value_of(one, number) for one in own if one.structure == structure}
    cases = dict.fromkeys(case for values in by_run.values() for case in values)
    return {case: mean_of([values[case] for values in by_run.values() if case in values]) for case in cases}


def structures_of(results: Sequence[Measures]) -> list[str]:
    """The structures' names in the order of their first mention; `ALL` last where there are several."""
    names = list(dict.fromkeys(one.structure for one in results))
    return [*names, ALL] if len(names) > 1 else names


def summarise(results: Sequence[Measures]) -> list[Summary]:
    """A summary of each structure, and of `ALL` where there are several."""
    summaries = []
    for structure in structures_of(results):
        own = [one for one in results if structure in (one.structure, ALL)]
        mean, sd, median = {}, {}, {}
        for number in NUMBERS:
            defined = _defined(values_by_case(results, structure, number))
            mean[number] = mean_of(defined) if structure != ALL else mean_of_structures(results, number)
            sd[number] = float(np.std(defined, ddof=1)) if len(defined) > 1 else math.nan
            median[number] = float(np.median(defined)) if defined and structure != ALL else math.nan
        counts = [sum(one.state == state for one in own) if structure != ALL else None for state in STATES]
        cases = len({one.case for one in own if one.state != UNKNOWN})
        summaries.append(Summary(structure, cases, *counts, mean, sd, *_interval(results, structure), median))
    return summaries


def mean_of_structures(results: Sequence[Measures], number: str) -> float:
    """The mean of the structures' means of a measure, over those that are defined in some case; NaN without any."""
    structures = dict.fromkeys(one.structure for one in results)
    return mean_of([mean_of(list(values_by_case(results, s, number).values())) for s in structures])


def _defined(values: Values) -> list[float]:
    return [value for value in values.values() if not math.isnan(value)]


def _interval(results: Sequence[Measures], structure: str) -> tuple[float, float]:
    """95 % interval over cases of a structure's mean Dice; of `ALL`, of the mean of the structures' means."""
    if structure != ALL:
        return interval(_defined(values_by_case(results, structure, "dice")))
    columns = [values_by_case(results, one, "dice") for one in structures_of(results) if one != ALL]
    cases = list(dict.fromkeys(case for column in columns for case in column))
    table = np.array([[column.get(case, math.nan) for column in columns] for case in cases])
    table = table[~np.isnan(table).all(axis=1)]
    table = table[:, ~np.isnan(table).all(axis=0)]

    def statistic(drawn: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        chosen = table[np.moveaxis(drawn, axis, -1).astype(int)]  # (..., cases, structures)
        there = ~np.isnan(chosen)
        count = there.sum(axis=-2)
        means = np.where(there, chosen, 0).sum(axis=-2) / np.where(count, count, math.nan)
        return np.nanmean(means, axis=-1)

    return interval(range(len(table)), statistic)


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as CSV: numbers to six digits, empty cells for what is undefined."""

    def cell(value: object) -> object:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.6g}"
        return "" if value is None else value

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return table.getvalue()


def cases_csv(results: Sequence[Measures]) -> str:
    """Every measure of every case; `read_cases` reads it back."""
    return csv_text(CASE_COLUMNS, [[getattr(one, name) for name in CASE_COLUMNS] for one in results])


def read_cases(path: Path) -> list[Measures]:
    """The measures that a cases.csv holds.

    Raises:
        InputError: it cannot be read, or is not such a table.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        results = []
        for row in rows:
            there = [name for name in NUMBERS if name in row or name not in SHARED]
            numbers = {name: float(row[name]) if row[name] else math.nan for name in there}
            results.append(Measures(row["case"], row["structure"], row["state"], run=row["run"], **numbers))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its path") from None
    except (KeyError, ValueError, TypeError, SettingError) as error:
        raise InputError(f"{path} is not a table of cases ({error!r})", "give a cases.csv of an evaluation") from None
    if not results:
        raise InputError(f"{path} holds no case", "evaluate again")
    return results


def summary_csv(summaries: Sequence[Summary]) -> str:
    """The summaries, all measures with mean and standard deviation."""
    return csv_text(SUMMARY_COLUMNS, [_summary_row(s) for s in summaries])


def models_csv(models: Mapping[str, Sequence[Measures]]) -> str:
    """The summaries of several models."""
    rows = [[name, *_summary_row(s)] for name, results in models.items() for s in summarise(results)]
    return csv_text(("model", *SUMMARY_COLUMNS), rows)


def _summary_row(s: Summary) -> list[object]:
    numbers = [part[number] for number in NUMBERS for part in (s.mean, s.sd, s.median)]
    return [s.structure, s.cases, s.found, s.missed, s.false_positive, s.absent, s.unknown, *numbers, s.low, s.high]


def summary_markdown(summaries: Sequence[Summary]) -> str:
    """Mean (SD) of each measure by structure, as the paper's Table 2 has them, and what the means leave out."""
    header = ["structure", "cases", "Dice", "95 % CI", "HD95 (mm)", "median HD95 (mm)", "ASD (mm)"]
    header += ["sensitivity", "specificity"]
    header += ["true (mL)", "found (mL)", "Dice, shared slices", "median HD95, shared slices (mm)"]
    header += ["missed", "false positive", "absent"]
    partial = any(s.unknown for s in summaries)
    header += ["unknown"] if partial else []
    rows = []
    for s in summaries:
        cells = {number: mean_sd(s, number) for number in NUMBERS}
        span = "–" if math.isnan(s.low) else f"{s.low:.3f} to {s.high:.3f}"
        states = (s.missed, s.false_positive, s.absent, *((s.unknown,) if partial else ()))
        counts = ["" if n is None else str(n) for n in states]
        half, shared_half = (_median(s, number) for number in ("hd95_mm", "hd95_shared_mm"))
        others = [cells[number] for number in NUMBERS if number not in ("dice", "hd95_mm", *SHARED)]
        own = [cells["dice"], span, cells["hd95_mm"], half, *others, cells["dice_shared"], shared_half]
        rows.append([s.structure, str(s.cases), *own, *counts])
    return markdown(header, rows)


def _median(summary: Summary, number: str) -> str:
    middle = summary.median[number]
    return "–" if math.isnan(middle) else f"{middle:.1f}"


def models_markdown(models: Mapping[str, Sequence[Measures]], number: str = "dice") -> str:
    """A row for each model, a column for each structure: mean (SD) of one measure, as the paper's Tables 1 and 2."""
    structures = list(dict.fromkeys(s for results in models.values() for s in structures_of(results)))
    rows = []
    for name, results in models.items():
        summaries = {summary.structure: summary for summary in summarise(results)}
        rows.append([name, *(mean_sd(summaries[s], number) if s in summaries else "–" for s in structures)])
    return markdown([f"{UNITS.get(number, number)}, mean (SD)", *structures], rows)


def comparison_rows(comparisons: Sequence[Comparison]) -> tuple[list[str], list[list[object]]]:
    """Header and rows of a comparison, for CSV."""
    columns = [f.name for f in fields(Comparison)]
    return columns, [[getattr(one, name) for name in columns] for one in comparisons]


def comparison_markdown(comparisons: Sequence[Comparison]) -> str:
    """The differences, their intervals, and p values."""
    rows = [
        [f"{c.second} − {c.first}", c.structure, str(c.pairs), str(c.unpaired),
         "–" if math.isnan(c.difference) else f"{c.difference:+.4f}",
         "–" if math.isnan(c.low) else f"{c.low:+.4f} to {c.high:+.4f}", p_text(c.p), p_text(c.p_corrected)]
        for c in comparisons
    ]  # fmt: skip
    return markdown(["", "structure", "pairs", "unpaired", "difference", "95 % CI", "p", "p, Holm"], rows)


def mean_sd(summary: Summary, number: str) -> str:
    """`0.884 (0.033)`; a dash where nothing defines it."""
    mean, sd = summary.mean[number], summary.sd[number]
    if math.isnan(mean):
        return "–"
    digits = 2 if number.endswith(("_mm", "_ml")) else 3
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ({sd:.{digits}f})")


def p_text(p: float) -> str:
    """A p value to two digits, none below 0.0001."""
    return "–" if math.isnan(p) else "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are set to the right."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
