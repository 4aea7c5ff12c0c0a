"""What a file's name says: which channel it is, and whose."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from AutofocusCore.batch.file_names import channel_of, without
from AutofocusCore.models import Channel


@pytest.mark.parametrize(
    "name",
    [
        "ct.nii.gz", "CT.nii.gz", "b_CT.nii.gz", "the_ct.nii.gz", "ct-01.nrrd", "ct01.nrrd", "12ct.nrrd",
        "PelvisCT.mha", "CTPelvis.mha", "CTscan.mha", "ctScan.mha", "ctscan.mha", "a.ct.b.nii", "CT",
        "Victor_ct.nii.gz", "Ünü-CT.nii",
    ],
)  # fmt: skip
def test_a_pattern_finds_its_word(name: str) -> None:
    assert channel_of(Path(name), [Channel("CT", "CT", ("*ct*",))]) == (0, "*ct*")


@pytest.mark.parametrize(
    "name", ["victor.nii.gz", "VICTOR.nii.gz", "Hector.nii", "octavia_2.nii", "doctor1.nii", "petct"]
)
def test_a_pattern_does_not_match_inside_a_word(name: str) -> None:
    assert channel_of(Path(name), [Channel("CT", "CT", ("*ct*",))]) == (None, "")


def test_patients_and_vertebrae_are_no_sequences() -> None:
    t1 = [Channel("T1", "MR", ("*t1*",))]
    names = ("patient1", "pt1", "Pt1", "PT1", "T12", "t10_axial", "left1")
    assert {name: channel_of(Path(f"{name}.nii.gz"), t1)[0] for name in names} == dict.fromkeys(names)
    for name in ("sub-01_T1w", "T1", "mprageT1", "t1mprage", "x_t1_2"):
        assert channel_of(Path(f"{name}.nii.gz"), t1)[0] == 0, name


def test_the_longest_pattern_goes_first_and_then_a_whole_word() -> None:
    brain = [Channel("T1", "MR", ("*t1.*", "*t1_*", "*t1*")), Channel("T1c", "MR", ("*t1c*",))]
    assert channel_of(Path("Anna_T1ce.nii.gz"), brain) == (1, "*t1c*")
    assert channel_of(Path("VSD.Brain.O.MR_T1c.5.mha"), brain)[0] == 1
    assert channel_of(Path("VSD.Brain.O.MR_T1.5.mha"), brain) == (0, "*t1.*")
    both = [Channel("CT", "CT", ("*ct*",)), Channel("MR", "MR", ("*mr*",))]
    assert channel_of(Path("Ctibor_mr.nii"), both)[0] == 1


@pytest.mark.parametrize(
    ("pattern", "name", "rest"),
    [
        ("*flair*", "Anna_flair.nii.gz", "Anna"),
        ("*t1*", "Bob_t1test_t1.nii.gz", "Bob_t1test"),
        ("*t1*", "t1_patient1.nii.gz", "patient1"),
        ("*ct*", "ct_victor.nii.gz", "victor"),
        ("*ct*", "Ctibor_ct.nii.gz", "Ctibor"),
        ("*ct*", "Straße_ct_2.nii.gz", "Straße_2"),
        ("*ct*", "CTPelvis01.nii.gz", "Pelvis01"),
        ("*", "anna.nii.gz", "anna"),
    ],
)
def test_what_the_pattern_leaves_of_a_name_is_the_case(pattern: str, name: str, rest: str) -> None:
    assert without(pattern, Path(name)) == rest


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    pattern = "*a" * 40 + "*b"
    started = time.process_time()
    assert channel_of(Path("a" * 240 + ".nii.gz"), [Channel("MR", "MR", (pattern,))]) == (None, "")
    assert channel_of(Path("a_" * 110 + "b.nii.gz"), [Channel("MR", "MR", (pattern,))]) == (0, pattern)
    assert time.process_time() - started < 1
