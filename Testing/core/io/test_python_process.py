"""Processes that the program starts import nothing from the folder that the user happens to be in."""

from __future__ import annotations

import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from AutofocusCore.images import read_image
from AutofocusCore.io.python_process import module_command
from AutofocusCore.worker.client import WorkerProcess
from Testing.conftest import ImageWriter
from Testing.waiting import patience


@pytest.fixture
def hostile_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: beside the scans lie files that have the names of modules, and say so when they run."""
    folder = tmp_path / "scans from elsewhere"
    folder.mkdir()
    code = f"open({str(tmp_path / 'it ran')!r}, 'w').close()\nraise SystemExit(3)\n"
    for name in ("json", "queue", "numpy", "runpy", "torch", "AutofocusCore"):
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def test_a_module_gets_its_arguments_and_not_the_modules_of_the_current_folder(hostile_folder: Path) -> None:
    command = module_command(sys.executable, "json.tool", "--help")
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
    assert not (hostile_folder.parent / "it ran").exists()


def test_an_image_of_a_rarer_format_is_read_without_running_files_beside_it(
    hostile_folder: Path, write_random_image: ImageWriter
) -> None:
    path = write_random_image(f"{hostile_folder.name}/scan.vtk")
    image = read_image(path.relative_to(Path.cwd())).image
    assert sitk.Hash(image) == sitk.Hash(sitk.ReadImage(str(path)))
    assert not (hostile_folder.parent / "it ran").exists()


def test_a_worker_runs_no_files_of_the_current_folder(hostile_folder: Path) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    worker = WorkerProcess(answers, threads=1)
    try:
        worker.send({"id": 1, "request": "hello"})
        _, message = answers.get(timeout=patience())
        assert message is not None
        assert message["type"] == "result"
        assert not (hostile_folder.parent / "it ran").exists()
    finally:
        worker.kill()
