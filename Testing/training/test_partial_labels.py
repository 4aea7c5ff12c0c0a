"""Patients in whom not everything was contoured, all the way: prepared, trained on, measured, exported, used."""

from __future__ import annotations

import csv
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import Training.attention_study
import Training.evaluate
from AutofocusCore.errors import InputError
from AutofocusCore.images import read_image
from AutofocusCore.images.labelling import keep_main_parts
from AutofocusCore.models import find_model
from AutofocusCore.segmentation import segment_image
from Testing.training.conftest import TINY
from Training.configuration.config import load_config
from Training.evaluate import measure_model, measure_run
from Training.evaluation.predicting import predicted_labels
from Training.evaluation.tables import read_cases, summarise
from Training.export import export
from Training.loop.checkpoints import same_experiment
from Training.loop.data import load_data
from Training.loop.runs import hours_of_training, load_run, refuse_trained_on
from Training.prepare import main as prepare
from Training.preparing.data_list import read_data_list
from Training.train import train

CONFIG = """
[model]
name = "neck"
spacing = [2.0, 2.0, 2.0]
orientation = "LPS"
structures = [{{ name = "Spinal cord", connected = true }}, {{ name = "Larynx", connected = true }}, "Mandible"]
architecture = {{ architecture = "afn-1", dilation_rates = [2, 3], norm = "fused", domain = "roi" }}
normalization = {{ method = "window", mask = "body", window = [-200.0, 400.0] }}
channels = [{{ name = "CT", modality = "CT" }}]
[data]
source = "prepared"
folder = "{folder}"
watch = 1
watch_from = "test"
[data.volume_ml]
Larynx = [0.3, 45.0]
[data.unknown]
pt_1 = ["Spinal cord"]
[scans]
ahead = 0
[optimizer]
schedule = "constant"
[run]
steps = 2
average = 0.5
precision = "float32"
"""
CONTOURED = {
    "pt_0": ["Spinal cord", "Larynx", "Mandible"],
    "pt_1": ["Spinal cord", "Mandible"],
    "pt_2": ["Spinal cord", "Larynx"],
    "pt_3": ["Spinal cord", "Larynx"],
    "pt_4": ["Spinal cord", "Mandible"],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five necks of 2 mm voxels in air; the larynx of pt_2 is contoured by another convention, much smaller."""
    folder = tmp_path_factory.mktemp("necks")
    z, y, x = np.mgrid[:22, :26, :24]
    body = ((y - 13) / 11) ** 2 + ((x - 12) / 10) ** 2 < 1
    rng = np.random.default_rng(0)
    for i, (name, contoured) in enumerate(CONTOURED.items()):
        labels = np.zeros(body.shape, np.uint8)
        radius = 2 if name == "pt_2" else 4
        for label, (structure, at) in enumerate(
            {"Spinal cord": (12, 18, 12), "Larynx": (12, 8, 12), "Mandible": (17, 13, 12)}.items(), start=1
        ):
            size = {"Spinal cord": 6, "Larynx": radius, "Mandible": 3}[structure]
            if structure in contoured:
                labels[(z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2] - i % 2) ** 2 < size * 2] = label
        hu = np.where(body, 30 + 80.0 * labels, -1000) + rng.normal(0, 5, body.shape)
        for part, array in (("images", hu.astype(np.int16)), ("labels", labels)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((2.0, 2.0, 2.0))
            (folder / part).mkdir(exist_ok=True)
            sitk.WriteImage(image, str(folder / part / f"{name}.nii.gz"))
    (folder / "contoured.json").write_text(json.dumps(CONTOURED), encoding="utf-8")
    split = {"train": ["pt_0", "pt_1", "pt_2"], "validation": ["pt_3", "pt_4"]}
    (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def config_file(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("neck") / "data"
    options = ["--images", "images/{case}", "--labels", "labels/{case}", "--channels", "CT", "--roi", "body"]
    options += ["--structures", "Spinal cord,Larynx,Mandible", "--split", str(source / "split.json")]
    assert prepare(["folder", str(source), str(out), *options]) == 0
    path = out.parent / "neck.toml"
    path.write_text(TINY + CONFIG.format(folder=out.as_posix()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its network replaced by one that finds something nearly everywhere."""
    folder = tmp_path_factory.mktemp("runs") / "neck"
    checkpoint = train(load_config(config_file), folder)
    state = torch.load(checkpoint, weights_only=True)
    torch.manual_seed(4)
    for weight in state["average"].values():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    torch.save(state, checkpoint)
    return folder


def test_what_is_known_is_counted_and_contours_that_are_not_used_are_named(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = load_data(load_config(config_file))
    known = {source.name: source.case.known for source in (*data.train, *data.test)}
    assert known == {"pt_0": None, "pt_1": (3,), "pt_2": (1,), "pt_3": (1, 2), "pt_4": (1, 3)}
    assert data.known == {"Spinal cord": 2, "Larynx": 1, "Mandible": 2}
    assert "Spinal cord counts as unknown in 1 cases, named in data.unknown: pt_1 (" in caplog.text
    assert "Larynx counts as unknown in 1 cases, outside the 0.3 to 45 mL of data.volume_ml: pt_2 (" in caplog.text
    two = next(source.case for source in data.train if source.name == "pt_2")
    assert set(np.unique(two.labels)) == {0, 1}
    assert two.lost == ()


def test_a_case_none_of_whose_contours_is_used_is_left_out_with_a_sentence(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    none = ["data.unknown.pt_0=['Spinal cord', 'Larynx', 'Mandible']", "data.unknown.pt_4=['Spinal cord', 'Mandible']"]
    with caplog.at_level(logging.WARNING):
        data = load_data(load_config(config_file, [*none, "data.watch=0"]))
    assert "Left out, because none of their contours is used: pt_0, pt_4." in caplog.text
    left = {source.name for source in (*data.train, *data.test)}
    assert left == {"pt_1", "pt_2", "pt_3"}


def test_nothing_to_train_on_is_refused(config_file: Path) -> None:
    everything = [f"data.unknown.{name}={names}" for name, names in CONTOURED.items()]
    with pytest.raises(
        InputError, match=r"pt_0: None of its contours is used, as data\.unknown and data\.volume_ml say"
    ):
        load_data(load_config(config_file, everything))


def test_segments_which_take_the_unknown_for_background_do_not_do_so_silently(
    config_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = config_file.read_text(encoding="utf-8").replace('domain = "roi"', 'domain = "box"')
    path = tmp_path / "segments.toml"
    path.write_text(text.replace("[scans]\nahead = 0", "[segments]\nsize = [5, 5, 5]\nper_step = 1"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        load_data(load_config(path))
    assert "Not every structure is known in every case, and segments take what is unknown for background" in caplog.text


def test_another_list_of_what_was_contoured_is_another_data_set(
    source: Path, config_file: Path, tmp_path: Path
) -> None:
    config = load_config(config_file)
    prepared = Path(config.data.folder)
    values = json.loads((prepared / "data.json").read_text(encoding="utf-8"))
    values["cases"][0]["unknown"] = ["Mandible"]
    for path in prepared.iterdir():
        if path.name != "data.json":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "data.json").write_text(json.dumps(values), encoding="utf-8")
    assert load_data(config, tmp_path).checksum != load_data(config).checksum


def test_a_run_goes_on_though_the_card_of_its_model_was_written_anew(config_file: Path, run: Path) -> None:
    config = load_config(config_file)
    recorded = (run / "config.toml").read_text(encoding="utf-8")
    cord, *others = config.model.structures
    model = replace(config.model, title="Another title", structures=(replace(cord, connected=False), *others))
    assert same_experiment(recorded, replace(config, model=model), 2)
    model = replace(config.model, spacing=(3.0, 3.0, 3.0))
    assert not same_experiment(recorded, replace(config, model=model), 2)


def test_the_test_cases_that_were_watched_are_reported_on_and_those_trained_on_never(run: Path) -> None:
    refuse_trained_on(run, ["pt_3", "pt_4"])
    with pytest.raises(InputError, match="trained on 1 of the cases to report on, pt_0 among them"):
        refuse_trained_on(run, ["pt_0", "pt_3"])


def test_hours_of_training_are_those_of_all_starts(tmp_path: Path) -> None:
    seconds = [900.0, 1800.0, 60.0, 3600.0, 1800.0]  # started three times
    lines = [json.dumps({"step": i, "seconds": value}) for i, value in enumerate(seconds, start=1)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert hours_of_training(tmp_path) == pytest.approx(0.5 + 1.0 + 0.5)


def test_a_network_of_the_roi_domain_computes_where_the_product_does(config_file: Path, run: Path) -> None:
    config = load_config(config_file)
    assert config.model.roi == "body"  # as its normalisation says
    model, case = load_run(run, config), load_data(config).test[0].case
    found = predicted_labels(model.network, case, model.spec)
    assert found[case.roi].any()
    assert not found[~case.roi].any()
    data = Path(config.data.folder)
    entry = next(one for one in read_data_list(data).cases if one.name == case.name)
    result = segment_image(model, [read_image(data / entry.images[0]).image], device="cpu", precision="float32")
    assert np.array_equal(sitk.GetArrayFromImage(result.labels), found)


def test_stray_parts_of_structures_of_one_piece_are_left_out_of_what_is_measured(config_file: Path, run: Path) -> None:
    config = load_config(config_file)
    model, case = load_run(run, config), load_data(config).test[0].case
    whole = predicted_labels(model.network, case)
    measured = predicted_labels(model.network, case, model.spec)
    assert model.spec.connected == (1, 2)
    np.testing.assert_array_equal(measured == 3, whole == 3)
    expected = whole.copy()
    assert keep_main_parts(expected, (1, 2), model.spec.spacing)  # else nothing was shown
    np.testing.assert_array_equal(measured, expected)


def test_tables_count_the_cases_that_know_a_structure(
    config_file: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["evaluate.py", str(config_file), "--run", str(run), "-o", str(tmp_path), "--threads", "1"]
    )
    assert Training.evaluate.main() == 0
    results = read_cases(tmp_path / "cases.csv")
    states = {(one.case, one.structure): one.state == "unknown" for one in results}
    assert {key for key, unknown in states.items() if unknown} == {("pt_3", "Mandible"), ("pt_4", "Larynx")}
    counts = {summary.structure: (summary.cases, summary.unknown) for summary in summarise(results)[:3]}
    assert counts == {"Spinal cord": (2, 0), "Larynx": (1, 1), "Mandible": (1, 1)}
    assert "unknown" in capsys.readouterr().out


def test_a_bundle_of_the_run_says_where_it_computes_what_is_one_piece_and_what_it_learnt_from(
    config_file: Path, run: Path, tmp_path: Path
) -> None:
    config = load_config(config_file)
    export(config, run, tmp_path / "neck")
    model = find_model(tmp_path / "neck")
    assert (model.spec.roi, model.spec.connected) == ("body", (1, 2))
    figures = model.spec.figures
    assert [(row["structure"], row["cases"], row.get("unknown", 0)) for row in figures["structures"]] == [
        ("Spinal cord", 2, 0), ("Larynx", 1, 1), ("Mandible", 1, 1),
    ]  # fmt: skip
    assert figures["known_in_training"] == [
        {"structure": "Spinal cord", "cases trained on": 2},
        {"structure": "Larynx", "cases trained on": 1},
        {"structure": "Mandible", "cases trained on": 2},
    ]
    assert figures["conventions"] == [{"structure": "Larynx", "used from mL": 0.3, "to mL": 45.0}]
    assert figures["hours_of_training"] >= 0
    assert "Larynx" not in figures["cases"][1]
    card = (tmp_path / "neck" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "Only the body's voxels are computed." in card
    assert "Of Spinal cord, Larynx, parts are removed that are smaller than 20 % of its largest part" in card
    again = measure_model(config, model, say=lambda text: None)
    assert [str(one) for one in again] == [str(one) for one in measure_run(config, run, say=lambda text: None)]


def test_attention_is_studied_within_the_patient(
    config_file: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["attention_study.py", str(config_file), "--run", str(run), "-o", str(tmp_path)])
    assert Training.attention_study.main() == 0
    rows = list(csv.DictReader((tmp_path / "spreads.csv").open(encoding="utf-8")))
    assert [(row["case"], row["layer"]) for row in rows] == [("pt_3", "1"), ("pt_4", "1")]
    assert all(float(row["sd_mm"]) == pytest.approx(2.0 * float(row["share"]), rel=1e-3) for row in rows)
    assert "layers reach 15%" in capsys.readouterr().out
    looked = {(row["case"], row["structure"]) for row in csv.DictReader((tmp_path / "attention.csv").open())}
    assert ("pt_3", "Mandible") not in looked


def test_label_maps_of_the_test_cases_are_measured_by_the_prepared_data(
    source: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*words: object) -> int:
        options = ["--predictions", source / "labels", "-o", tmp_path, *words]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, (config_file, *options))])
        return Training.evaluate.main()

    assert evaluate() == 0
    measured = read_cases(tmp_path / "cases.csv")
    assert list(dict.fromkeys(one.case for one in measured)) == ["pt_3", "pt_4"]
    unknown = {(one.case, one.structure) for one in measured if one.state == "unknown"}
    assert unknown == {("pt_3", "Mandible"), ("pt_4", "Larynx")}
    assert all(one.dice == one.dice_shared == 1 for one in measured if one.state == "found")
    assert evaluate("--set", 'data.unknown={pt_4 = ["Spinal cord", "Mandible"]}') == 0
    assert "pt_4: none of its contours is used" in capsys.readouterr().out
    assert {one.case for one in read_cases(tmp_path / "cases.csv")} == {"pt_3"}
    unused = '{pt_3 = ["Spinal cord", "Larynx"], pt_4 = ["Spinal cord", "Mandible"]}'
    assert evaluate("--set", f"data.unknown={unused}", "-o", tmp_path / "none") == 1
    assert "None of the contours in the true label maps is used; look at data.unknown" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert evaluate("--set", "data.source=folder") == 1
    assert "are not a prepared folder; give --truth" in capsys.readouterr().err


def test_label_maps_of_others_are_measured_on_what_is_known(
    source: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*words: object) -> int:
        options = ["--predictions", source / "labels", "--truth", source / "labels", "-o", tmp_path]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, (*words, *options))])
        return Training.evaluate.main()

    assert evaluate(config_file) == 0
    unknown = {(one.case, one.structure) for one in read_cases(tmp_path / "cases.csv") if one.state == "unknown"}
    assert unknown == {
        ("pt_1", "Spinal cord"), ("pt_1", "Larynx"), ("pt_2", "Larynx"), ("pt_2", "Mandible"), ("pt_3", "Mandible"),
        ("pt_4", "Larynx"),
    }  # fmt: skip
    assert evaluate() == 1
    assert "but their labels are not known; name a configuration" in capsys.readouterr().err
