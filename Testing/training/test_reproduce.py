"""Whole tables: in a minute, interrupted, with parts that cannot be made, over seeds and folds."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import Training.reproduce
from AutofocusCore.cli.networks import TABLE_3
from AutofocusCore.errors import InputError, SettingError
from Training.config import load_config
from Training.experiments import CONFIGS, experiments, folds_of, members
from Training.parameters import write_parameters
from Training.preparing.data_list import CaseEntry, DataList, sha256_of
from Training.quick import TEST, TRAIN, quick_config, quick_data
from Training.reproduce import reproduce
from Training.tables import read_cases

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


def test_hippocampus_runs_from_its_name_to_the_printed_table(reference_data: Path, tmp_path: Path) -> None:
    words = ["hippocampus", "--quick", "--only", "basic,afn-4", "--threads", "1", "--out", str(tmp_path / "out")]
    words += ["--data", str(reference_data / "hippocampus")]
    script = str(ROOT / "Training" / "reproduce.py")
    done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "SMOKE RUN" in done.stdout
    assert "| afn-4 | 0." in done.stdout
    assert "| afn-4 − basic | mean of structures | 2 |" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "comparison.csv", "comparison.md", "models.csv", "plot.png",
    }  # fmt: skip


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


def test_a_smoke_run_takes_few_cases_and_keeps_the_split(balls: Path, balls_config: Path, tmp_path: Path) -> None:
    config = load_config(balls_config)
    folder, phantoms = quick_data(config, None, tmp_path)
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert (split["train"], split["validation"]) == (["ball_0", "ball_1", "ball_2"], ["ball_4", "ball_5"])
    assert (len(split["train"]), len(split["validation"]), phantoms) == (TRAIN, TEST, False)
    assert quick_config(config, folder, phantoms).model.architecture == config.model.architecture


def test_a_smoke_run_of_a_prepared_folder_trains_on_a_few_of_its_cases(
    table: Path, balls: Path, tmp_path: Path
) -> None:
    folder, entries = tmp_path / "prepared", []
    for part in ("imagesTr", "labelsTr"):
        shutil.copytree(balls / part, folder / part)
    for i in range(6):
        image, labels = (f"{part}/ball_{i}.nii.gz" for part in ("imagesTr", "labelsTr"))
        sums = {name: sha256_of(folder / name) for name in (image, labels)}
        entries.append(CaseEntry(f"ball_{i}", (image,), labels, None, i % 2, "train", sums))
    DataList("balls", ("T1",), {"1": "Bladder", "2": "Prostate"}, tuple(entries)).write(folder)
    overrides = ['data.source="prepared"', "data.fold=0"]
    text, missing = reproduce(str(table), tmp_path / "out", folder, quick=True, only=["basic"], overrides=overrides)
    assert not missing
    assert "phantoms" not in text
    assert {one.case for one in read_cases(tmp_path / "out" / "basic" / "cases.csv")} == {"ball_3", "ball_4"}


@pytest.mark.parametrize("table_name", sorted(folder.name for folder in CONFIGS.iterdir() if folder.is_dir()))
@pytest.mark.parametrize("phantoms", [True, False])
def test_every_committed_experiment_has_a_smoke_run(table_name: str, phantoms: bool, tmp_path: Path) -> None:
    for name, path in experiments(table_name).items():
        small = quick_config(load_config(path), tmp_path, phantoms)
        assert (small.run.steps, small.run.epochs) == (2, 0), name


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
