"""Preparing as a whole: from the command line, on folders of images and labels; interrupted, repeated, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.io.holding import HELD, hold
from Testing import fork_server
from Testing.waiting import alive, wait_until
from Training.prepare import main
from Training.preparing.data_list import read_data_list

ROOT = Path(__file__).resolve().parents[2]
DIRECTION = (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)
"""Oblique, so that a lost direction shows."""


def write(path: Path, array: NDArray[np.generic], spacing: Sequence[float] = (1.5, 1.0, 2.0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    if array.ndim == 3:
        image.SetSpacing(spacing)
        image.SetOrigin((10.5, -20.25, 3.0))
        image.SetDirection(DIRECTION)
    sitk.WriteImage(image, str(path))


def scan(seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 2000, (8, 9, 10)).astype(np.int16)
    labels = np.zeros(image.shape, dtype=np.uint8)
    labels[2:5, 3:6, 2:7] = 1
    labels[5:7, 3:6, 2 : 4 + seed % 3] = 2
    return image, labels


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for i in range(5):
        image, labels = scan(i)
        write(folder / "imagesTr" / f"case_{i}.nii.gz", image)
        write(folder / "labelsTr" / f"case_{i}.nii.gz", labels)
    return folder


def prepare(source: Path, out: Path, *more: str) -> int:
    return main(["folder", str(source), str(out), "--structures", "Liver,Tumour", "--channels", "CT", *more])


def read(path: Path) -> NDArray[np.generic]:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_values_type_and_geometry_are_those_of_the_files(source: Path, tmp_path: Path) -> None:
    assert prepare(source, tmp_path / "out") == 0
    listed = read_data_list(tmp_path / "out")
    assert [case.name for case in listed.cases] == [f"case_{i}" for i in range(5)]
    assert listed.structures == {"1": "Liver", "2": "Tumour"}
    assert listed.channels == ("CT",)
    for i, case in enumerate(listed.cases):
        image, labels = scan(i)
        made = sitk.ReadImage(str(tmp_path / "out" / case.images[0]))
        original = sitk.ReadImage(str(source / "imagesTr" / f"case_{i}.nii.gz"))
        assert made.GetPixelID() == original.GetPixelID()
        assert np.array_equal(sitk.GetArrayFromImage(made), image)
        np.testing.assert_allclose(made.GetDirection(), original.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(made.GetOrigin(), original.GetOrigin(), atol=1e-5)
        np.testing.assert_allclose(made.GetSpacing(), original.GetSpacing(), atol=1e-6)
        assert np.array_equal(read(tmp_path / "out" / str(case.labels)), labels)
        assert case.roi is None
        assert case.voxels == {"1": int((labels == 1).sum()), "2": int((labels == 2).sum())}


def test_an_offset_leaves_whole_numbers_whole(source: Path, tmp_path: Path) -> None:
    image, labels = scan(9)
    write(source / "imagesTr" / "unsigned.nii.gz", image.astype(np.uint16))
    write(source / "labelsTr" / "unsigned.nii.gz", labels)
    assert prepare(source, tmp_path / "out", "--offset", "-1024") == 0
    case = read_data_list(tmp_path / "out").cases[-1]
    shifted = read(tmp_path / "out" / case.images[0])
    assert shifted.dtype == np.int16
    assert np.array_equal(shifted, image - 1024)


def test_every_fault_is_named_with_its_case_and_the_others_are_made(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, labels = scan(0)
    images, truths = source / "imagesTr", source / "labelsTr"
    faults = {
        "wrong_label": ("hold 9", image, np.where(labels == 2, 9, labels)),
        "half_label": ("hold 0.5", image, labels * np.float32(0.5)),
        "no_foreground": ("labels are empty", image, labels * 0),
        "other_grid": ("not on the same grid", image, labels[1:]),
        "empty_image": ("every voxel is 0", image * 0, labels),
        "no_numbers": ("no usable value", np.full(image.shape, np.nan, np.float32), labels),
        "flat": ("2-D", image[:1], labels[:1]),
        "slice": ("2-D", image[0].astype(np.float32), labels[0]),
    }
    for name, (_, picture, truth) in faults.items():
        write(images / f"{name}.nii.gz", picture)
        write(truths / f"{name}.nii.gz", truth)
    (images / "damaged.nii.gz").write_bytes(b"not an image")
    write(truths / "damaged.nii.gz", labels)
    write(images / "alone.nii.gz", image)
    write(truths / "lost.nii.gz", labels)
    for ending in ("nrrd", "mha"):
        write(images / f"twice.{ending}", image)
    write(truths / "twice.nii.gz", labels)
    some = image.astype(np.float32)
    some[0, 0, 0] = np.nan
    write(images / "one_hole.nii.gz", some)
    write(truths / "one_hole.nii.gz", labels)

    assert prepare(source, tmp_path / "out") == 0
    listed = read_data_list(tmp_path / "out")
    assert [case.name for case in listed.cases] == [*(f"case_{i}" for i in range(5)), "one_hole"]
    problems = {problem["case"]: problem for problem in listed.problems}
    wanted = {name: text for name, (text, _, _) in faults.items()}
    wanted |= {"damaged": "damaged", "alone": "without labels", "lost": "without an image", "twice": "given twice"}
    for name, text in wanted.items():
        assert text in problems[name]["problem"], name
        assert problems[name]["left_out"]
    assert "1 voxel without a usable value" in problems["one_hole"]["problem"]
    assert not problems["one_hole"]["left_out"]
    printed = capsys.readouterr().out
    assert all(f"{name} (left out)" in printed for name in wanted)
    assert prepare(source, tmp_path / "out", "--strict") == 1


def test_nothing_usable_is_an_error_that_lists_the_reasons(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (source / "labelsTr").iterdir():
        path.unlink()
    assert prepare(source, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "No case can be used" in error
    assert "case_4: There is an image (imagesTr/case_4.nii.gz) without labels" in error
    assert not (tmp_path / "out" / "data.json").exists()


def left_by_a_killed_run(case: Path) -> Path:
    """A half-written folder of a process that has ended."""
    script = "import sys; from pathlib import Path; from AutofocusCore.io.temporary import aside_name; "
    script += "left = aside_name(Path(sys.argv[1])); left.mkdir(); (left / 'half.nii.gz').write_bytes(b'half'); "
    script += "print(left)"
    done = fork_server.run([sys.executable, "-c", script, case], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    left = Path(done.stdout.strip())
    assert left.is_dir(), done.stderr
    return left


def test_a_case_is_made_again_only_if_something_changed(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare(source, out) == 0
    first = (out / "data.json").read_text(encoding="utf-8")
    folders = {case: (out / "cases" / case).stat().st_ino for case in (f"case_{i}" for i in range(5))}

    def remade() -> set[str]:
        now = {case: (out / "cases" / case).stat().st_ino for case in folders}
        changed = {case for case in folders if now[case] != folders[case]}
        folders.update(now)
        return changed

    assert prepare(source, out) == 0
    assert remade() == set()
    assert (out / "data.json").read_text(encoding="utf-8") == first
    (out / "cases" / "case_1" / "labels.nii.gz").write_bytes(b"damaged")  # of the output
    image, _ = scan(7)
    write(source / "imagesTr" / "case_2.nii.gz", image)  # of the source
    left = left_by_a_killed_run(out / "cases" / "case_3")
    (out / "cases" / "case_3" / "case.json").unlink()
    assert prepare(source, out) == 0
    assert remade() == {"case_1", "case_2", "case_3"}
    assert np.array_equal(read(out / "cases" / "case_2" / "image0_CT.nii.gz"), image)
    assert not left.exists()
    assert prepare(source, out, "--offset", "5") == 0
    assert remade() == {f"case_{i}" for i in range(5)}


def test_a_run_that_was_killed_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    source, whole, killed = tmp_path / "source", tmp_path / "whole", tmp_path / "killed"
    rng = np.random.default_rng(0)
    for i in range(12):
        image = rng.normal(0, 1, (50, 50, 50)).astype(np.float32)  # noise, which takes long to compress
        write(source / "images" / f"case_{i}.nii.gz", image)
        write(source / "labels" / f"case_{i}.nii.gz", (image > 0).astype(np.uint8))
    options = ["--structures", "Liver", "--folds", "3"]
    assert main(["folder", str(source), str(whole), *options]) == 0

    command = [sys.executable, "-m", "Training.prepare", "folder", str(source), str(killed), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = fork_server.start(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)

    def finished() -> set[str]:
        """The cases whose folders have their final names."""
        return {path.parent.name for path in killed.glob("cases/case_*/case.json") if not path.parent.suffix}

    wait_until(lambda: len(finished()) >= 2)
    process.kill()  # SIGKILL: no chance to tidy up
    process.wait()
    made = finished()
    assert 2 <= len(made) < 12
    assert not (killed / "data.json").exists()
    before = {name: (killed / "cases" / name).stat().st_ino for name in made}
    assert main(["folder", str(source), str(killed), *options]) == 0
    assert read_data_list(killed).cases == read_data_list(whole).cases
    assert {name: (killed / "cases" / name).stat().st_ino for name in made} == before
    assert {path.name for path in (killed / "cases").iterdir()} == {f"case_{i}" for i in range(12)}


def test_a_worker_ends_when_the_run_that_started_it_is_killed(tmp_path: Path) -> None:
    script = """
import multiprocessing, os, time
from Training.preparing.run import become_worker

def work():
    become_worker()
    print(os.getpid(), flush=True)
    time.sleep(600)

multiprocessing.get_context("fork").Process(target=work).start()
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = fork_server.start(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", env=environment
    )
    worker = psutil.Process(int(process.stdout.readline()))
    assert alive([worker])
    process.kill()
    wait_until(lambda: not alive([worker]))


def test_a_place_that_cannot_be_written_to_ends_the_run_in_one_sentence(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert prepare(source, tmp_path / "file") == 1
    assert "cannot be made" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cases").write_text("in the way", encoding="utf-8")
    assert prepare(source, tmp_path / "out") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "out" / "data.json").exists()


def test_several_processes_make_the_same_files_as_one(source: Path, tmp_path: Path) -> None:
    options = ["--structures", "Liver,Tumour", "--folds", "2"]
    assert main(["folder", str(source), str(tmp_path / "one"), *options, "--workers", "1"]) == 0
    script = [sys.executable, "Training/prepare.py", "folder", str(source), str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*script, *options, "--workers", "2"], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    one, two = (read_data_list(tmp_path / name) for name in ("one", "two"))
    assert one.cases == two.cases


def test_the_script_starts_as_a_module_too() -> None:
    command = [sys.executable, "-m", "Training.prepare", "--help"]
    done = fork_server.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    for name in ("brats2015", "brats", "decathlon", "dicom", "folder"):
        assert name in done.stdout


def test_a_split_says_which_cases_are_for_the_tests(source: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    names = {"train": ["case_0", "case_1", "gone"], "validation": ["case_2", "case_3"]}
    split.write_text(json.dumps(names), encoding="utf-8")
    assert prepare(source, tmp_path / "out", "--split", str(split), "--folds", "2") == 0
    listed = read_data_list(tmp_path / "out")
    assert {case.name: case.part for case in listed.cases} == {
        "case_0": "train", "case_1": "train", "case_2": "test", "case_3": "test",
    }  # fmt: skip
    assert [case.fold is None for case in listed.cases] == [False, False, True, True]
    problems = {problem["case"]: problem["problem"] for problem in listed.problems}
    assert "not there" in problems["gone"]
    assert "not in split.json" in problems["case_4"]
    split.write_text(json.dumps({"train": ["case_0"], "validation": ["case_0"]}), encoding="utf-8")
    assert prepare(source, tmp_path / "out", "--split", str(split)) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--spacing", "1,2"], "--spacing is '1,2'"),
        (["--spacing", "1,-2,3"], "0 to keep an axis"),
        (["--folds", "1"], "--folds is 1"),
        (["--folds", "9"], "for 9 folds"),
        (["--workers", "0"], "--workers is 0"),
        (["--images", "imagesTr/*"], "put {case} there"),
        (["--images", "nowhere/{case}"], "No image in"),
        (["--split", "nowhere.json"], "nowhere.json cannot be used"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_one_sentence(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    assert prepare(source, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert not (tmp_path / "out" / "data.json").exists()


def test_a_folder_within_the_data_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(source, source / "prepared") == 1
    assert "lies in the data's own folder" in capsys.readouterr().err


def test_several_channels_are_put_on_the_grid_of_the_first_in_millimetres(tmp_path: Path) -> None:
    source = tmp_path / "source"
    z, y, x = np.mgrid[:12, :14, :16].astype(np.float32)
    labels = (z > 6).astype(np.uint8)
    write(source / "p1" / "t1.nii.gz", z * 10 + y + x / 10)
    write(source / "p1" / "seg.nii.gz", labels)
    # The same ramp, every second voxel of it: linear interpolation gives the ramp back.
    ramp = (z * 10 + y + x / 10)[::2, ::2, ::2]
    write(source / "p1" / "t2.nii.gz", ramp, (3.0, 2.0, 4.0))
    write(source / "p2" / "t1.nii.gz", z)
    write(source / "p2" / "seg.nii.gz", labels)
    options = ["--channels", "T1,T2", "--images", "{case}/t1", "--images", "{case}/t2", "--labels", "{case}/seg"]
    assert main(["folder", str(source), str(tmp_path / "out"), "--structures", "Tumour", *options]) == 0
    listed = read_data_list(tmp_path / "out")
    assert [case.name for case in listed.cases] == ["p1"]
    assert "It has no T2" in listed.problems[0]["problem"]
    first, second = (read(tmp_path / "out" / path) for path in listed.cases[0].images)
    assert first.shape == second.shape
    np.testing.assert_allclose(second[:11, :13, :15], first[:11, :13, :15], atol=1e-3)


def test_a_list_that_was_tampered_with_is_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare(source, out) == 0
    text = (out / "data.json").read_text(encoding="utf-8")
    for old, new in (
        ("autofocus-data/1", "autofocus-data/9"),
        ("cases/case_1/labels.nii.gz", "../../labels.nii.gz"),
        ('"name": "case_1"', '"name": "case_0"'),
        ('"part": "train"', '"part": "other"'),
        ('"images"', '"pictures"'),
        ('"2": "Tumour"', '"3": "Tumour"'),
        ('  "CT"\n', '  "CT",\n  "PET"\n'),
    ):
        (out / "data.json").write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(InputError, match="cannot be used"):
            read_data_list(out)


def test_head_and_neck_cts_are_prepared_in_hounsfield_units(reference_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "two"
    for part, name in (("Tr", "pt_4"), ("Va", "pt_201")):
        for kind in ("images", "labels"):
            (source / f"{kind}{part}").mkdir(parents=True)
            content = (reference_data / "ct_openkbp_hn" / f"{kind}{part}" / f"{name}.nii.gz").read_bytes()
            (source / f"{kind}{part}" / f"{name}.nii.gz").write_bytes(content)
    labels = str(reference_data / "ct_openkbp_hn" / "labels.json")
    options = ["--structures", labels, "--offset", "-1024", "--roi", "body", "--channels", "CT"]
    assert main(["folder", str(source), str(tmp_path / "out"), *options]) == 0
    listed = read_data_list(tmp_path / "out")
    assert [case.name for case in listed.cases] == ["pt_201", "pt_4"]
    assert listed.structures["7"] == "Mandible"
    for case in listed.cases:
        values = read(tmp_path / "out" / case.images[0])
        assert values.min() == -1024
        assert case.absent == ()
        roi = read(tmp_path / "out" / str(case.roi)) > 0
        assert -100 < np.median(values[roi]) < 100
        assert 0.02 < roi.mean() < 0.6


def test_the_mismatched_files_of_the_hippocampus_data_are_named(
    reference_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = reference_data / "hippocampus" / "mismatched"
    options = ["--structures", "Anterior,Posterior", "--images", "image_*_{case}", "--labels", "label_*_{case}"]
    assert main(["folder", str(folder), str(tmp_path / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert "118: There is an image" in error
    assert "010: There are labels" in error


def test_labels_of_another_organ_are_refused(
    reference_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = reference_data / "hippocampus"
    for kind, path in (
        ("images", folder / "imagesTr" / "hippocampus_003.nii.gz"),
        ("labels", folder / "mismatched" / "label_without_image_281_other_organ.nii.gz"),
    ):
        (tmp_path / "source" / kind).mkdir(parents=True)
        (tmp_path / "source" / kind / "case.nii.gz").write_bytes(path.read_bytes())
    options = ["--structures", "Anterior,Posterior"]
    assert main(["folder", str(tmp_path / "source"), str(tmp_path / "out"), *options]) == 1
    assert "case: Image and labels are not on the same grid" in capsys.readouterr().err


def test_two_preparations_do_not_write_into_one_folder(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(tmp_path / "out" / HELD, "This test holds it", "wait"):
        assert prepare(source, tmp_path / "out") == 1
    assert "Another preparation is writing to" in capsys.readouterr().err
    assert not (tmp_path / "out" / "data.json").exists()
    assert prepare(source, tmp_path / "out") == 0
