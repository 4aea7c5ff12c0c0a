"""`autofocus segment`: all files or none, the frames of a 4-D image, and what is refused before it computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing import fork_server

Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).resolve().parents[3]
MAPS = {"maps/o_attention-1.seq.nrrd", "maps/o_dilation-1.nrrd", "maps/o_reach.nrrd"}
ALL_FILES = {"o.nii.gz", "o.json", "s.csv", *MAPS}


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def error(run: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The sentence that a run ended with."""
    assert run.returncode == status, run.stderr
    assert "Traceback" not in run.stderr
    return run.stderr.strip().splitlines()[-1]


def write_frames(path: Path, *, count: int = 3, constant: int | None = None) -> None:
    """A 4-D image; one of its frames may be constant, which is no image."""
    values = np.random.default_rng(0).normal(size=(count, 8, 9, 10)).astype(np.float32)
    if constant is not None:
        values[constant] = 3
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(frame) for frame in values]), str(path))


# Sends the process a signal after the rename of that number.
INTERRUPTED_RENAME = """
import os, pathlib, signal, sys
real, count = pathlib.Path.replace, 0
def replace(self, target):
    global count
    result, count = real(self, target), count + 1
    if count == int(os.environ["AT"]):
        os.kill(os.getpid(), signal.SIGINT)
    return result
pathlib.Path.replace = replace
signal.signal(signal.SIGINT, signal.default_int_handler)
from AutofocusCore.cli import main
sys.exit(main())
"""


def interrupted(folder: Path, rename: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", INTERRUPTED_RENAME, "segment", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AT": str(rename)}
    return fork_server.run(command, cwd=folder, env=environment)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows.")
@pytest.mark.parametrize("rename", [1, 5])
def test_ctrl_c_while_files_get_their_names_comes_too_late(
    tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path, rename: int
) -> None:
    scan = write_random_image("a.nrrd")
    run = interrupted(
        tmp_path, rename, scan, "-m", tiny_model, "-o", "o.nii.gz", "--attention", "maps", "--stats", "s.csv"
    )
    assert run.returncode == 0, run.stderr
    assert "interrupted" not in run.stderr
    assert "Written:" in run.stdout
    assert files_in(tmp_path) == {scan.name} | ALL_FILES


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows.")
def test_ctrl_c_among_frames_names_those_that_are_written(tiny_model: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "four.nrrd")
    run = interrupted(
        tmp_path, 2, "four.nrrd", "-m", tiny_model, "-o", "o.seg.nrrd", "--frame", "all", "--stats", "s.csv"
    )
    assert error(run) == (
        "autofocus: The run was interrupted (of 3 frames, frame 0 was written); start it again when you like."
    )
    assert files_in(tmp_path) == {"four.nrrd", "o_frame-0.seg.nrrd", "s_frame-0.csv"}
    assert "o_frame-0.seg.nrrd" in run.stdout


def test_a_frame_that_fails_is_named_beside_those_that_are_written(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path
) -> None:
    write_frames(tmp_path / "four.nrrd", count=4, constant=2)
    command = ("segment", "four.nrrd", "-m", tiny_model, "-o", "o.seg.nrrd", "--frame", "all")
    run = autofocus_here(*command)
    assert error(run).startswith("autofocus: Frame 2: ")
    assert error(run).count(" (of 4 frames, frames 0 to 1 were written); ") == 1
    assert "o_frame-0.seg.nrrd" in run.stdout
    assert "o_frame-1.seg.nrrd" in run.stdout
    assert files_in(tmp_path) == {"four.nrrd", "o_frame-0.seg.nrrd", "o_frame-1.seg.nrrd"}
    told = json.loads(autofocus_here(*command, "--json").stdout)
    assert [frame["files"] for frame in told["frames"]] == [["o_frame-0.seg.nrrd"], ["o_frame-1.seg.nrrd"]]


def test_when_the_first_frame_fails_nothing_is_said_of_others(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path
) -> None:
    write_frames(tmp_path / "four.nrrd", constant=0)
    run = autofocus_here("segment", "four.nrrd", "-m", tiny_model, "-o", "o.seg.nrrd", "--frame", "all")
    assert "written" not in error(run)
    assert run.stdout == ""
    assert files_in(tmp_path) == {"four.nrrd"}


def test_all_channels_must_have_as_many_frames(
    autofocus_here: Autofocus, two_channel_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    write_frames(tmp_path / "three.nrrd")
    write_frames(tmp_path / "two.nrrd", count=2)
    plain = write_random_image("plain.nrrd", shape=(8, 9, 10))
    before = files_in(tmp_path)
    for second in ("two.nrrd", plain):
        for images in (("three.nrrd", second), (second, "three.nrrd")):
            run = autofocus_here("segment", *images, "-m", two_channel_model, "-o", "o.seg.nrrd", "--frame", "all")
            assert "images have different numbers of frames" in error(run)
            assert "three.nrrd 3" in error(run)
            assert files_in(tmp_path) == before
    run = autofocus_here("segment", "two.nrrd", "two.nrrd", "-m", two_channel_model, "-o", "o.nii", "--frame", "all")
    assert run.returncode == 0, run.stderr


def test_the_frames_are_those_of_the_series_that_is_asked_for(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "a.nrrd")
    asked: list[tuple[object, object]] = []

    def frame_count(path: object, *, series: object = None) -> int:
        asked.append((path, series))
        return 2

    monkeypatch.setattr("AutofocusCore.images.frame_count", frame_count)
    autofocus_here("segment", "a.nrrd", "-m", tiny_model, "-o", "o.nii", "--frame", "all", "--series", "t2")
    assert asked == [("a.nrrd", "t2")]


def test_attention_replaces_no_input_and_no_other_output(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("o_dilation-1.nrrd")
    before = scan.read_bytes()
    run = autofocus_here("segment", scan, "-m", tiny_model, "-o", "o.seg.nrrd", "--attention", ".")
    assert "is also an input" in error(run)
    other = scan.rename(tmp_path / "a.nrrd")
    run = autofocus_here(
        "segment", other, "-m", tiny_model, "-o", "o.seg.nrrd", "--attention", ".", "--probabilities", scan.name
    )
    assert "Two outputs have the same name" in error(run)
    assert (files_in(tmp_path), other.read_bytes()) == ({"a.nrrd"}, before)


def test_a_sidecar_of_the_scan_is_kept(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("scan.nii.gz")
    (tmp_path / "scan.json").write_text('{"Modality": "MR"}', encoding="utf-8")
    run = autofocus_here("segment", scan, "-m", tiny_model, "-o", "scan.mha")
    assert "scan.json, which is not a label sidecar" in error(run)
    assert (tmp_path / "scan.json").read_text(encoding="utf-8") == '{"Modality": "MR"}'
    for _ in range(2):  # a sidecar of ours is replaced
        assert autofocus_here("segment", scan, "-m", tiny_model, "-o", "o.mha", "--quiet").returncode == 0
    write_frames(tmp_path / "two.nrrd", count=2)
    run = autofocus_here("segment", "two.nrrd", "-m", tiny_model, "-o", "scan.mha", "--frame", "all")
    assert run.returncode == 0, run.stderr  # the sidecars are scan_frame-0.json and scan_frame-1.json


def test_layers_are_counted_as_the_option_counts_them(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd")
    command = ("segment", scan, "-m", tiny_model, "-o", "o.seg.nrrd", "--attention-layers")
    run = autofocus_here(*command, "1,9", "--attention", "maps")
    assert error(run) == (
        "autofocus: The model tiny has no autofocus layer 9; "
        "give --attention-layers numbers from 1 to 1, or leave it out for all."
    )
    run = autofocus_here(*command, "1")
    assert "--attention-layers" in error(run, status=2)
    assert "--attention" in error(run, status=2)
    assert files_in(tmp_path) == {"a.nrrd"}


@pytest.mark.skipif(sys.platform == "win32", reason="Names are Unicode there.")
def test_a_name_that_is_no_unicode_is_a_sentence(
    tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd")
    arguments = ["segment", str(scan), "-m", str(tiny_model), "-o", b"sc\xffan.nii.gz"]
    command = [sys.executable, "-m", "AutofocusCore.cli", *arguments]
    run = fork_server.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert "not valid Unicode (UTF-8); rename it." in error(run)
    assert files_in(tmp_path) == {"a.nrrd"}


def test_an_empty_name_is_not_the_current_folder(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd")
    assert "name of an image is empty" in error(autofocus_here("segment", "", "-m", tiny_model, "-o", "o.nrrd"))
    assert "name of the model is empty" in error(autofocus_here("segment", scan, "-m", "", "-o", "o.nrrd"))
    sound = ("segment", scan, "-m", tiny_model, "-o")
    for outputs in ([""], ["o.nrrd", "--attention", ""], ["o.nrrd", "--probabilities", ""], ["o.nrrd", "--roi", ""]):
        assert " is ''; give the name of a " in error(autofocus_here(*sound, *outputs))
    assert files_in(tmp_path) == {"a.nrrd"}


def test_a_sentence_is_one_line_whatever_a_file_is_called(autofocus_here: Autofocus, tiny_model: Path) -> None:
    run = autofocus_here("segment", "a\nb\t.nrrd", "-m", tiny_model, "-o", "o.nrrd", "--quiet")
    assert error(run) == r"autofocus: There is no file or folder a\nb\t.nrrd; check its name and place."
    run = autofocus_here("segment", "a.nrrd", "-m", "~nosuchuser/model", "-o", "o.nrrd", "--quiet")
    assert "There is no model at" in error(run)


def test_a_box_with_what_is_no_number_is_no_mask(autofocus_here: Autofocus, tiny_model: Path) -> None:
    run = autofocus_here("segment", "a.nrrd", "-m", tiny_model, "-o", "o.nrrd", "--roi", "0,0,0,nan,1,1")
    assert "is no box" in error(run, status=2)
