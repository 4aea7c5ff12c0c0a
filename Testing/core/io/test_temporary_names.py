"""Temporary names: leftovers of ended processes are removed, files that are still being written are not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from AutofocusCore.io import temporary
from AutofocusCore.io.temporary import DAY, PREFIX, aside_name, is_leftover, remove_leftovers

FROM_ELSEWHERE = f"{PREFIX}ffffff-4711-0123456789abcdef.nrrd"
"""Of a computer whose name has another checksum than this one's."""


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "pass"]) as process:
        return process.pid


def of_process(folder: Path, number: int, suffix: str = ".nrrd") -> Path:
    """A file with the temporary name that a process with this number gives."""
    name = aside_name(folder / "a.nrrd", suffix).name.replace(f"-{os.getpid()}-", f"-{number}-")
    path = folder / name
    path.write_bytes(b"half")
    return path


def test_a_file_of_an_ended_process_is_removed_and_one_of_a_running_process_stays(tmp_path: Path, ended: int) -> None:
    own, parent, left = (of_process(tmp_path, number) for number in (os.getpid(), os.getppid(), ended))
    other = tmp_path / "result.nrrd"
    other.write_bytes(b"whole")
    assert remove_leftovers(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([own, parent, other])
    assert not left.exists()


def test_a_folder_of_an_ended_process_is_removed_with_its_files_and_subfolders_are_not_searched(
    tmp_path: Path, ended: int
) -> None:
    left = of_process(tmp_path, ended, "")
    left.unlink()
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "half.nii.gz").write_bytes(b"half")
    (tmp_path / "sub").mkdir()
    below = of_process(tmp_path / "sub", ended)
    assert remove_leftovers(tmp_path) == 1
    assert not left.exists()
    assert below.exists()


@pytest.mark.parametrize("name", [FROM_ELSEWHERE, f"{PREFIX}something.nrrd"])
def test_a_file_of_another_computer_or_of_unknown_origin_is_a_leftover_after_a_day(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"half")
    assert not is_leftover(path)
    before = time.time() - DAY - 60
    os.utime(path, (before, before))
    assert is_leftover(path)
    assert remove_leftovers(tmp_path) == 1


def test_a_number_that_no_process_can_have_is_that_of_a_leftover(tmp_path: Path) -> None:
    assert is_leftover(of_process(tmp_path, 9_999_999_999))


def test_a_file_that_has_just_been_removed_by_another_process_is_no_leftover(tmp_path: Path) -> None:
    assert not is_leftover(tmp_path / FROM_ELSEWHERE)


def test_a_process_that_belongs_to_someone_else_counts_as_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: int, number: int) -> None:
        raise PermissionError

    path = of_process(tmp_path, 4711)
    monkeypatch.setattr(temporary.os, "kill", refuse)
    assert not is_leftover(path)


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "nowhere") == 0
