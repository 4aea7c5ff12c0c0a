"""Corrected cases collected one by one: written whole, listed, replaced, removed, and taught with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from AutofocusCore.batch import collected
from AutofocusCore.batch.collected import (
    collected_cases,
    free_name,
    remove_case,
    safe_case_name,
    write_case,
)
from AutofocusCore.batch.corrections import read_corrections
from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.images import read_image
from AutofocusCore.jobs.saved_result import read_result
from AutofocusCore.models import Channel
from AutofocusCore.models.terminology import structures

CT = (Channel("CT", "CT", ("*ct*",)),)
MATRIX = np.array([[-2.0, 0, 0, 5], [0, 1, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
PROSTATE, BLADDER = structures("Prostate", "Bladder")


def volume(values: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(array=values, index_to_lps=MATRIX)


def add(folder: Path, name: str, value: int = 1, *, channels: tuple[str, ...] = ("CT",), replace: bool = False):
    image = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    labels = np.zeros((3, 4, 5), dtype=np.uint8)
    labels[1, 2, 3] = value
    images = {channel: volume(image + number) for number, channel in enumerate(channels)}
    return write_case(folder, name, images, volume(labels), [PROSTATE, BLADDER], model="m", replace=replace)


def test_a_case_is_listed_with_its_date_and_structures_and_reads_back_as_it_was(tmp_path: Path) -> None:
    written = add(tmp_path / "cases", "Anna CT")
    (case,) = collected_cases(tmp_path / "cases")
    assert case == written
    assert (case.name, case.structures, len(case.added)) == ("Anna CT", ("Prostate", "Bladder"), 19)
    scan, labels = read_image(case.images[0]).image, read_result(case.labels)
    assert scan.GetSpacing() == (2.0, 1.0, 3.0)
    assert scan[4, 3, 2] == 59
    assert labels.label_array[1, 2, 3] == 1
    assert labels.label_array.sum() == 1
    assert labels.grid.origin == (5.0, 6.0, 7.0)


def test_the_command_line_finds_the_collected_cases_of_a_model(tmp_path: Path) -> None:
    for name in ("Anna", "Bert"):
        add(tmp_path, name)
    found = read_corrections(tmp_path, CT, lambda line: pytest.fail(line))
    assert [(case.name, Path(case.images[0]).name, Path(case.labels).name) for case in found] == [
        (name, "CT.nrrd", "Segmentation.seg.nrrd") for name in ("Anna", "Bert")
    ]


def test_a_collected_case_is_taught_with_whatever_it_and_the_models_files_are_called(tmp_path: Path) -> None:
    names = ["Anna", "Anna label", "images"]
    for name in names:
        add(tmp_path, name, channels=("CT", "Dose"))
    channels = (Channel("CT", "CT", ("planning*",)), Channel("Dose", "RTDOSE", ("dose*",)))
    found = read_corrections(tmp_path, channels, lambda line: pytest.fail(line))
    assert {case.name for case in found} == set(names)
    assert [Path(image).name for image in found[0].images] == ["CT.nrrd", "Dose.nrrd"]


def test_the_images_of_several_channels_keep_the_models_order(tmp_path: Path) -> None:
    case = add(tmp_path, "Anna", channels=("T2", "FLAIR", "T1/T1"))
    assert [Path(image).name for image in case.images] == ["T2.nrrd", "FLAIR.nrrd", "T1_T1.nrrd"]
    assert collected_cases(tmp_path)[0].images == case.images
    same = add(tmp_path, "Bert", channels=("T/1", "T_1"))
    assert [Path(image).name for image in same.images] == ["T_1_1.nrrd", "T_1_2.nrrd"]


def test_a_case_is_replaced_only_on_request_and_as_a_whole(tmp_path: Path) -> None:
    add(tmp_path, "Anna", 1)
    with pytest.raises(OutputError, match="already a case Anna"):
        add(tmp_path, "Anna", 2)
    add(tmp_path, "Anna", 2, replace=True)
    (case,) = collected_cases(tmp_path)
    assert read_result(case.labels).label_array.max() == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["Anna"]


def test_a_case_knows_its_scan_by_the_voxels(tmp_path: Path) -> None:
    image = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    case, other = add(tmp_path, "Anna"), image.copy()
    other[0, 0, 0] += 1
    assert collected_cases(tmp_path) == [case]
    assert case.is_of({"CT": volume(image)})
    for another in (other, image.reshape(4, 3, 5), image.astype(np.uint16)):
        assert not case.is_of({"CT": volume(another)})


def test_a_free_name_is_that_of_no_other_scan(tmp_path: Path) -> None:
    image = {"CT": volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5))}
    other = {"CT": volume(np.zeros((3, 4, 5), np.int16))}
    cases = [add(tmp_path, "CT"), add(tmp_path, "ct 2")]
    assert free_name("CT", other, cases) == "CT 3"
    assert free_name("CT", image, cases) == "CT 2", "it is that case"
    assert free_name("a" * 64, other, cases) == "a" * 62 + " 2"


def test_a_folder_of_something_else_is_neither_listed_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "Anna").mkdir()
    (tmp_path / "Anna" / "thesis.txt").write_text("all of it")
    assert collected_cases(tmp_path) == []
    with pytest.raises(OutputError, match="not a collected case"):
        add(tmp_path, "Anna", replace=True)
    assert (tmp_path / "Anna" / "thesis.txt").is_file()


def test_a_case_that_could_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(collected, "write_segments", full)
    with pytest.raises(OutputError, match="no space left on device"):
        add(tmp_path, "Anna")
    assert list(tmp_path.iterdir()) == []


def test_a_case_whose_replacing_was_interrupted_gets_its_name_back(tmp_path: Path) -> None:
    add(tmp_path, "Anna")
    (tmp_path / "Anna").rename(tmp_path / ".replaced-Anna")
    assert collected_cases(tmp_path) == []
    add(tmp_path, "Bert")
    assert {case.name for case in collected_cases(tmp_path)} == {"Anna", "Bert"}


def test_removing_a_case_leaves_files_of_others(tmp_path: Path) -> None:
    first, second = add(tmp_path, "Anna"), add(tmp_path, "Bert")
    (tmp_path / "Bert" / "notes.txt").write_text("mine")
    remove_case(first)
    remove_case(second)
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "Bert", str(Path("Bert", "notes.txt"))
    ]  # fmt: skip
    assert collected_cases(tmp_path) == []


def test_a_case_whose_files_have_gone_is_removed_without_a_complaint(tmp_path: Path) -> None:
    case = add(tmp_path, "Anna")
    shutil.rmtree(tmp_path / "Anna")
    remove_case(case)
    assert list(tmp_path.iterdir()) == []


def test_nothing_contoured_is_no_case(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Nothing is contoured in Anna"):
        add(tmp_path, "Anna", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Anna: CT/2", "Anna_ CT_2"), ("  .. ", ""), ("con", "con_"), ("Zoë 1.5 mm", "Zoë 1.5 mm"), ("a" * 99, "a" * 64)
    ],
)  # fmt: skip
def test_a_name_is_made_safe_for_every_file_system(text: str, name: str) -> None:
    assert safe_case_name(text) == name


def test_a_name_that_is_not_safe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be the name"):
        add(tmp_path, f"..{os.sep}Anna")
    assert list(tmp_path.iterdir()) == []
