"""The two tables of a batch: results.csv, a row per case, and failures.csv, a row per case that failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from AutofocusCore.batch.summary import estimates_of, to_check, write_summary
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.texts import csv_cell

RESULTS = "results.csv"
FAILURES = "failures.csv"


def write_tables(
    folder: Path, names: Sequence[str], outcomes: Mapping[str, Mapping[str, Any]], structures: Sequence[str]
) -> None:
    """Write both tables, with the cases in the cohort's order.

    Args:
        folder: folder of the tables.
        names: all cases.
        outcomes: the worker's answer ("type" "result" or "error") by case; cases without one are pending.
        structures: names of the model's structures, with a column of volumes each, and of estimates, if any.
    """
    results, failures = io.StringIO(), io.StringIO()
    table = csv.writer(results, lineterminator="\n")
    titles = ["case", "status", "seconds", "device", "warnings", *(f"{name} (mL)" for name in structures)]
    reviewed = any(estimates_of(outcome) for outcome in outcomes.values())
    if reviewed:
        titles += ["to check", *(f"{name} (estimated Dice)" for name in structures)]
    table.writerow(map(csv_cell, titles))
    blank = [""] * (len(titles) - 2)
    failed = csv.writer(failures, lineterminator="\n")
    failed.writerow(["case", "code", "cause", "remedy"])
    for name in names:
        outcome = outcomes.get(name)
        if outcome is None:
            table.writerow([csv_cell(name, name=True), "pending", *blank])
        elif outcome["type"] == "error":
            table.writerow([csv_cell(name, name=True), "failed", *blank])
            failed.writerow(
                csv_cell(c, name=True) for c in (name, outcome["code"], outcome["cause"], outcome["remedy"])
            )
        else:
            volumes = [f"{outcome['volumes_ml'][s]:.4f}" if s in outcome["volumes_ml"] else "" for s in structures]
            seconds, warnings = f"{outcome['seconds_total']:.1f}", " ".join(outcome["warnings"])
            estimates = estimates_of(outcome)
            dice = [f"{estimates[s]['dice']:.3f}" if s in estimates else "" for s in structures]
            more = [csv_cell("; ".join(to_check(outcome))), *dice] if reviewed else []
            first = [csv_cell(name, name=True), "done", *map(csv_cell, (seconds, outcome["device"], warnings))]
            table.writerow([*first, *volumes, *more])
    with Staging() as staging:
        for file, content in ((RESULTS, results), (FAILURES, failures)):
            data = content.getvalue().encode("utf-8", "backslashreplace")  # file names may not be Unicode
            staging.aside(folder / file).write_bytes(data)
    write_summary(folder, names, outcomes, structures)
