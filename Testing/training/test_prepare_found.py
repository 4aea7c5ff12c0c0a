"""Cases found: each under a name of its own, which is a folder's on every system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Training.prepare import main
from Training.preparing.data_list import read_data_list
from Training.preparing.found import FoundCase, ImageFile, safe_name, without_duplicates


def case(given: str, folder: str = "images") -> FoundCase:
    name = safe_name(given)
    return FoundCase(name, (ImageFile(Path(folder, given)),), None, patient=name, given=given)


def test_names_become_folders_of_every_system() -> None:
    assert safe_name("Patient 1/left: ü?") == "Patient_1_left"
    assert safe_name("...") == "case"
    assert safe_name("aux.1") == "case_aux.1"
    assert safe_name("brats_2013_pat0001_1") == "brats_2013_pat0001_1"


def test_names_that_lose_what_told_them_apart_are_numbered_and_each_number_is_explained() -> None:
    cases, remarks = without_duplicates(map(case, ("患者", "Müller", "病人", "Möller", "Anna")))
    names = {one.given: one.name for one in cases}
    assert names == {"Anna": "Anna", "Möller": "M_ller_1", "Müller": "M_ller_2", "患者": "case_1", "病人": "case_2"}
    assert [one.name for one in cases] == sorted(names.values())
    assert all(one.patient == one.name for one in cases)  # so that folds do not take them for one patient
    assert not any(remark.left_out for remark in remarks)
    told = {remark.case: remark.problem for remark in remarks}
    assert set(told) == {"M_ller_1", "M_ller_2", "case_1", "case_2"}
    assert all(given in told[name] for given, name in names.items() if name in told)


def test_a_name_that_is_good_as_it_is_stays_and_no_number_makes_another_double() -> None:
    cases, _ = without_duplicates(map(case, ("M ller", "m_ller_1", "M_ller", "Müller")))
    assert {one.given: one.name for one in cases} == {
        "M ller": "M_ller_2",
        "M_ller": "M_ller",
        "Müller": "M_ller_3",
        "m_ller_1": "m_ller_1",
    }


def test_numbers_do_not_depend_on_the_order_in_which_cases_are_found() -> None:
    cases = [case(given) for given in ("Müller", "Möller", "Mäller")]
    assert without_duplicates(cases) == without_duplicates(cases[::-1])


@pytest.mark.parametrize("given", [("a", "a"), ("a", "A"), ("ü", "Ü")])
def test_names_that_are_the_same_but_for_capital_letters_are_given_twice(given: tuple[str, str]) -> None:
    cases, problems = without_duplicates([case(given[0], "one"), case(given[1], "two")])
    assert cases == []
    assert [problem.left_out for problem in problems] == [True]
    assert f"given twice: {Path('one', given[0])} and {Path('two', given[1])}" in problems[0].problem


def test_a_split_may_use_the_names_that_the_files_have(tmp_path: Path) -> None:
    for i, name in enumerate(("Müller", "Möller", "患者")):
        values = np.random.default_rng(i).integers(0, 99, (6, 7, 8)).astype(np.int16)
        for kind, array in (("images", values), ("labels", (values > 50).astype(np.uint8))):
            (tmp_path / "source" / kind).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "source" / kind / f"{name}.nii.gz"))
    (tmp_path / "split.json").write_text('{"train": ["Möller", "case"], "test": ["Müller"]}', encoding="utf-8")
    (tmp_path / "test.txt").write_text("images/Müller\n", encoding="utf-8")
    for split in ("split.json", "test.txt"):
        options = ["--structures", "Liver", "--split", str(tmp_path / split)]
        assert main(["folder", str(tmp_path / "source"), str(tmp_path / "out"), *options]) == 0
        parts = {one.name: one.part for one in read_data_list(tmp_path / "out").cases}
        assert parts == {"M_ller_1": "train", "M_ller_2": "test", "case": "train"}
