"""Tasks laid out as the Medical Segmentation Decathlon does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Training.prepare import main
from Training.preparing.data_list import read_data_list


def write(path: Path, array: np.ndarray) -> None:
    """A 3-D image, or of a 4-D array (c, z, y, x) a 4-D image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 4:
        image = sitk.JoinSeries([sitk.GetImageFromArray(channel) for channel in array])
    else:
        image = sitk.GetImageFromArray(array)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Two channels in one file, three cases with labels and one without."""
    folder = tmp_path / "Task05_Prostate"
    rng = np.random.default_rng(0)
    for i in range(3):
        write(folder / "imagesTr" / f"prostate_{i}.nii.gz", rng.normal(100, 9, (2, 6, 7, 8)).astype(np.float32))
        labels = np.zeros((6, 7, 8), dtype=np.uint8)
        labels[2:4, 2:5, 2:5] = 1
        labels[4, 2:5, 2:5] = 2 if i else 0
        write(folder / "labelsTr" / f"prostate_{i}.nii.gz", labels)
    write(folder / "imagesTs" / "prostate_9.nii.gz", rng.normal(100, 9, (2, 6, 7, 8)).astype(np.float32))
    values = {
        "name": "Prostate",
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "Peripheral zone", "2": "Transition zone"},
        "training": [
            {"image": f"./imagesTr/prostate_{i}.nii.gz", "label": f"./labelsTr/prostate_{i}.nii.gz"} for i in range(3)
        ],
        "test": ["./imagesTs/prostate_9.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_the_frames_of_a_4d_image_become_channels(task: Path, tmp_path: Path) -> None:
    assert main(["decathlon", str(task), str(tmp_path / "out")]) == 0
    listed = read_data_list(tmp_path / "out")
    assert (listed.name, listed.channels) == ("Prostate", ("T2", "ADC"))
    assert listed.structures == {"1": "Peripheral zone", "2": "Transition zone"}
    parts = {case.name: (case.part, case.absent) for case in listed.cases}
    assert parts == {
        "prostate_0": ("train", ("Transition zone",)),
        "prostate_1": ("train", ()),
        "prostate_2": ("train", ()),
        "prostate_9": ("test", ()),
    }
    for case in listed.cases:
        folder = "imagesTs" if case.part == "test" else "imagesTr"
        whole = sitk.GetArrayFromImage(sitk.ReadImage(str(task / folder / f"{case.name}.nii.gz")))
        for channel, path in enumerate(case.images):
            made = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / path)))
            assert np.array_equal(made, whole[channel])


def test_files_that_are_not_listed_or_not_there_are_named(task: Path, tmp_path: Path) -> None:
    (task / "labelsTr" / "prostate_1.nii.gz").unlink()
    write(task / "imagesTr" / "extra.nii.gz", np.ones((2, 6, 7, 8), dtype=np.float32))
    assert main(["decathlon", str(task), str(tmp_path / "out")]) == 0
    problems = {p["case"]: p["problem"] for p in read_data_list(tmp_path / "out").problems}
    assert "labelsTr/prostate_1.nii.gz, but it is not there" in problems["prostate_1"]
    assert "imagesTr/extra.nii.gz is not listed" in problems["extra"]


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("modality"),
        lambda values: values.pop("training"),
        lambda values: values["training"][0].update(image="../../secret.nii.gz"),
        lambda values: values.update(labels={"0": "background"}),
    ],
)
def test_a_list_that_is_not_the_decathlons_is_refused(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: object
) -> None:
    values = json.loads((task / "dataset.json").read_text(encoding="utf-8"))
    change(values)  # type: ignore[operator]
    (task / "dataset.json").write_text(json.dumps(values), encoding="utf-8")
    assert main(["decathlon", str(task), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "dataset.json cannot be used" in error or "The structures have the labels" in error


def test_the_hippocampus_task_is_prepared_with_its_split(reference_data: Path, tmp_path: Path) -> None:
    """On a handful of its cases: the files that its own dataset.json and split.json list."""
    source = reference_data / "hippocampus"
    values = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    split = json.loads((source / "split.json").read_text(encoding="utf-8"))
    chosen = set(split["train"][:4] + split["validation"][:2])
    values["training"] = [one for one in values["training"] if Path(one["image"]).name[:-7] in chosen]
    for one in values["training"]:
        for file in one.values():
            (tmp_path / "task" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "task" / file).write_bytes((source / file).read_bytes())
    (tmp_path / "task" / "dataset.json").write_text(json.dumps(values), encoding="utf-8")
    options = ["--split", str(source / "split.json"), "--folds", "2"]
    assert main(["decathlon", str(tmp_path / "task"), str(tmp_path / "out"), *options]) == 0
    listed = read_data_list(tmp_path / "out")
    assert {case.name for case in listed.cases if case.part == "test"} == set(split["validation"][:2])
    assert sorted(case.fold for case in listed.cases if case.part == "train") == [0, 0, 1, 1]
    assert all(case.absent == () for case in listed.cases)
