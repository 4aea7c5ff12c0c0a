"""Evaluation from the command line: runs, models, label maps, comparisons."""

from __future__ import annotations

import csv
import dataclasses
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import Training.evaluate
from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.models import find_model
from Training.configuration.config import load_config
from Training.configuration.quick import quick_data
from Training.evaluate import labels_of, measure_model, measure_run, with_model
from Training.evaluation.predicting import dice_per_structure, predicted_labels
from Training.evaluation.tables import read_cases
from Training.export import export
from Training.loop.data import load_data
from Training.loop.runs import load_run

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., int]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in this process; its exit status."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
        return Training.evaluate.main()

    return run


def test_a_run_is_measured_on_the_test_cases_and_all_files_are_written(
    evaluate: Command, balls_config: Path, balls_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(balls_config, "--run", balls_run, "-o", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "cases.csv",
        "summary.csv",
        "summary.md",
        "plot.png",
    }
    results = read_cases(tmp_path / "out" / "cases.csv")
    assert list(dict.fromkeys(one.case for one in results)) == ["ball_4", "ball_5", "ball_6"]
    assert [one.state for one in results if one.case == "ball_6"][1] in ("absent", "false positive")
    text = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert "3 cases, measured on the model's grid of 1.5 × 1 × 2 mm (x, y, z)" in text
    assert text in capsys.readouterr().out


def test_the_dice_in_the_table_is_the_one_that_training_watches(balls_config: Path, balls_run: Path) -> None:
    config = load_config(balls_config)
    network = load_run(balls_run, config).network
    results = measure_run(config, balls_run, precision="auto", say=lambda text: None)
    for source in load_data(config).test:
        watched = dice_per_structure(network, source.case, 2)
        measured = [one.dice for one in results if one.case == source.name]
        assert np.allclose(measured, watched, equal_nan=True)


def test_labels_are_found_where_the_product_looks_and_nowhere_else(balls_config: Path, balls_run: Path) -> None:
    config = load_config(balls_config)
    network, case = load_run(balls_run, config).network, load_data(config).test[0].case
    assert case.box == tuple((0, extent) for extent in case.labels.shape)  # the model knows of no body
    whole = predicted_labels(network, case)
    assert whole[0].any()
    part = predicted_labels(network, dataclasses.replace(case, box=((2, 8), (0, 13), (3, 9))))
    assert np.array_equal(part[2:8, :, 3:9], whole[2:8, :, 3:9])
    part[2:8, :, 3:9] = 0
    assert not part.any()


def test_volumes_are_those_of_the_models_grid(balls_config: Path, balls_run: Path, balls: Path) -> None:
    results = measure_run(load_config(balls_config), balls_run, say=lambda text: None)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(balls / "labelsTr" / "ball_4.nii.gz")))
    assert results[0].volume_true_ml == pytest.approx((labels == 1).sum() * 3 / 1000)


def test_an_axis_that_keeps_the_scans_spacing_is_measured_by_it(balls_config: Path, balls_run: Path) -> None:
    exact, near = (load_config(balls_config, more) for more in ([], ["model.spacing=[1.55,1.0,2.0]"]))
    results = [measure_run(config, balls_run, say=lambda text: None) for config in (exact, near)]
    assert [str(one) for one in results[0]] == [str(one) for one in results[1]]


def test_a_bundle_is_measured_as_the_run_it_was_made_of(balls_config: Path, balls_run: Path, tmp_path: Path) -> None:
    config = load_config(balls_config)
    export(config, balls_run, tmp_path / "balls")
    run = measure_run(config, balls_run, say=lambda text: None)
    bundle = measure_model(config, find_model(tmp_path / "balls"), say=lambda text: None)
    assert [str(one) for one in run] == [str(one) for one in bundle]


def test_a_model_of_other_structures_is_refused(balls_config: Path) -> None:
    with pytest.raises(
        InputError, match="has the structures Anterior hippocampus, Posterior hippocampus, the data Bladder, Prostate"
    ):
        with_model(load_config(balls_config), find_model("hippocampus-mr").spec)


def test_cases_that_were_trained_on_are_not_reported_on(balls_config: Path, balls_run: Path) -> None:
    config = load_config(balls_config, ["data.fold=0", "data.folds=2"])  # half of what was trained on becomes the test
    with pytest.raises(InputError, match=r"was trained on 2 of the cases to report on, ball_\d among them"):
        measure_run(config, balls_run)


def test_a_run_of_another_network_is_refused(balls_config: Path, balls_run: Path) -> None:
    config = load_config(balls_config, ['model.architecture.architecture="afn-2"'])
    with pytest.raises(InputError, match="does not hold the weights of afn-2"):
        load_run(balls_run, config)


def test_a_damaged_checkpoint_is_refused_in_one_sentence(balls_config: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="does not hold the weights of afn-1"):
        load_run(tmp_path, load_config(balls_config))


def test_brats_regions_need_four_labels(balls_config: Path) -> None:
    with pytest.raises(SettingError, match="made of four labels, and balls has 2"):
        labels_of(load_config(balls_config).model, "brats")


def write_maps(folder: Path, ending: str, maps: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, values in maps.items():
        image = sitk.GetImageFromArray(values.astype(np.uint8))
        image.SetSpacing((1.0, 1.0, 2.5))
        sitk.WriteImage(image, str(folder / f"{name}{ending}"))
    return folder


def test_label_maps_are_measured_in_their_own_millimetres(evaluate: Command, tmp_path: Path) -> None:
    truth = np.zeros((8, 9, 10))
    truth[2:5, 2:5, 2:5] = 4
    found = np.roll(truth, 1, 0)
    true = write_maps(tmp_path / "true", ".nii.gz", {"a": truth, "b": truth})
    guessed = write_maps(tmp_path / "found", ".nrrd", {"a": truth, "b": found, "c": found})
    assert evaluate("--predictions", guessed, "--truth", true, "-o", tmp_path / "out") == 0
    same, shifted = read_cases(tmp_path / "out" / "cases.csv")
    assert (same.structure, same.dice, same.hd95_mm) == ("label 4", 1.0, 0.0)
    assert (shifted.case, shifted.hd95_mm) == ("b", 2.5)
    assert evaluate("--predictions", guessed, "--truth", true, "--regions", "brats", "-o", tmp_path / "brats") == 0
    assert [one.structure for one in read_cases(tmp_path / "brats" / "cases.csv")][:3] == [
        "whole tumour",
        "tumour core",
        "enhancing tumour",
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / "b.nrrd").unlink(), "has no label map for b"),
        (lambda folder: (folder / "b.nrrd").write_bytes(b"no image"), "b.nrrd"),
        (lambda folder: write_maps(folder / "x", ".nrrd", {"b": np.ones((8, 9, 11))}), None),
    ],
)
def test_what_is_wrong_with_label_maps_is_said_in_a_sentence(
    change: Callable, why: str | None, evaluate: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = {"a": np.ones((8, 9, 10)), "b": np.ones((8, 9, 10))}
    true, guessed = write_maps(tmp_path / "true", ".nii.gz", maps), write_maps(tmp_path / "found", ".nrrd", maps)
    change(guessed)
    if why is None:  # another size
        (guessed / "x" / "b.nrrd").replace(guessed / "b.nrrd")
    assert evaluate("--predictions", guessed, "--truth", true, "-o", tmp_path / "out") == 1
    assert (why or "Prediction and truth of b are not on the same grid") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_label_that_only_the_predictions_have_is_reported_too(evaluate: Command, tmp_path: Path) -> None:
    truth = np.zeros((8, 9, 10))
    truth[2:5, 2:5, 2:5] = 1
    found = truth.copy()
    found[6, 6, 6] = 2
    true = write_maps(tmp_path / "true", ".nii.gz", {"a": truth})
    guessed = write_maps(tmp_path / "found", ".nrrd", {"a": found})
    assert evaluate("--predictions", guessed, "--truth", true, "-o", tmp_path / "out") == 0
    states = {one.structure: one.state for one in read_cases(tmp_path / "out" / "cases.csv")}
    assert states == {"label 1": "found", "label 2": "false positive"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (0.0, "No label map holds anything but background"),
        (0.5, "holds 0.5, which is not a label"),
        (np.nan, "correct it"),
    ],
)
def test_maps_that_hold_no_labels_are_refused(
    value: float, why: str, evaluate: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.zeros((8, 9, 10), dtype=np.float32)
    values[2, 2, 2] = value
    for folder in ("true", "found"):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / folder / "a.nii.gz"))
    assert evaluate("--predictions", tmp_path / "found", "--truth", tmp_path / "true", "-o", tmp_path / "out") == 1
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_evaluations_are_compared(evaluate: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    true = {f"case_{i}": (rng.random((8, 9, 10)) < 0.5) for i in range(6)}
    write_maps(tmp_path / "true", ".nii.gz", true)
    for name, share in (("good", 0.05), ("bad", 0.4)):
        wrong = {case: values ^ (rng.random(values.shape) < share) for case, values in true.items()}
        write_maps(tmp_path / name, ".nii.gz", wrong)
        arguments = ("--predictions", tmp_path / name, "--truth", tmp_path / "true", "-o", tmp_path / "eval" / name)
        assert evaluate(*arguments) == 0
    tables = [tmp_path / "eval" / name / "cases.csv" for name in ("good", "bad")]
    assert evaluate("--compare", *tables, "-o", tmp_path / "both") == 0
    (row,) = csv.DictReader((tmp_path / "both" / "comparison.csv").open(encoding="utf-8"))
    assert (row["first"], row["second"], row["pairs"]) == ("good", "bad", "6")
    assert float(row["high"]) < 0
    assert float(row["p"]) == pytest.approx(2 / 2**6)  # six of six: the smallest that six pairs can give
    assert "bad − good" in capsys.readouterr().out
    assert evaluate("--compare", tables[0], tables[0], "-o", tmp_path / "twice") == 1
    assert "give --names for each" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--compare", "a.csv"], ["--run", "x"], ["c.toml", "--model", "m"], []])
def test_a_command_that_is_not_whole_is_refused_as_usage(evaluate: Command, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate(*words)
    assert ended.value.code == 2


SCRIPTS = ["train", "evaluate", "predict", "reproduce", "export", "attention_study"]
SCRIPTS += ["streams_train", "streams_evaluate", "streams_table"]
STARTER = """
import contextlib, io, runpy, sys
from pathlib import Path
folder, scripts = Path(sys.argv[1]), sys.argv[2:]
for script in scripts:
    for name in [name for name in sys.modules if name.split(".")[0] == "Training"]:
        del sys.modules[name]  # so that each is started as if alone, but torch is loaded once
    sys.argv = [script, "--help"]
    sys.path[0] = str(folder / "Training")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(folder / "Training" / f"{script}.py"), run_name="__main__")
    except SystemExit as ended:
        assert ended.code == 0, ended.code
    words = " ".join(said.getvalue().split())
    assert f"usage: {script}.py" in words, words
    assert "photographs" in words or not script.startswith("streams_"), words
    print(script)
"""


def test_every_script_tells_its_use_when_started_by_its_path(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(ROOT), *SCRIPTS], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_tells_its_use_when_started_as_a_module(
    script: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    monkeypatch.delitem(sys.modules, f"Training.{script}", raising=False)  # else Python warns that it runs twice
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"Training.{script}", run_name="__main__")
    assert ended.value.code == 0
    assert f"usage: {script}.py" in " ".join(capsys.readouterr().out.split())


def test_the_bundled_model_has_the_dice_of_its_card_on_real_cases(reference_data: Path, tmp_path: Path) -> None:
    config = load_config(ROOT / "Training" / "configs" / "hippocampus" / "basic.toml", ["data.test=1"])
    few, _ = quick_data(config, reference_data / "hippocampus", tmp_path)  # reading all of them takes longer
    results = measure_model(config, find_model("hippocampus-mr"), few, precision="auto", say=lambda text: None)
    cards = {case["case"]: case for case in find_model("hippocampus-mr").spec.figures["cases"]}
    for one in results:
        assert one.dice == pytest.approx(cards[one.case][one.structure], abs=0.01)
        assert 0 <= one.asd_mm < one.hd95_mm < 5
