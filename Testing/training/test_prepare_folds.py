"""Folds: every case in one, sizes alike, patients kept together, and the same whenever they are dealt."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from AutofocusCore.errors import InputError, SettingError
from Training.preparing.data_list import CaseEntry, DataList
from Training.preparing.folds import assign_folds, split_by_file
from Training.preparing.found import Found, FoundCase, ImageFile
from Training.preparing.run import describe
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


def of_two_grades(folder: Path) -> Found:
    """Two patients called a, whose names tell the grade, and one called b."""
    label = ImageFile(folder / "labels.nii.gz")
    names = {"HGG_a": "a", "LGG_a": "a", "b": "b"}
    cases = tuple(FoundCase(name, (label,), label, given=given) for name, given in names.items())
    return Found("grades", folder, ("T1",), {1: "Tumour"}, cases)


@pytest.mark.parametrize("line", ["LGG/a/VSD.1/VSD.1.nii", "BRATS2015\\LGG\\a", "LGG_a"])
@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_list_names_a_patient_of_one_grade(tmp_path: Path, line: str, kind: str) -> None:
    path = tmp_path / f"split.{kind}"
    text = json.dumps({"train": ["HGG/a", "b"], "test": [line]}) if kind == "json" else f"{line}\n\n"
    path.write_text(text, encoding="utf-8")
    split = split_by_file(of_two_grades(tmp_path), path)
    assert {case.name: case.part for case in split.cases} == {"HGG_a": "train", "LGG_a": "test", "b": "train"}
    assert split.problems == ()


@pytest.mark.parametrize(("name", "text"), [("s.txt", "a\n"), ("s.json", '{"train": ["b"], "test": ["a"]}')])
def test_a_list_that_leaves_the_grade_open_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="may be HGG_a or LGG_a"):
        split_by_file(of_two_grades(tmp_path), tmp_path / name)


@pytest.mark.parametrize(("fold", "sizes", "lost"), [(0, "1, 0", "Fold 1 has"), (1, "0, 1", "Fold 0 has")])
def test_a_fold_whose_cases_were_all_left_out_is_named(fold: int, sizes: str, lost: str) -> None:
    sums = {"a.nii.gz": ""}
    entry = CaseEntry("a", ("a.nii.gz",), None, None, fold, "train", sums)
    said = list(describe(DataList("one", ("CT",), {"1": "Liver"}, (entry,), preparation={"folds": 2})))
    assert f"2 folds of {sizes} cases" in said
    assert any(line.startswith(f"{lost} no case left") for line in said)
    both = (entry, CaseEntry("b", ("a.nii.gz",), None, None, 1 - fold, "train", sums))
    said = list(describe(DataList("two", ("CT",), {"1": "Liver"}, both, preparation={"folds": 2})))
    assert "2 folds of 1, 1 cases" in said
    assert not any("no case left" in line for line in said)


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
