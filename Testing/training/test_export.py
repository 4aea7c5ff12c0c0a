"""A run becomes a bundle whose card says how good it is."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.models import load_bundle
from Training.configuration.config import load_config
from Training.evaluate import measure_run
from Training.evaluation.tables import cases_csv
from Training.export import export, figures_of


def test_the_card_tells_accuracy_by_structure_and_counts_what_is_undefined(
    balls_config: Path, balls_run: Path, tmp_path: Path
) -> None:
    config = load_config(balls_config)
    mean = export(config, balls_run, tmp_path / "balls")
    spec = load_bundle(tmp_path / "balls").spec
    assert spec.dice == mean
    assert [row["structure"] for row in spec.figures["structures"]] == ["Bladder", "Prostate"]
    prostate = spec.figures["structures"][1]
    assert prostate["false positive"] + prostate["absent"] == 1  # the last case has none
    assert spec.figures["cases_measured"] == 3
    log = spec.figures["log_of_training"]
    assert log[0]["steps"].startswith("1 to ")
    assert (
        log[-1]["steps"].endswith(f" to {spec.figures['steps_trained']}") or len(log) == spec.figures["steps_trained"]
    )
    assert all(row["mean loss"] > 0 for row in log)
    assert "Prostate" not in spec.figures["cases"][2]
    card = (tmp_path / "balls" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "### structures" in card
    assert "HD95 mm" in card or "missed" in card


def test_the_card_may_take_the_figures_of_a_cross_validation(
    balls_config: Path, balls_run: Path, tmp_path: Path
) -> None:
    config = load_config(balls_config)
    results = measure_run(config, balls_run, say=lambda text: None)
    first, second = tmp_path / "cases.csv", tmp_path / "second.csv"
    first.write_text(cases_csv(results[:2]), encoding="utf-8")
    second.write_text(cases_csv(results[2:]), encoding="utf-8")
    export(config, balls_run, tmp_path / "balls", cases=[first, second], note="Cross-validation over all cases")
    figures = json.loads((tmp_path / "balls" / "configs" / "metadata.json").read_text(encoding="utf-8"))["autofocus"][
        "figures"
    ]
    assert figures["measured"] == "Cross-validation over all cases"
    assert figures["cases_measured"] == 3
    assert [row["case"] for row in figures["cases"]] == ["ball_4", "ball_5", "ball_6"]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [([slice(0, 1)], "do not agree on Prostate"), ([slice(0, 4), slice(2, 4)], r"holds ball_5, as a table before it")],
    ids=["a structure too few", "a case twice"],
)
def test_figures_that_do_not_fit_the_model_or_each_other_are_refused(
    balls_config: Path, balls_run: Path, tmp_path: Path, parts: list[slice], sentence: str
) -> None:
    config = load_config(balls_config)
    results = measure_run(config, balls_run, say=lambda text: None)
    tables = [tmp_path / f"{number}.csv" for number in range(len(parts))]
    for table, part in zip(tables, parts, strict=True):
        table.write_text(cases_csv(results[part]), encoding="utf-8")
    with pytest.raises(SettingError, match=sentence):
        export(config, balls_run, tmp_path / "balls", cases=tables)
    assert not (tmp_path / "balls").exists()


def test_figures_can_be_written_as_json_whatever_is_undefined(balls_config: Path, balls_run: Path) -> None:
    config = load_config(balls_config)
    results = [one for one in measure_run(config, balls_run, say=lambda text: None) if one.case == "ball_6"]
    json.dumps(figures_of(results, config.model), allow_nan=False)


def test_a_licence_without_its_text_is_refused_before_anything_is_measured(
    balls_config: Path, balls_run: Path, tmp_path: Path
) -> None:
    config = load_config(balls_config, ['model.licence="GPL-2.0"'])
    with pytest.raises(SettingError, match=r"licence GPL-2\.0 is not available"):
        export(config, balls_run, tmp_path / "balls")


def test_a_licence_of_ones_own_is_given_as_a_file(balls_config: Path, balls_run: Path, tmp_path: Path) -> None:
    config = load_config(balls_config, ['model.licence="LicenseRef-own"'])
    (tmp_path / "own.txt").write_text("Do as you like.\n", encoding="utf-8")
    export(config, balls_run, tmp_path / "balls", licence=tmp_path / "own.txt")
    assert (tmp_path / "balls" / "LICENSE").read_text(encoding="utf-8") == "Do as you like.\n"
    with pytest.raises(InputError, match=r"none\.txt cannot be read"):
        export(config, balls_run, tmp_path / "other", licence=tmp_path / "none.txt")


def test_figures_that_were_undefined_while_watching_do_not_stop_the_export(
    balls_config: Path, balls_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(balls_run, run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    lines[-1]["watched_dice"] = [math.nan, 0.5]  # as runs of before wrote where no watched case had the structure
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    export(load_config(balls_config), run, tmp_path / "balls")
    assert load_bundle(tmp_path / "balls").spec.figures["log_of_training"][-1]["watched Dice"] == [None, 0.5]


def test_a_run_without_a_checkpoint_is_named(balls_config: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no checkpoint"):
        export(load_config(balls_config), tmp_path, tmp_path / "balls")
