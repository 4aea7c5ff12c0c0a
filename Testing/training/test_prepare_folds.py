"""Folds: every case in one, sizes alike, patients kept together, and the same whenever they are dealt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from AutofocusCore.errors import InputError, SettingError
from Training.preparing.folds import assign_folds
from Training.preparing.found import FoundCase, ImageFile, safe_name
from Training.preparing.structures import read_structures


def case(name: str, patient: str = "", part: str = "train") -> FoundCase:
    return FoundCase(name, (ImageFile(Path(f"{name}.nii.gz")),), None, part, patient)


@given(count=st.integers(2, 40), folds=st.integers(2, 10), seed=st.integers(0, 99))
def test_every_case_is_in_one_fold_and_no_fold_is_larger_by_two(count: int, folds: int, seed: int) -> None:
    cases = [case(f"case_{i}") for i in range(count)]
    if count < folds:
        with pytest.raises(InputError, match="fewer --folds"):
            assign_folds(cases, folds, seed)
        return
    dealt = assign_folds(cases, folds, seed)
    sizes = Counter(dealt.values())
    assert set(dealt) == {c.name for c in cases}
    assert set(sizes) == set(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert assign_folds(cases[::-1], folds, seed) == dealt


def test_scans_of_a_patient_are_in_one_fold_and_test_cases_in_none() -> None:
    cases = [case(f"p{i // 3}_{i % 3}", f"p{i // 3}") for i in range(12)] + [case("t", part="test")]
    dealt = assign_folds(cases, 4, 0)
    assert "t" not in dealt
    for patient in range(4):
        assert len({dealt[f"p{patient}_{visit}"] for visit in range(3)}) == 1


def test_another_seed_deals_otherwise() -> None:
    cases = [case(f"case_{i}") for i in range(30)]
    assert assign_folds(cases, 5, 0) != assign_folds(cases, 5, 1)


def test_names_become_folders_of_every_system() -> None:
    assert safe_name("Patient 1/left: ü?") == "Patient_1_left"
    assert safe_name("...") == "case"
    assert safe_name("aux.1") == "case_aux.1"
    assert safe_name("brats_2013_pat0001_1") == "brats_2013_pat0001_1"


@pytest.mark.parametrize(
    ("content", "names", "patterns"),
    [
        (
            '{"Prostate": ["prost*", "p"], "Bladder": "bladder"}',
            ["Prostate", "Bladder"],
            [("prost*", "p"), ("bladder",)],
        ),
        ('{"labels": {"background": 0, "B": 2, "A": 1}}', ["A", "B"], [("A",), ("B",)]),
        ('{"labels": {"0": "background", "1": "A", "2": "B"}}', ["A", "B"], [("A",), ("B",)]),
    ],
)
def test_structures_are_read_from_the_tables_that_people_have(
    tmp_path: Path, content: str, names: list[str], patterns: list[tuple[str, ...]]
) -> None:
    path = tmp_path / "names.json"
    path.write_text(content, encoding="utf-8")
    structures, given_patterns = read_structures(str(path))
    assert structures == dict(enumerate(names, start=1))
    assert given_patterns == dict(enumerate(patterns, start=1))


@pytest.mark.parametrize("text", ["A,,B", "A,A", "nowhere.json"])
def test_structures_that_cannot_be_told_apart_are_refused(text: str) -> None:
    with pytest.raises(SettingError):
        read_structures(text)
