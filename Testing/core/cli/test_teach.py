"""`autofocus teach` from files to a new model, with a narrow network that finds two balls."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from AutofocusCore.cli.teach import _print_table
from AutofocusCore.errors import OutputError
from AutofocusCore.jobs import teach as jobs_teach
from AutofocusCore.jobs import teach_output
from AutofocusCore.jobs.teach import Taught, teach
from AutofocusCore.jobs.teach_check import StructureCheck
from AutofocusCore.models import find_model, load_bundle
from Testing.core.small_lessons import BRIGHT, DIM, write_ball_model, write_corrections
from Testing.core.small_networks import narrow_networks
from Testing.waiting import patience

Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.timeout(300)  # the first test also trains the model that is taught, on a busy computer


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that outlines both balls at their edges. Networks that are built here are narrow."""
    with narrow_networks():
        yield write_ball_model(tmp_path_factory.mktemp("parent") / "balls")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder."""
    monkeypatch.setenv("AUTOFOCUS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-o", "Ä"), "would name the model 'Ä'; use up to 64 lower-case letters"),
        (("-o", ""), "The output '' would name the model ''; use up to 64"),
        (("-o", ".."), "The output .. would name the model '..'; use up to 64"),
        (("-o", "pelvis-phantom"), "A model that comes with the program is named 'pelvis-phantom'"),
        (("-o", "taken"), "There is already a model at"),
        (("-o", "taken", "--replace"), "taken exists and is not a model; choose another name"),
        (("-o", "new", "--structures", "Liver"), "has no structure 'Liver'; choose among Anterior hippocampus"),
        (("-o", "new", "--check", "case-9"), "There is no case 'case-9' to hold out; choose among case-0, case-1"),
        (("-o", "new", "--check", "case-0,case-1"), "none is left to learn from; hold out fewer"),
        (("-o", "new", "--memory-limit", "10K"), "Teaching needs at least"),
        (("-o", "new", "--device", "cuda:7"), "no device 'cuda:7'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_and_nothing_is_written(
    options: tuple[str, ...], sentence: str, autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path
) -> None:
    (own_folder / "taken").mkdir(parents=True)
    (own_folder / "taken" / "mine.txt").write_text("keep")
    cases = write_corrections(tmp_path / "cases", range(2), grown=1.0)
    run = autofocus_here("teach", parent, "--cases", cases, "--steps", 1, "--quiet", *options)
    assert run.returncode == 1, run.stdout
    assert sentence in run.stderr
    assert run.stderr.count("\n") == 1
    assert [path.name for path in own_folder.rglob("*")] == ["taken", "mine.txt"]


def test_a_changed_convention_is_learned_and_what_is_not_taught_stays(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", range(8), grown=1.0, labels=(BRIGHT, DIM))
    options = ("--structures", "Anterior hippocampus", "--steps", 25, "--json", "--quiet")
    run = autofocus_here("teach", parent, "--cases", cases, "-o", "grown", *options)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["better"]
    assert found["held_out"] == ["case-0", "case-4"]
    assert len(found["lessons"]) == 6
    bright, dim = found["structures"]
    assert bright["taught"]
    assert (bright["lessons"], bright["cases"]) == (6, 2)
    assert bright["gain"] > 0.1
    assert (dim["taught"], dim["lessons"], dim["cases"]) == (False, 0, 2)
    assert dim["gain"] > -0.1  # a voxel or two of 40
    assert dim["agreement"] > bright["agreement"]

    model = find_model("grown")
    assert model.path == own_folder / "grown"
    assert autofocus_here("models", "verify", "grown").returncode == 0
    assert model.spec.calibration == {}
    assert model.spec.dice == {row["structure"]: row["after"] for row in (bright, dim)}
    assert "Taught with 6 corrected cases" in autofocus_here("models", "info", "grown").stdout
    assert {path.name for path in own_folder.iterdir()} == {"grown"}
    before, after = load_bundle(parent).build().state_dict(), model.build().state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if "running_" in name)
    everything = b"".join(path.read_bytes() for path in model.path.rglob("*") if path.is_file())
    assert b"case-" not in everything
    assert b"patient-1" not in everything  # of the parent's figures
    segmented = autofocus_here("segment", cases / "case-0.nii.gz", "-m", "grown", "-o", "out.seg.nrrd")
    assert segmented.returncode == 0, segmented.stderr


def test_a_model_that_is_not_better_is_not_written_unless_it_is_wanted_anyway(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", range(4), grown=0.0)
    command = ("teach", parent, "--cases", cases, "-o", "same", "--minutes", 1e-6)  # which leaves no time to learn
    run = autofocus_here(*command)
    assert run.returncode == 1
    assert "not better on the held-out cases, so nothing was written; give more cases or --minutes" in run.stderr
    assert "case-0" in run.stdout
    assert [path.name for path in own_folder.iterdir()] == [".same.lesson"]
    run = autofocus_here(*command, "--anyway")
    assert run.returncode == 0, run.stderr
    assert "The lesson goes on after" in run.stderr
    assert find_model("same").build() is not None
    assert [path.name for path in own_folder.iterdir()] == ["same"]


def test_few_cases_are_measured_on_themselves_and_this_is_said(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", range(2), grown=1.0)
    run = autofocus_here("teach", parent, "--cases", cases, "-o", "few", "--steps", 2)
    assert run.returncode == 0, run.stderr
    assert "on the cases that it was taught with (too few to hold any out)" in run.stdout
    spec = find_model("few").spec
    assert spec.dice == {}
    assert "too few cases to hold any out" in spec.training_data


def test_the_cases_to_hold_out_can_be_chosen_and_the_model_can_be_a_zip(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", range(2), grown=1.0)
    options = ("--check", "case-1", "--steps", 2, "--anyway", "--structures", "anterior hippocampus")
    run = autofocus_here("teach", parent, "--cases", cases, "-o", tmp_path / "new.zip", *options)
    assert run.returncode == 0, run.stderr
    assert "  case-1\n" in run.stdout
    assert load_bundle(tmp_path / "new.zip").spec.name == "new"


def test_a_model_of_the_box_domain_and_a_folder_without_corrections_are_refused(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path, parent: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", [1], grown=1.0)
    run = autofocus_here("teach", tiny_model, "--cases", cases, "-o", "new")
    assert run.returncode == 1
    assert "of the box domain, and only models of the ROI domain can be taught" in run.stderr
    (cases / "case-1.seg.nrrd").unlink()
    run = autofocus_here("teach", parent, "--cases", cases, "-o", "new")
    assert run.returncode == 1
    assert "holds no corrected case" in run.stderr


@pytest.mark.parametrize(("names", "sentence"), [("Cord", "'Cord' does not say which"), ("a=", "which is which")])
def test_other_names_without_the_models_are_wrong_usage(names: str, sentence: str, autofocus_here: Autofocus) -> None:
    run = autofocus_here("teach", "hippocampus-mr", "--cases", "x", "-o", "new", "--names", names)
    assert run.returncode == 2
    assert sentence in run.stderr


def test_other_names_of_structures_are_those_that_the_user_says(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", range(2), grown=1.0)
    for path in cases.glob("*.seg.nrrd"):
        path.write_bytes(path.read_bytes().replace(b"Name:=Anterior hippocampus", b"Name:=Hc_a"))
    command = ("teach", parent, "--cases", cases, "-o", "few", "--steps", 1)
    run = autofocus_here(*command, "--names", "Nothing=Liver")
    assert "no structure 'Liver', as which 'Nothing' is to count" in run.stderr
    run = autofocus_here(*command, "--names", "hc_A = anterior hippocampus")
    assert run.returncode == 0, run.stderr
    assert find_model("few").spec.training_data.count("Anterior hippocampus in 2") == 1


def test_no_time_to_learn_is_wrong_usage(autofocus_here: Autofocus) -> None:
    run = autofocus_here("teach", "hippocampus-mr", "--cases", "x", "-o", "new", "--minutes", "0")
    assert run.returncode == 2
    assert "is no time; give minutes above 0" in run.stderr


def test_the_same_command_goes_on_where_it_was_stopped_unless_it_is_to_begin_anew(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **options: object) -> None:
        raise OutputError("The disk is full", "free space there")

    cases = write_corrections(tmp_path / "cases", range(2), grown=1.0)
    command = ("teach", parent, "--cases", cases, "-o", "late", "--steps", 2)
    with monkeypatch.context() as patch:
        patch.setattr(teach_output, "write_taught", full)
        assert autofocus_here(*command).returncode == 1
        assert [path.name for path in own_folder.iterdir()] == [".late.lesson"]
        anew = autofocus_here(*command, "--anew")
        assert "goes on" not in anew.stderr
    run = autofocus_here(*command)
    assert run.returncode == 0, run.stderr
    assert "The lesson goes on after 2 steps, where it was stopped." in run.stderr
    assert "2 steps (2 of them before it was stopped)" in run.stdout
    assert [path.name for path in own_folder.iterdir()] == ["late"]


def test_a_model_that_was_made_meanwhile_is_not_replaced_and_what_was_learned_is_kept(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taught_meanwhile(*arguments: Any, **options: Any) -> Taught:
        taught = teach(*arguments, **options)
        shutil.copytree(parent, own_folder / "new")
        return taught

    cases = write_corrections(tmp_path / "cases", [1], grown=1.0)
    command = ("teach", parent, "--cases", cases, "-o", "new", "--steps", 1)
    with monkeypatch.context() as patch:
        patch.setattr(jobs_teach, "teach", taught_meanwhile)
        run = autofocus_here(*command)
    assert run.returncode == 1
    assert "There is already a model at" in run.stderr
    assert load_bundle(own_folder / "new").identity == load_bundle(parent).identity
    run = autofocus_here(*command, "--replace")
    assert run.returncode == 0, run.stderr
    assert "goes on after 1 step," in run.stderr
    assert find_model("new").identity != load_bundle(parent).identity


def test_two_lessons_of_one_new_model_do_not_run_at_once(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = write_corrections(tmp_path / "cases", [1], grown=1.0)
    command = ("teach", parent, "--cases", cases, "-o", "new", "--steps", 1)
    monkeypatch.setattr(teach_output, "LOCK_SECONDS", 0.0)
    with teach_output.kept_lesson(own_folder / "new"):
        run = autofocus_here(*command)
        assert run.returncode == 1
        assert "Another process is teaching new at the moment; wait for it, or give" in run.stderr
    assert not own_folder.exists(), "nothing was written into it"
    assert autofocus_here(*command).returncode == 0


def test_a_lesson_that_was_stopped_long_ago_is_removed_by_that_of_another_model(tmp_path: Path) -> None:
    old, recent, own = (tmp_path / f".{name}.lesson" for name in ("old", "recent", "own"))
    for file in (old, recent, own):
        file.write_bytes(b"weights")
    for file in (old, own):
        os.utime(file, (0, 0))
    with teach_output.kept_lesson(tmp_path / "own") as lesson:
        assert lesson.read_bytes() == b"weights", "it goes on, however old it is"
        assert recent.exists()
        assert not old.exists()
    assert set(tmp_path.iterdir()) == {recent, own}


def test_the_command_to_use_a_model_in_a_folder_with_spaces_can_be_copied(
    autofocus_here: Autofocus, parent: Path, tmp_path: Path
) -> None:
    cases = write_corrections(tmp_path / "cases", [1], grown=1.0)
    place = tmp_path / "my models" / "new"
    run = autofocus_here("teach", parent, "--cases", cases, "-o", place, "--steps", 1)
    assert f'-m "{place}" -o' in run.stdout
    assert "Taught with 1 case, 1 step, in" in run.stdout


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to one process")
def test_ctrl_c_ends_it_in_a_sentence_and_leaves_nothing_behind(
    start_autofocus: Callable[..., subprocess.Popen[str]], tmp_path: Path, own_folder: Path
) -> None:
    labels = tmp_path / "cases" / "scan_labels.nii.gz"
    labels.parent.mkdir()
    rng = np.random.default_rng(0)
    scan = sitk.GetImageFromArray(rng.random((8, 8, 8)).astype(np.float32))
    sitk.WriteImage(scan, str(labels.with_name("scan.nii.gz")))
    sitk.WriteImage(sitk.GetImageFromArray((rng.random((8, 8, 8)) > 0.5).astype(np.uint8)), str(labels))
    process = start_autofocus("teach", "hippocampus-mr", "--cases", labels.parent, "-o", "new", "--minutes", 100)
    assert process.stderr is not None
    said = ""
    while "Keeping" not in said:  # what the model says of structures that are not contoured
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=patience())
    assert process.returncode == 1
    assert rest.endswith("autofocus: The run was interrupted; nothing was written, start it again when you like.\n")
    assert not own_folder.exists() or not any(own_folder.iterdir())


@pytest.mark.parametrize(("agreement", "said"), [(0.79, True), (0.95, False)])
def test_what_changed_although_nobody_taught_it_is_said(
    agreement: float, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        StructureCheck("Bladder", True, 6, 2, 0.83, 0.93, 0.7),
        StructureCheck("Seminal vesicles", False, 0, 0, None, None, agreement),
    )
    taught: Any = SimpleNamespace(steps=9, resumed=0, lessons=["a"], seconds=60.0, held_out=["b"], rows=rows)
    _print_table(taught)
    sentence = "Not taught, but changed: Seminal vesicles (0.79). Look at their contours before you use the new model."
    assert (sentence in " ".join(capsys.readouterr().out.split())) == said
