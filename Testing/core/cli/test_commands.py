"""The command `autofocus`, as a process: results, sentences, exit status, and no file but whole ones."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio

from Testing import fork_server
from Testing.waiting import patience

Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def sentence(run: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error, and nothing like a traceback."""
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("autofocus: ") and "warning" not in line]
    assert len(lines) == 1, run.stderr
    assert re.fullmatch(r"autofocus: .+; .+\.", lines[0])
    return lines[0]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_segment_writes_everything_that_is_asked_for(
    autofocus: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("MR ü.nii.gz", spacing=(1.2, 0.8, 1.5), origin=(-20, 30, 5), direction=OBLIQUE)
    run = autofocus(
        "segment", scan, "-m", tiny_model, "-o", "out.seg.nrrd", "--attention", "maps", "--probabilities", "p.nrrd",
        "--stats", "stats.csv", "--precision", "float32", "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "synthetic" in run.stderr
    result = json.loads(run.stdout)
    assert (result["device"], result["precision"]) == ("cpu", "float32") or result["device"] != "cpu"
    expected = {"out.seg.nrrd", "p.nrrd", "stats.csv", "maps/out_attention-1.seq.nrrd", "maps/out_dilation-1.nrrd"}
    expected.add("maps/out_reach.nrrd")
    assert files_in(tmp_path) == {scan.name, *expected} == {scan.name, *result["files"]}

    image, labels = sitk.ReadImage(str(scan)), sitk.ReadImage(str(tmp_path / "out.seg.nrrd"))
    assert labels.GetSize() == image.GetSize()
    for part in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, part)(), getattr(image, part)(), atol=1e-5)
    voxels = sitk.GetArrayFromImage(labels)
    assert set(np.unique(voxels)) == {0, 1, 2}
    probabilities = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "p.nrrd")))
    np.testing.assert_array_equal(probabilities.argmax(-1), voxels)
    rows = list(csv.DictReader((tmp_path / "stats.csv").open(encoding="utf-8")))
    assert [int(row["voxels"]) for row in rows] == [int((voxels == label).sum()) for label in (1, 2)]
    assert float(rows[0]["volume_ml"]) == pytest.approx(result["volumes_ml"]["Anterior hippocampus"], abs=1e-4)

    segmentation = slicerio.read_segmentation(str(tmp_path / "out.seg.nrrd"), skip_voxels=True)
    assert [s["name"] for s in segmentation["segments"]] == ["Anterior hippocampus", "Posterior hippocampus"]
    record = json.loads(segmentation["AutofocusSegmentation"])
    assert record["model"]["name"] == "tiny"
    assert len(record["model"]["sha256"]) == 64
    assert record["inputs"] == {"MR": "MR ü.nii.gz"}


def test_the_region_of_interest_may_be_a_mask_or_a_box(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd")
    inside = np.zeros((12, 14, 16), np.uint8)
    inside[2:8, 4:10, 3:11] = 1
    mask = sitk.GetImageFromArray(inside)
    mask.CopyInformation(sitk.ReadImage(str(scan)))
    sitk.WriteImage(mask, str(tmp_path / "mask.nrrd"))
    # The faces of the mask's voxels in LPS are x 2.5 … 10.5, y 3.5 … 9.5; RAS has the signs of both turned.
    for number, region in enumerate(("mask.nrrd", "LPS:2.6,3.6,1.6,10.4,9.4,7.4", "-2.6,-3.6,1.6,-10.4,-9.4,7.4")):
        run = autofocus_here("segment", scan, "-m", tiny_model, "-o", f"{number}.nrrd", "--roi", region, "--quiet")
        assert run.returncode == 0, run.stderr
        assert run.stdout == ""
    results = [sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{i}.nrrd"))) for i in range(3)]
    assert results[0].any()
    assert not results[0][inside == 0].any()
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_help_and_wrong_usage_are_quick_and_do_not_load_torch(tmp_path: Path) -> None:
    check = (
        "import sys; from AutofocusCore.cli import main; status = main(sys.argv[1:]);"
        "assert not {'torch', 'SimpleITK', 'numpy.linalg'} & set(sys.modules); sys.exit(status)"
    )
    for arguments, status, text in (
        (["--help"], 0, "segment"),
        (["segment", "--help"], 0, "--attention"),
        ([], 2, "COMMAND"),
        (["segment", "a.nii"], 2, "-m/--model"),
        (["segment", "a.nii", "-m", "x", "-o", "o.nii", "--roi", "1,2,3"], 2, "six numbers"),
        (["segment", "a.nii", "-m", "x", "-o", "o.nii", "--memory-limit", "much"], 2, "no size of memory"),
        (["segment", "a.nii", "-m", "x", "-o", "o.stl"], 1, "use .seg.nrrd"),
        (["batch", "none.csv", "-m", "no-such-model", "-o", "out"], 1, "There is no model 'no-such-model'"),
    ):
        command = [sys.executable, "-c", check, *arguments]
        run = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=False)
        assert (run.returncode, text in run.stdout + run.stderr) == (status, True), run.stderr
        assert "Traceback" not in run.stderr
    assert not files_in(tmp_path)


def test_bad_input_is_one_sentence_and_leaves_no_file(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd")
    (tmp_path / "text.nii.gz").write_text("no image", encoding="utf-8")
    before = files_in(tmp_path)
    for arguments, what in (
        (["missing.nii.gz", "-m", tiny_model, "-o", "o.seg.nrrd"], "missing.nii.gz"),
        (["text.nii.gz", "-m", tiny_model, "-o", "o.seg.nrrd"], "not an image"),
        ([scan, scan, "-m", tiny_model, "-o", "o.seg.nrrd"], "expects 1 image (MR), but 2 were given; give one image "),
        ([scan, "-m", tiny_model, "-o", "o.seg.nrrd", "--device", "cuda:77"], "no device 'cuda:77'"),
        ([scan, "-m", tiny_model, "-o", "none/o.seg.nrrd"], "none does not exist"),
        ([scan, "-m", tiny_model, "-o", scan], "is also an input"),
        ([scan, "-m", tiny_model, "-o", "o.seg.nrrd", "--roi", "900,900,900,950,950,950"], "does not touch the image"),
        ([scan, "-m", tiny_model, "-o", "o.seg.nrrd", "--frame", "3"], "frame"),
    ):
        run = autofocus_here("segment", *arguments)
        assert what in sentence(run), run.stderr
        assert files_in(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file.")
def test_a_disk_that_fills_up_while_writing_leaves_nothing(
    tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd", shape=(16, 16, 16))
    before = files_in(tmp_path)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from AutofocusCore.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    options = ["-o", "o.seg.nrrd", "--attention", "new/maps", "--probabilities", "p.nrrd"]
    command = [sys.executable, "-c", code, "segment", str(scan), "-m", str(tiny_model), *options]
    run = fork_server.run(command, cwd=tmp_path, env=ENVIRONMENT)
    assert "too large; free space there" in sentence(run)
    assert files_in(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows.")
def test_ctrl_c_at_any_moment_is_a_sentence_and_leaves_nothing(
    start_autofocus: Start, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    scan = write_random_image("a.nrrd", shape=(40, 40, 40))
    before = files_in(tmp_path)
    in_the_start: list[float | str] = [0.0, 0.1, 0.3, 0.6, "numpy", "SimpleITK", "torch.nn"]  # seconds, or imports
    moments = [*in_the_start, "Computing", "Computing"]
    processes = []
    for moment in moments:
        command = ("segment", scan, "-m", tiny_model, "-o", "o.seg.nrrd", "--attention", "maps")
        process = start_autofocus(*command, fresh=moment in in_the_start)
        assert process.stderr is not None
        seen = ""
        if isinstance(moment, float):
            time.sleep(moment)
        else:
            while moment not in seen:
                line = process.stderr.readline()
                assert line, (moment, seen)
                seen += line
        process.send_signal(signal.SIGINT)
        processes.append((moment, process, seen))
        _, errors = process.communicate(timeout=patience())
        assert process.returncode == 1, (moment, errors)
        assert "Traceback" not in errors, (moment, errors)
        assert errors.strip().splitlines()[-1].endswith("start it again when you like."), (moment, errors)
        assert files_in(tmp_path) == before, moment
    assert not (tmp_path / "maps").exists()


def test_a_fault_of_ours_is_a_sentence_too_and_a_traceback_on_request(
    autofocus_here: Autofocus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("AutofocusCore.cli.devices.print_table", lambda *_: 1 / 0)
    assert sentence(autofocus_here("devices")) == (
        "autofocus: This should not have happened (ZeroDivisionError: division by zero); "
        "run it again with --debug and report what it shows."
    )
    assert "Traceback" in autofocus_here("devices", "--debug").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="There is no /dev/full.")
def test_output_that_nobody_can_take_is_no_traceback(tmp_path: Path) -> None:
    for redirection, status in (("| head -1", 0), ("> /dev/full", 1), (">&-", 0), ("2>&-", 0)):
        shell = f"{sys.executable} -m AutofocusCore.cli models list {redirection}"
        run = subprocess.run(shell, shell=True, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=False)
        assert (run.returncode, "Traceback" in run.stderr) == (status, False), (redirection, run.stderr)


def test_frames_of_a_4d_image_get_files_of_their_own(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(2, 8, 9, 10)).astype(np.float32)
    frames = [sitk.GetImageFromArray(frame) for frame in values]
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / "dynamic.nii.gz"))
    run = autofocus_here("segment", "dynamic.nii.gz", "-m", tiny_model, "-o", "o.nii.gz", "--frame", "all", "--json")
    assert run.returncode == 0, run.stderr
    assert len(json.loads(run.stdout)["frames"]) == 2
    names = {f"o_frame-{n}{ending}" for n in (0, 1) for ending in (".nii.gz", ".json")}
    assert files_in(tmp_path) == {"dynamic.nii.gz", *names}
    assert "frame" in sentence(autofocus_here("segment", "dynamic.nii.gz", "-m", tiny_model, "-o", "o.nii.gz"))


def test_models_devices_networks_and_phantoms(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = autofocus_here("models", "info", tiny_model)
    assert "SYNTHETIC" in info.stdout
    assert "SCT 5366008" in info.stdout
    assert json.loads(autofocus_here("models", "info", tiny_model, "--json").stdout)["autofocus"]["name"] == "tiny"
    assert autofocus_here("models", "export", tiny_model, "tiny.zip").returncode == 0
    verified = autofocus_here("models", "verify", "tiny.zip")
    assert "is whole" in verified.stdout, verified.stderr
    (tmp_path / "tiny.zip").write_bytes((tmp_path / "tiny.zip").read_bytes()[:-2000])
    assert autofocus_here("models", "verify", "tiny.zip").returncode == 1

    networks = autofocus_here("networks")
    assert networks.returncode == 0
    assert len(re.findall(r"^\S+ +([\d,]+) +\1$", networks.stdout, re.MULTILINE)) == 10
    monkeypatch.setattr("AutofocusCore.kernels.native_kernel", lambda: None)
    assert "in PyTorch: native code was not built here" in autofocus_here("devices").stdout
    devices = json.loads(autofocus_here("devices", "--json").stdout)
    assert devices[-1]["id"] == "cpu"
    assert devices[-1]["free_bytes"] > 0

    assert autofocus_here("phantom", "ct.nii.gz", "--seed", "3", "--labels", "true.seg.nrrd").returncode == 0
    truth = slicerio.read_segmentation(str(tmp_path / "true.seg.nrrd"))
    assert {"Prostate", "Bladder"} <= {s["name"] for s in truth["segments"]}
    assert sitk.ReadImage(str(tmp_path / "ct.nii.gz")).GetSize() == truth["voxels"].shape
