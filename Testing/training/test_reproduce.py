"""Whole tables: in a minute, interrupted, with parts that cannot be made, over seeds and folds."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

import Training.reproduce
from AutofocusCore.cli.networks import TABLE_3
from AutofocusCore.errors import InputError, SettingError
from Training.configuration.config import Config, load_config
from Training.configuration.experiments import experiments, folds_of, members
from Training.evaluate import measure_run
from Training.evaluation.measures import Measures
from Training.evaluation.parameter_tables import write_parameters
from Training.evaluation.tables import read_cases
from Training.preparing.data_list import CaseEntry, DataList, sha256_of
from Training.reproduce import reproduce

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def table(tmp_path: Path, balls_config: Path) -> Path:
    """A folder of two configurations and the base that both begin from."""
    folder = tmp_path / "balls-table"
    folder.mkdir()
    (folder / "base.toml").write_text(balls_config.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("afn-1", "basic"):
        text = f'base = "base.toml"\n[model.architecture]\narchitecture = "{name}"\n'
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def prepared(balls: Path, folder: Path, folds: int | None) -> Path:
    """The collection of six as `prepare.py` leaves it, in so many folds or in none."""
    for part in ("imagesTr", "labelsTr"):
        shutil.copytree(balls / part, folder / part)
    entries = []
    for i in range(6):
        image, labels = (f"{part}/ball_{i}.nii.gz" for part in ("imagesTr", "labelsTr"))
        sums = {name: sha256_of(folder / name) for name in (image, labels)}
        entries.append(CaseEntry(f"ball_{i}", (image,), labels, None, i % folds if folds else None, "train", sums))
    DataList("balls", ("T1",), {"1": "Bladder", "2": "Prostate"}, tuple(entries)).write(folder)
    return folder


def other_data(balls: Path, folder: Path) -> Path:
    """A copy of the collection in which one image is another one's."""
    shutil.copytree(balls, folder)
    shutil.copy(folder / "imagesTr" / "ball_1.nii.gz", folder / "imagesTr" / "ball_0.nii.gz")
    return folder


def breaking(table: Path) -> None:
    """Make afn-1's steps so large that its loss is no number after the first."""
    with (table / "afn-1.toml").open("a", encoding="utf-8") as text:
        text.write('[optimizer]\nname = "sgd"\nlearning_rate = 1e30\n')


@pytest.mark.usefixtures("narrow")
def test_hippocampus_runs_from_its_name_to_the_printed_table(
    reference_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["hippocampus", "--quick", "--only", "basic,afn-4", "--out", str(tmp_path / "out")]
    words += ["--data", str(reference_data / "hippocampus")]
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *words])
    monkeypatch.chdir(tmp_path)
    status = Training.reproduce.main()
    said = capsys.readouterr()
    assert status == 0, said.err
    assert "SMOKE RUN" in said.out
    assert "| afn-4 | 0." in said.out
    assert "| afn-4 − basic | mean of structures | 2 |" in said.out
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "comparison.csv", "comparison.md", "models.csv", "plot.png",
    }  # fmt: skip


@pytest.mark.usefixtures("narrow")
def test_without_the_data_a_smoke_run_takes_phantoms_and_says_so(tmp_path: Path) -> None:
    text, missing = reproduce("hippocampus", tmp_path, tmp_path / "nowhere", quick=True, only=["basic"])
    assert not missing
    assert "The cases are phantoms" in text
    structures = {one.structure for one in read_cases(tmp_path / "basic" / "cases.csv")}
    assert "Left femur" in structures


def test_a_table_that_was_interrupted_goes_on_and_what_is_finished_is_used_again(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    reproduce(str(table), out, only=["basic"])
    with monkeypatch.context() as patch:
        patch.setattr(Training.reproduce, "measure_run", interrupted)  # killed after training, before measuring
        with pytest.raises(KeyboardInterrupt):
            reproduce(str(table), out)
    capsys.readouterr()
    text, missing = reproduce(str(table), out)
    said = capsys.readouterr().out
    assert not missing
    assert "basic, seed 1: finished before" in said
    assert "going on after step 2" in said
    assert text.index("| basic |") < text.index("| afn-1 |")
    again, _ = reproduce(str(table), out)
    assert again == text


def test_weights_that_changed_are_measured_again(table: Path, tmp_path: Path) -> None:
    reproduce(str(table), tmp_path / "out", only=["basic"])
    run = tmp_path / "out" / "runs" / "basic" / "seed-1"
    record = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    (run / "evaluation.json").write_text(json.dumps({**record, "checkpoint_sha256": "0"}), encoding="utf-8")
    (run / "evaluation" / "cases.csv").write_text("damaged", encoding="utf-8")
    reproduce(str(table), tmp_path / "out", only=["basic"])
    assert len(read_cases(run / "evaluation" / "cases.csv")) == 6
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8")) == record


def test_what_cannot_be_made_is_named_and_the_rest_is_made(table: Path, tmp_path: Path) -> None:
    (table / "afn-2.toml").write_text('base = "base.toml"\n[run]\nsteps = 0\n', encoding="utf-8")
    text, missing = reproduce(str(table), tmp_path / "out")
    assert len(missing) == 1
    assert "afn-2: The configuration's run.steps is 0" in missing[0]
    assert f"- missing: {missing[0]}" in text
    with pytest.raises(InputError, match="Nothing of the table"):
        reproduce(str(table), tmp_path / "other", only=["afn-2"])


def test_a_run_that_breaks_is_named_and_the_rest_is_made(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(table)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["reproduce.py", str(table), "--out", str(out)])
    assert Training.reproduce.main() == 1
    said = capsys.readouterr()
    assert "missing: afn-1, seed 1: The loss of step 2 is nan" in said.err
    assert "- missing: afn-1, seed 1" in said.out
    assert "| basic | 0." in said.out
    assert "| afn-1 |" not in said.out
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["basic", "runs"]
    with pytest.raises(InputError, match=r"Nothing of the table .*The loss of step 2 is nan"):
        reproduce(str(table), out, only=["afn-1"])


def test_a_seed_that_is_missing_leaves_its_place_in_the_table_empty(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(config: Config, run: Path, *arguments: object, **options: object) -> list[Measures]:
        if run.parts[-2:] == ("afn-1", "seed-2"):
            raise InputError("It broke", "try again")
        return measure_run(config, run, *arguments, **options)

    monkeypatch.setattr(Training.reproduce, "measure_run", measure)
    text, missing = reproduce(str(table), tmp_path / "out", seeds=[1, 2])
    assert missing == ["afn-1, seed 2: It broke; try again."]
    row = next(line for line in text.splitlines() if line.startswith("| afn-1 |") and line.endswith("| – |"))
    assert "nan" not in row


def test_data_that_leave_nothing_to_measure_are_refused_before_training(
    table: Path, balls: Path, tmp_path: Path
) -> None:
    out, without = tmp_path / "out", tmp_path / "without"
    folder = prepared(balls, tmp_path / "prepared", folds=None)
    with pytest.raises(InputError, match=r"leaves no cases to measure; prepare it with --folds .*data\.fold.*--split"):
        reproduce(str(table), out, folder, overrides=['data.source="prepared"'])
    shutil.copytree(balls, without)
    (without / "split.json").write_text('{"train": ["ball_0", "ball_1"], "validation": []}', encoding="utf-8")
    with pytest.raises(InputError, match=r'leaves no cases to measure; list some under "validation".*data\.fold'):
        reproduce(str(table), out, without)
    with pytest.raises(InputError, match=r"leaves no cases to measure; set data\.test"):
        reproduce(str(table), out, overrides=['data.source="phantom"', "data.train=2"])
    assert not out.exists()


def test_other_data_are_refused_where_a_finished_table_lies(
    table: Path, balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    text, _ = reproduce(str(table), out, only=["basic"])
    with pytest.raises(InputError, match="holds a run of another configuration or other data; give another --out"):
        reproduce(str(table), out, other_data(balls, tmp_path / "other"), only=["basic"])
    with pytest.raises(InputError, match=r"nowhere.split\.json cannot be used"):
        reproduce(str(table), out, tmp_path / "nowhere", only=["basic"])
    shutil.copytree(balls, tmp_path / "moved")
    capsys.readouterr()
    assert reproduce(str(table), out, tmp_path / "moved", only=["basic"]) == (text, [])
    assert "finished before" in capsys.readouterr().out


def test_a_table_finished_before_its_data_were_recorded_is_not_trained_again(
    table: Path, balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    text, _ = reproduce(str(table), out, only=["basic"])
    run = out / "runs" / "basic" / "seed-1"
    record, checkpoint = json.loads((run / "evaluation.json").read_text(encoding="utf-8")), run / "checkpoint.pt"
    trained = checkpoint.stat().st_mtime_ns
    assert len(record.pop("data_sha256")) == 64
    (run / "evaluation.json").write_text(json.dumps(record), encoding="utf-8")
    capsys.readouterr()
    assert reproduce(str(table), out, only=["basic"]) == (text, [])
    assert "finished before" in capsys.readouterr().out
    with pytest.raises(InputError, match="other data"):
        reproduce(str(table), out, other_data(balls, tmp_path / "other"), only=["basic"])
    (run / "evaluation.json").write_text("cut o", encoding="utf-8")
    assert reproduce(str(table), out, only=["basic"]) == (text, [])
    assert checkpoint.stat().st_mtime_ns == trained


@pytest.mark.parametrize("quick", [True, False])
def test_a_file_where_the_results_are_to_go_is_named(table: Path, tmp_path: Path, quick: bool) -> None:
    (tmp_path / "afile").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"Cannot write .*afile.*: .*; choose a place that you may write to"):
        reproduce(str(table), tmp_path / "afile", quick=quick)
    assert (tmp_path / "afile").read_text(encoding="utf-8") == "mine"


def test_seeds_count_once_for_each_case_and_are_shown_apart(table: Path, tmp_path: Path) -> None:
    text, _ = reproduce(str(table), tmp_path / "out", seeds=[1, 2], only=["basic"])
    results = read_cases(tmp_path / "out" / "basic" / "cases.csv")
    assert {one.run for one in results} == {"seed 1", "seed 2"}
    assert "| mean Dice | seed 1 | seed 2 |" in text
    rows = list(csv.DictReader((tmp_path / "out" / "models.csv").open(encoding="utf-8")))
    assert (rows[0]["structure"], rows[0]["cases"]) == ("Bladder", "3")


def test_the_folds_of_a_cross_validation_are_pooled_over_all_cases(table: Path, tmp_path: Path) -> None:
    overrides = ["data.fold=0", "data.folds=2"]
    reproduce(str(table), tmp_path / "out", only=["basic"], overrides=overrides)
    results = read_cases(tmp_path / "out" / "basic" / "cases.csv")
    assert sorted({one.case for one in results}) == ["ball_0", "ball_1", "ball_2", "ball_3"]
    assert {one.run for one in results} == {"seed 1, fold 0", "seed 1, fold 1"}


@pytest.mark.parametrize("quick", [True, False])
def test_folds_of_a_configuration_that_names_none_are_refused(table: Path, tmp_path: Path, quick: bool) -> None:
    with pytest.raises(InputError, match=r"has no data\.fold, so that there are no folds 0, 1 .*leave --folds out"):
        reproduce(str(table), tmp_path / "out", folds=[0, 1], quick=quick)
    assert not (tmp_path / "out").exists()


def test_a_prepared_folder_tells_its_folds(balls_config: Path, tmp_path: Path) -> None:
    cases = tuple(
        CaseEntry(f"c{i}", (f"c{i}.nii.gz",), None, None, fold, "train", {f"c{i}.nii.gz": ""})
        for i, fold in enumerate((0, 1, 2, 2, None))
    )
    DataList("balls", ("T1",), {"1": "Bladder"}, cases).write(tmp_path)
    config = load_config(balls_config, ['data.source="prepared"', "data.fold=1"])
    assert folds_of(config, tmp_path) == [0, 1, 2]
    names = [member.name for member in members("basic", config, [4, 5], [2], tmp_path, tmp_path)]
    assert names == ["seed 4, fold 2", "seed 5, fold 2"]
    DataList("balls", ("T1",), {"1": "Bladder"}, cases[-1:]).write(tmp_path)
    with pytest.raises(InputError, match="has no folds"):
        folds_of(config, tmp_path)


def test_a_smoke_run_of_a_prepared_folder_trains_on_a_few_of_its_cases(
    table: Path, balls: Path, tmp_path: Path
) -> None:
    folder = prepared(balls, tmp_path / "prepared", folds=2)
    overrides = ['data.source="prepared"', "data.fold=0"]
    text, missing = reproduce(str(table), tmp_path / "out", folder, quick=True, only=["basic"], overrides=overrides)
    assert not missing
    assert "phantoms" not in text
    assert {one.case for one in read_cases(tmp_path / "out" / "basic" / "cases.csv")} == {"ball_3", "ball_4"}


def test_an_unknown_table_or_network_is_named_with_those_there_are(table: Path) -> None:
    with pytest.raises(SettingError, match=r"no table nothing; use networks, .*hippocampus"):
        experiments("nothing")
    with pytest.raises(SettingError, match="has no configuration afn-9; use afn-1, basic"):
        experiments(str(table), ["afn-9"])


def test_table_3_is_counted(tmp_path: Path) -> None:
    text = write_parameters(tmp_path)
    assert "All are as in the paper." in text
    assert "| full | 33,488,492 | 28,334,190 | 700,686 |" in text
    assert "| Basic in 3-D, 3 classes | 1 × 96 × 96 × 96 | 3 × 40 × 40 × 40 |" in text
    rows = list(csv.DictReader((tmp_path / "networks.csv").open(encoding="utf-8")))
    assert {row["network"]: int(row["parameters"]) for row in rows} == TABLE_3
