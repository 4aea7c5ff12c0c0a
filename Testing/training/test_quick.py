"""The few cases of a smoke run: which are taken, what is wrong with them, and that they are those of the data given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from AutofocusCore.errors import InputError, OutputError
from Training.configuration.config import load_config
from Training.configuration.experiments import CONFIGS, experiments
from Training.configuration.quick import TEST, TRAIN, quick_config, quick_data
from Training.preparing.data_list import CaseEntry, DataList


def listed(folder: Path) -> Path:
    """A prepared folder with a list of five cases, of which nothing but the list is there."""
    folder.mkdir()
    cases = []
    for i in range(5):
        files = f"c{i}.nii.gz", f"l{i}.nii.gz"
        cases.append(CaseEntry(f"c{i}", files[:1], files[1], None, i, "train", dict.fromkeys(files, "")))
    DataList("balls", ("T1",), {"1": "Bladder", "2": "Prostate"}, tuple(cases)).write(folder)
    return folder


def test_a_smoke_run_takes_few_cases_and_keeps_the_split(balls: Path, balls_config: Path, tmp_path: Path) -> None:
    config = load_config(balls_config)
    folder, phantoms = quick_data(config, None, tmp_path)
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert (split["train"], split["validation"]) == (["ball_0", "ball_1", "ball_2"], ["ball_4", "ball_5"])
    assert (len(split["train"]), len(split["validation"]), phantoms) == (TRAIN, TEST, False)
    assert quick_config(config, folder, phantoms).model.architecture == config.model.architecture


def test_a_smoke_run_refuses_the_few_cases_of_other_data(balls: Path, balls_config: Path, tmp_path: Path) -> None:
    config, other, out = load_config(balls_config), tmp_path / "other", tmp_path / "out"
    folder, _ = quick_data(config, None, out)
    shutil.copytree(balls, other)
    assert quick_data(config, other, out) == (folder, False)  # the same cases elsewhere
    shutil.copy(other / "imagesTr" / "ball_1.nii.gz", other / "imagesTr" / "ball_0.nii.gz")
    with pytest.raises(InputError, match=r"data holds cases of other data than .*other; give another --out"):
        quick_data(config, other, out)
    (other / "split.json").write_text('{"train": ["ball_2", "ball_3"], "validation": ["ball_4"]}', encoding="utf-8")
    with pytest.raises(InputError, match="give another --out"):
        quick_data(config, other, out)


def test_a_smoke_run_names_a_file_that_is_not_there(balls: Path, balls_config: Path, tmp_path: Path) -> None:
    config, out, source = load_config(balls_config), tmp_path / "out", listed(tmp_path / "prepared")
    with pytest.raises(InputError, match=r"c0\.nii\.gz cannot be read \(No such file or directory\)"):
        quick_data(config, source, out)
    shutil.copytree(balls, tmp_path / "folder")
    (tmp_path / "folder" / "labelsTr" / "ball_1.nii.gz").unlink()
    with pytest.raises(InputError, match=r"ball_1\.nii\.gz cannot be read \(No such file or directory\)"):
        quick_data(config, tmp_path / "folder", out)
    assert not out.exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"train": 3}', '{"train": ["a", 3]}'])
@pytest.mark.parametrize("name", ["split.json", "data.json"])
def test_a_smoke_run_names_a_list_of_cases_that_cannot_be_used(
    name: str, text: str, balls_config: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"{name} cannot be used .*; (give a JSON file|make the folder with)"):
        quick_data(load_config(balls_config), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_smoke_run_names_a_list_with_too_few_cases(balls_config: Path, tmp_path: Path) -> None:
    DataList("balls", ("T1",), {"1": "Bladder", "2": "Prostate"}, ()).write(tmp_path)
    with pytest.raises(InputError, match=r"data\.json lists 0 labelled training cases; have over 3"):
        quick_data(load_config(balls_config), tmp_path, tmp_path / "out")
    (tmp_path / "split.json").write_text('{"train": ["a", "b"]}', encoding="utf-8")
    with pytest.raises(InputError, match=r"split\.json lists 2 cases to train on and 0 to measure"):
        quick_data(load_config(balls_config), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("given", ["balls", "nowhere"])
def test_a_smoke_run_names_the_place_that_it_cannot_write_to(
    given: str, balls: Path, balls_config: Path, tmp_path: Path
) -> None:
    (tmp_path / "afile").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"Cannot write .*afile"):
        quick_data(load_config(balls_config), balls if given == "balls" else tmp_path / given, tmp_path / "afile")


@pytest.mark.parametrize("table_name", sorted(folder.name for folder in CONFIGS.iterdir() if folder.is_dir()))
@pytest.mark.parametrize("phantoms", [True, False])
def test_every_committed_experiment_has_a_smoke_run(table_name: str, phantoms: bool, tmp_path: Path) -> None:
    for name, path in experiments(table_name).items():
        small = quick_config(load_config(path), tmp_path, phantoms)
        assert (small.run.steps, small.run.epochs) == (2, 0), name
