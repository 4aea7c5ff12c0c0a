"""A batch that is killed anywhere leaves each case as it was or as it is to be, and the next start leaves no trace."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.batch.manifest import STATE_FOLDER, Manifest
from AutofocusCore.io.atomic import Staging

FILES = ["a.seg.nrrd", "a.json", "a_probabilities.nrrd"]
STEPS = ("rename", "replace", "link", "unlink", "rmdir", "mkdir", "open", "scandir", "fsync")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Processes fork on POSIX systems only.")


def die_at(step: int) -> Callable[[], None]:
    """Kill this process just before its given file operation. Returns what ends the counting."""
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))

    def stop() -> None:
        left[0] = 0

    return stop


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Whether a child that does the work reaches the step, where it dies."""
    child = os.fork()
    if child == 0:
        stop = die_at(step)
        with contextlib.suppress(BaseException):
            work()
        stop()  # the end of a process may write files too, where coverage is measured
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def save(folder: Path, version: str, names: list[str]) -> None:
    manifest = Manifest(folder)
    part = manifest.new_part("a")
    for name in names:
        (part / name).parent.mkdir(exist_ok=True)
        (part / name).write_text(version, encoding="ascii")
    outcome = {"type": "result", "files": [str(part / name) for name in names]}
    manifest.finish("a", print_of(version), outcome)


def print_of(version: str) -> dict[str, str]:
    return dict.fromkeys(("model", "settings", "inputs", "outputs", "version"), version)


@pytest.mark.parametrize("maps", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_a_case_is_old_or_new_whatever_moment_its_batch_is_killed_at(tmp_path: Path, maps: int) -> None:
    new = [*FILES, *(f"a_attention/{number}.nrrd" for number in range(maps - 1))]
    old = [*new, "a_attention/last.nrrd"]
    ends = set()
    step = 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        save(folder, "old", old)
        if not killed_at(step, lambda folder=folder: save(folder, "new", new)):
            break
        Manifest(folder).recover()
        found = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}
        record = found.pop(f"{STATE_FOLDER}/records/a.json")
        assert found in (dict.fromkeys(old, "old"), dict.fromkeys(new, "new")), step
        version = found[FILES[0]]
        ends.add(version)
        assert f'"model": "{version}"' in record, step
        assert Manifest(folder).finished_outcome("a", print_of(version))[0] is not None, step
    assert step > (100 if maps == 40 else 25)
    assert ends == {"old", "new"}


def test_files_written_together_are_all_new_after_a_second_run_wherever_the_first_was_killed(tmp_path: Path) -> None:
    def write(folder: Path, version: str) -> None:
        with Staging() as staging:
            for name in FILES:
                staging.aside(folder / name).write_text(version, encoding="ascii")

    step = 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        write(folder, "old")
        if not killed_at(step, lambda folder=folder: write(folder, "new")):
            break
        write(folder, "new")
        assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(FILES, "new"), step
    assert step > 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_batch_killed_a_hundred_times_ends_as_one_that_was_not(
    start_autofocus: Callable[..., subprocess.Popen[str]],
    autofocus: Callable[..., subprocess.CompletedProcess[str]],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "scans").mkdir()
    for seed in range(12):
        image = sitk.GetImageFromArray(np.random.default_rng(seed).normal(size=(8, 8, 8)).astype(np.float32))
        sitk.WriteImage(image, str(tmp_path / "scans" / f"{seed}.nrrd"))
    command = ("batch", tmp_path / "scans", "-m", tiny_model, "--device", "cpu", "--attention")
    start = time.monotonic()
    assert autofocus(*command, "-o", "whole").returncode == 0
    once = time.monotonic() - start
    out, moments = tmp_path / "out", random.Random(0)
    for number in range(100):
        process = start_autofocus(*command, "-o", out, "--workers", 1 + number % 2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, once))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if number % 10 == 9:  # begin anew now and then, so that there is always something to do
            for path in out.glob("*.seg.nrrd"):
                path.unlink()
    done = autofocus(*command, "-o", out)
    assert done.returncode == 0, done.stderr

    def labels(folder: Path) -> dict[str, bytes]:
        images = {path.name: sitk.ReadImage(str(path)) for path in sorted(folder.glob("*.seg.nrrd"))}
        return {name: sitk.GetArrayFromImage(image).tobytes() for name, image in images.items()}

    assert labels(out) == labels(tmp_path / "whole")
    folders = (out, tmp_path / "whole")
    names = [sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) for folder in folders]
    assert names[0] == names[1]
