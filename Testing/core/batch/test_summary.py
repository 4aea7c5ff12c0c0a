from __future__ import annotations

import csv
import re
from pathlib import Path

from AutofocusCore.batch.summary import odd_volumes
from AutofocusCore.batch.tables import write_tables

STRUCTURES = ["Liver", "Spleen"]


def outcome(liver: float, dice: float | None = 0.9, *, check: bool = False) -> dict:
    estimate = None if dice is None else {"dice": dice, "low": dice - 0.1, "high": dice + 0.05, "check": check}
    return {
        "type": "result",
        "volumes_ml": {"Liver": liver, "Spleen": 200.0},
        "seconds_total": 3.0,
        "device": "cpu",
        "warnings": [],
        "review": {"estimates": {"Liver": estimate, "Spleen": None}},
    }


def cohort() -> tuple[list[str], dict[str, dict]]:
    outcomes = {f"p{i}": outcome(1500 + 10 * i) for i in range(6)}
    outcomes["tiny"] = outcome(150)
    outcomes["doubtful"] = outcome(1500, 0.4, check=True)
    outcomes["broken <b>"] = {"type": "error", "code": "input", "cause": "no image", "remedy": "give one"}
    return [*outcomes, "waiting"], outcomes


def test_failures_and_outliers_come_first_on_the_summary_page(tmp_path: Path) -> None:
    names, outcomes = cohort()
    write_tables(tmp_path, names, outcomes, STRUCTURES)
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    order = re.findall(r'<tr><td data-v="([^"]*)"', page)
    assert order[0] == "broken &lt;b&gt;"
    assert set(order[1:3]) == {"tiny", "doubtful"}
    assert order[-1] == "waiting"
    assert 'class="check">Liver</span>' in page
    assert "http" not in page


def test_estimates_have_columns_in_the_table_of_results(tmp_path: Path) -> None:
    names, outcomes = cohort()
    write_tables(tmp_path, names, outcomes, STRUCTURES)
    rows = {row["case"]: row for row in csv.DictReader((tmp_path / "results.csv").open(encoding="utf-8"))}
    assert rows["doubtful"]["Liver (estimated Dice)"] == "0.400"
    assert rows["doubtful"]["to check"] == "Liver"
    assert rows["p1"]["Spleen (estimated Dice)"] == ""


def test_without_estimates_the_table_is_as_it_was(tmp_path: Path) -> None:
    write_tables(tmp_path, ["a"], {"a": outcome(5, None)}, STRUCTURES)
    header = (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "case,status,seconds,device,warnings,Liver (mL),Spleen (mL)"


def test_a_volume_is_odd_only_among_at_least_five() -> None:
    names, outcomes = cohort()
    assert abs(odd_volumes(names, outcomes, STRUCTURES)["tiny"]["Liver"]) > 3
    assert odd_volumes(names[:4], outcomes, STRUCTURES) == {}
