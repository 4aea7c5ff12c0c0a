"""Tables: what they say of cases, runs and states, and that they read back."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from AutofocusCore.errors import InputError
from Training.evaluation.comparing import interval
from Training.evaluation.measures import Measures
from Training.evaluation.tables import (
    ALL,
    CASE_COLUMNS,
    cases_csv,
    comparison_markdown,
    models_markdown,
    p_text,
    read_cases,
    summarise,
    summary_csv,
    summary_markdown,
    values_by_case,
)

NAN = math.nan


def one(case: str, structure: str, dice: float, state: str = "found", run: str = "", hd95: float = 1.0) -> Measures:
    return Measures(case, structure, state, dice, hd95, 0.5, dice, 0.99, 2.0, 2.5, run)


RESULTS = [
    one("a", "Bladder", 0.9),
    one("b", "Bladder", 0.0, "missed", hd95=NAN),
    one("c", "Bladder", NAN, "false positive", hd95=NAN),
    one("d", "Bladder", NAN, "absent", hd95=NAN),
    one("a", "Rectum, upper", 0.7),
    one("b", "Rectum, upper", 0.8),
    one("c", "Rectum, upper", 0.6),
    one("d", "Rectum, upper", 0.5),
]


def test_undefined_values_leave_the_mean_and_enter_the_counts() -> None:
    bladder, rectum, whole = summarise(RESULTS)
    assert (bladder.cases, bladder.found, bladder.missed, bladder.false_positive, bladder.absent) == (4, 1, 1, 1, 1)
    assert bladder.mean["dice"] == pytest.approx(0.45)  # of 0.9 and 0, the missed one
    assert bladder.mean["hd95_mm"] == 1.0
    assert math.isnan(bladder.sd["hd95_mm"])
    assert rectum.sd["dice"] == pytest.approx(0.1290994)  # n - 1
    assert whole.structure == ALL
    assert whole.mean["dice"] == pytest.approx((0.45 + 0.65) / 2)  # each structure counts the same
    assert whole.sd["dice"] == pytest.approx(np.std([0.8, 0.4, 0.6, 0.5], ddof=1))  # between the cases' own means
    assert whole.low < whole.mean["dice"] < whole.high
    assert whole.missed is None


def test_what_was_not_contoured_enters_no_figure_and_is_counted() -> None:
    known = [one("a", "Bladder", 0.9), one("b", "Bladder", 0.5), one("a", "Rectum", 0.6)]
    bladder, rectum, whole = summarise(
        [*known, replace(one("b", "Rectum", NAN, "unknown", hd95=NAN), volume_found_ml=9.0)]
    )
    assert (rectum.cases, rectum.unknown, rectum.missed, rectum.false_positive) == (1, 1, 0, 0)
    assert (bladder.cases, bladder.unknown, whole.cases) == (2, 0, 2)
    assert rectum.mean["dice"] == 0.6
    assert rectum.mean["volume_found_ml"] == 2.5  # not what was found where nobody contoured
    assert whole.mean["dice"] == pytest.approx((0.7 + 0.6) / 2)
    table = summary_markdown([bladder, rectum, whole]).splitlines()
    assert table[0].endswith("| absent | unknown |")
    assert table[3].startswith("| Rectum | 1 |")
    assert table[3].endswith("| 0 | 0 | 0 | 1 |")
    assert "unknown" not in summary_markdown(summarise(known))


def test_the_interval_of_all_structures_is_that_of_the_mean_of_their_means() -> None:
    dice = np.random.default_rng(0).uniform(0.4, 0.9, (40, 2))
    results = [one(f"{i}", s, float(d)) for i, row in enumerate(dice) for s, d in zip("AB", row, strict=True)]
    whole = summarise(results)[-1]
    assert (whole.low, whole.high) == pytest.approx(interval(list(dice.mean(axis=1))))  # nothing is unknown
    partial = [o for o in results if o.structure == "A" or int(o.case) < 10]
    partial += [one(f"{i}", "B", NAN, "unknown") for i in range(10, 40)]
    half = summarise(partial)[-1]
    assert half.mean["dice"] == pytest.approx((dice[:, 0].mean() + dice[:10, 1].mean()) / 2)
    assert half.low < half.mean["dice"] < half.high
    assert half.high - half.low > whole.high - whole.low  # of fewer contours


def test_a_case_that_several_seeds_measured_counts_once() -> None:
    seeds = [one("a", "B", dice, run=f"seed {i}") for i, dice in enumerate((0.6, 0.8))] + [
        one("b", "B", 0.9, run="seed 0")
    ]
    assert values_by_case(seeds, "B", "dice") == {"a": pytest.approx(0.7), "b": 0.9}
    (summary,) = summarise(seeds)
    assert (summary.cases, summary.found) == (2, 3)
    assert summary.mean["dice"] == pytest.approx(0.8)


def test_the_mean_of_structures_is_taken_run_by_run() -> None:
    runs = [
        one("a", "B", 0.6, run="1"),
        one("a", "C", 0.8, run="1"),
        one("a", "B", 0.4, run="2"),
        one("a", "C", 0.2, run="2"),
    ]
    assert values_by_case(runs, ALL, "dice") == {"a": pytest.approx(0.5)}


def test_cases_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(cases_csv(RESULTS), encoding="utf-8")
    assert [str(r) for r in read_cases(path)] == [str(r) for r in RESULTS]  # as text, in which NaN equals NaN


def test_a_table_from_before_the_measures_of_shared_slices_is_read(tmp_path: Path) -> None:
    assert CASE_COLUMNS[-2:] == ("dice_shared", "hd95_shared_mm")
    path = tmp_path / "cases.csv"
    rows = csv.reader(io.StringIO(cases_csv(RESULTS)))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(row[:-2] for row in rows)
    found = read_cases(path)
    assert [one.dice for one in found if one.state == "found"] == [r.dice for r in RESULTS if r.state == "found"]
    assert all(math.isnan(one.dice_shared) for one in found)


@pytest.mark.parametrize(
    ("text", "why"),
    [("case,structure\na,B\n", "not a table of cases"), ("", "holds no case"), (None, "cannot be read")],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "cases.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=why):
        read_cases(path)


def test_a_state_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(cases_csv(RESULTS).replace("missed", "lost"), encoding="utf-8")
    with pytest.raises(InputError, match="lost"):
        read_cases(path)


def test_the_markdown_shows_mean_and_deviation_and_what_was_left_out() -> None:
    rows = summary_markdown(summarise(RESULTS)).splitlines()
    assert [cell.strip() for cell in rows[2].split("|")[1:4]] == ["Bladder", "4", "0.450 (0.636)"]
    assert rows[2].endswith("| 1 | 1 | 1 |")
    assert rows[4].endswith("|  |  |  |")


def test_the_summary_leaves_cells_of_the_undefined_empty() -> None:
    header, bladder, *_ = summary_csv(summarise(RESULTS)).splitlines()
    values = dict(zip(header.split(","), bladder.split(","), strict=True))
    assert (values["hd95_mm_mean"], values["hd95_mm_sd"], values["false_positive"]) == ("1", "", "1")


def test_models_with_different_structures_share_a_table() -> None:
    text = models_markdown({"basic": RESULTS[:4], "afn-1": RESULTS[4:]})
    assert "| basic | 0.450 (0.636) | – |" in text
    assert "| afn-1 | – | 0.650 (0.129) |" in text


def test_p_values_are_short() -> None:
    assert [p_text(p) for p in (NAN, 0.00001, 0.0312, 1.0)] == ["–", "< 0.0001", "0.031", "1"]
    assert comparison_markdown([]).count("\n") == 2


def test_the_median_distance_is_given_beside_the_mean_which_one_case_can_raise() -> None:
    results = [one(case, "Bladder", 0.9, hd95=distance) for case, distance in (("a", 2.0), ("b", 3.0), ("c", 40.0))]
    (summary,) = summarise(results)
    assert summary.mean["hd95_mm"] == pytest.approx(15.0)
    assert summary.median["hd95_mm"] == 3.0
    assert "| 3.0 |" in summary_markdown([summary])
