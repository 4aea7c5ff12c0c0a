"""Names of cases: whatever a file is called, the others are done and the tables can be written."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.batch import Case, read_cohort
from AutofocusCore.batch.tables import write_tables
from AutofocusCore.models import Channel

MR = (Channel("MR", "MR", ("*",)),)
DAMAGED = os.fsdecode(b"sc\xffan.nii.gz")
PROBLEM = (r"The name sc\xffan.nii.gz has characters that are not valid Unicode (UTF-8)", "rename it")


def write_small_image(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(512, dtype=np.float32).reshape(8, 8, 8)), str(path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, of which one has a name that is not UTF-8."""
    folder = tmp_path / "scans"
    folder.mkdir()
    write_small_image(folder / "anna.nii.gz")
    try:
        (folder / DAMAGED).write_bytes((folder / "anna.nii.gz").read_bytes())
    except OSError:
        pytest.skip("This file system takes UTF-8 names only.")
    return folder


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="There every file name is Unicode.")


def test_a_file_whose_name_is_not_utf_8_fails_alone(folder: Path) -> None:
    anna, damaged = read_cohort(folder, MR)
    assert (anna.name, anna.problem) == ("anna", None)
    assert damaged == Case(r"sc\xffan", (), PROBLEM)
    assert damaged.stem == "sc_xffan"


def test_a_folder_whose_name_is_not_utf_8_is_named(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xe9tude") / "p1"
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("This file system takes UTF-8 names only.")
    (folder / "a.nii").touch()
    (case,) = read_cohort(folder.parent, MR)
    assert case.problem == (r"The name \xe9tude has characters that are not valid Unicode (UTF-8)", "rename it")


def test_what_is_said_and_written_of_such_names_is_utf_8(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    (folder / os.fsdecode(b"\xe9.seg.nrrd")).touch()
    read_cohort(folder, MR, say=lines.append)
    assert [line.encode("utf-8") for line in lines]
    name = os.fsdecode(b"\xe9")
    assert Case(name, ()).stem == "_xe9"
    error = {"type": "error", "code": "input", "cause": name, "remedy": "rename it"}
    write_tables(tmp_path, [name], {name: error}, ["liver"])
    assert (tmp_path / "failures.csv").read_text(encoding="utf-8").count("rename it") == 1


def test_a_batch_with_such_a_name_does_the_others(
    autofocus_here: Callable[..., CompletedProcess[str]], tiny_model: Path, folder: Path, tmp_path: Path
) -> None:
    done = autofocus_here("batch", folder, "-m", tiny_model, "-o", "out", "--device", "cpu", "--precision", "float32")
    assert done.returncode == 1, done.stderr
    assert (
        r"sc\xffan: The name sc\xffan.nii.gz has characters that are not valid Unicode (UTF-8); rename it."
        in done.stderr
    )
    assert "1 of 2 cases are done" in done.stdout
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8", newline="") as stream:
        assert [(row["case"], row["remedy"]) for row in csv.DictReader(stream)] == [(r"sc\xffan", "rename it")]


def test_a_batch_says_even_quietly_what_it_leaves_out(
    autofocus_here: Callable[..., CompletedProcess[str]], tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    write_small_image(tmp_path / "scans" / "anna.nii.gz")
    (tmp_path / "scans" / "anna_seg.nii.gz").touch()
    done = autofocus_here("batch", "scans", "-m", tiny_model, "-o", "out", "--device", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "autofocus: warning: 1 file is skipped because its name says" in done.stderr
