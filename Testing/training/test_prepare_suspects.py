"""Contours that look wrong: found by their volume or place among the others', listed, and left to the user."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tomllib

from Training.prepare import main
from Training.preparing.data_list import CaseEntry, read_data_list
from Training.preparing.suspects import contours_csv, look_at_contours, settings_text

STRUCTURES = {"1": "Spinal cord", "2": "Right parotid gland", "3": "Left parotid gland"}
CENTRES = {"1": (0.0, 30.0, -40.0), "2": (-55.0, 0.0, 20.0), "3": (55.0, 0.0, 20.0)}


def cohort(count: int = 30) -> dict[str, CaseEntry]:
    """Cases of usual volumes and places, each scan beginning somewhere else."""
    rng = np.random.default_rng(0)
    cases = {}
    for i in range(count):
        shift = rng.normal(0, 200, 3)
        centres = {label: tuple(shift + np.add(at, rng.normal(0, 4, 3))) for label, at in CENTRES.items()}
        volumes = {label: float(25 * np.exp(rng.normal(0, 0.25))) for label in STRUCTURES}
        cases[f"pt_{i}"] = entry(f"pt_{i}", volumes, centres)
    return cases


def entry(name: str, volumes: dict, centres: dict, outside: dict | None = None) -> CaseEntry:
    files, places = {"i.nii.gz": "0"}, {"centres_mm": centres, "outside": outside or {}}
    return CaseEntry(name, tuple(files), None, None, None, "train", files, volumes_ml=volumes, **places)


def wrong(cases: dict[str, CaseEntry]) -> dict[tuple[str, str], str]:
    found = look_at_contours(list(cases.values()), STRUCTURES)
    return {(one.case, one.structure): one.why for one in found if one.why}


def test_usual_contours_are_not_named_wherever_the_scans_begin() -> None:
    assert wrong(cohort()) == {}


def test_a_cord_of_half_a_litre_and_one_of_two_millilitres_are_named() -> None:
    cases = cohort()
    for name, volume in (("pt_3", 500.0), ("pt_8", 2.0)):
        cases[name] = entry(name, {**cases[name].volumes_ml, "1": volume}, dict(cases[name].centres_mm))
    found = wrong(cases)
    assert set(found) == {("pt_3", "Spinal cord"), ("pt_8", "Spinal cord")}
    assert "large: 500 mL where 2" in found["pt_3", "Spinal cord"]
    assert "small: 2 mL" in found["pt_8", "Spinal cord"]


def test_glands_that_have_each_others_names_are_named_with_the_side_that_they_are_on() -> None:
    cases = cohort()
    centres = dict(cases["pt_5"].centres_mm)
    centres["2"], centres["3"] = centres["3"], centres["2"]
    cases["pt_5"] = entry("pt_5", dict(cases["pt_5"].volumes_ml), centres)
    found = wrong(cases)
    assert set(found) == {("pt_5", "Right parotid gland"), ("pt_5", "Left parotid gland")}
    assert "far to the left of the other structures" in found["pt_5", "Right parotid gland"]


def test_a_contour_of_which_a_quarter_is_in_the_air_is_named() -> None:
    cases = cohort(5)
    for name, shares in (("pt_1", {"2": 0.35, "1": 0.02}), ("pt_2", {"2": 0.2})):
        cases[name] = entry(name, dict(cases[name].volumes_ml), dict(cases[name].centres_mm), shares)
    found = wrong(cases)
    assert found == {("pt_1", "Right parotid gland"): "35% of it outside the ROI, as if it belonged to another image"}


def test_nothing_is_said_of_a_few_cases() -> None:
    cases = cohort(5)
    cases["pt_0"] = entry("pt_0", {"1": 500.0}, {"1": CENTRES["1"]})
    assert wrong(cases) == {}
    rows = list(csv.DictReader(io.StringIO(contours_csv(look_at_contours(list(cases.values()), STRUCTURES)))))
    assert {row["z_volume"] for row in rows} == {""}


def test_the_lines_for_a_configuration_are_toml() -> None:
    text = settings_text([("pt_1", "Spinal cord"), ("pt.2", 'the "cord"'), ("pt_1", "Larynx")])
    assert tomllib.loads(text) == {"data": {"unknown": {"pt_1": ["Spinal cord", "Larynx"], "pt.2": ['the "cord"']}}}


def test_the_wrong_contours_of_real_patients_are_listed_and_none_is_left_out(
    reference_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few of the patients, the two with cords of half a litre among them."""
    real = reference_data / "ct_openkbp_hn_partial"
    names = [f"pt_{i}" for i in (201, 202, 203, 204, 205, 206, 207, 208, 209, 215, 216)]
    names = [name for name in names if (real / "labels" / f"{name}.nii.gz").is_file()]
    source = tmp_path / "source"
    contoured = link_patients(real, source, names, images="labels")  # smaller, and only the contours count
    words = ["folder", str(source), str(tmp_path / "out"), "--structures", str(real / "labels.json")]
    assert main([*words, "--images", "images/{case}", "--labels", "labels/{case}"]) == 0
    data = read_data_list(tmp_path / "out")
    found = {(one["case"], one["structure"]): one["volume_ml"] for one in data.suspects}
    assert found["pt_215", "Spinal cord"] == pytest.approx(478, abs=1)
    assert found["pt_216", "Spinal cord"] == pytest.approx(543, abs=1)
    assert {case.name for case in data.cases} == set(names)
    assert all("Spinal cord" not in case.unknown for case in data.cases if case.name in ("pt_215", "pt_216"))
    printed = capsys.readouterr().out
    assert "pt_216: its Spinal cord looks wrong, large: 543 mL" in printed
    assert '"pt_216" = ["Spinal cord"' in printed
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "contours.csv").read_text(encoding="utf-8"))))
    assert len(rows) == sum(len(contoured[name]) for name in names)
    assert rows[0]["looks_wrong"]


def test_the_patient_whose_contours_lie_beside_the_organs_is_found(reference_data: Path, tmp_path: Path) -> None:
    real, source = reference_data / "ct_openkbp_hn_partial", tmp_path / "source"
    link_patients(real, source, ["pt_221", "pt_222"])
    words = ["folder", str(source), str(tmp_path / "out"), "--structures", str(real / "labels.json")]
    how = ["--channels", "CT", "--offset", "-1024", "--roi", "body"]
    assert main([*words, *how, "--images", "images/{case}", "--labels", "labels/{case}"]) == 0
    found = {(one["case"], one["structure"]): one["why"] for one in read_data_list(tmp_path / "out").suspects}
    assert set(found) == {("pt_221", "Right parotid gland"), ("pt_221", "Left parotid gland")}
    assert found["pt_221", "Right parotid gland"].startswith("35% of it outside the ROI")


def link_patients(real: Path, source: Path, names: list[str], images: str = "images") -> dict[str, list[str]]:
    """Links to some of the patients' files in a new folder. Returns which structures are contoured in them."""
    for part, of in (("images", images), ("labels", "labels")):
        (source / part).mkdir(parents=True)
        for name in names:
            (source / part / f"{name}.nii.gz").symlink_to(real / of / f"{name}.nii.gz")
    contoured = {name: json.loads((real / "contoured.json").read_text(encoding="utf-8"))[name] for name in names}
    (source / "contoured.json").write_text(json.dumps(contoured), encoding="utf-8")
    return contoured
