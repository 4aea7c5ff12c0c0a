"""Cases in which not everything was contoured: what the list says, and what the prepared folder keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from Training.prepare import main
from Training.preparing.contoured import read_contoured
from Training.preparing.data_list import read_data_list

STRUCTURES = {1: "Spinal cord", 2: "Larynx"}


def case(source: Path, name: str, *labels: int) -> None:
    values = np.zeros((6, 7, 8), np.uint8)
    for label in labels:
        values[2:4, 2:4, 2 * label : 2 * label + 2] = label
    image = np.random.default_rng(0).integers(0, 1000, values.shape).astype(np.int16)
    for part, array in (("images", image), ("labels", values)):
        (source / part).mkdir(parents=True, exist_ok=True)
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing((2.0, 1.0, 3.0))
        picture.SetOrigin((10.0, 20.0, 30.0))
        sitk.WriteImage(picture, str(source / part / f"{name}.nii.gz"))


def prepare(source: Path, contoured: object, *more: str) -> int:
    (source / "labels.json").write_text(json.dumps({str(k): v for k, v in STRUCTURES.items()}), encoding="utf-8")
    (source / "contoured.json").write_text(json.dumps(contoured), encoding="utf-8")
    words = ["folder", str(source), str(source.parent / "out"), "--structures", str(source / "labels.json")]
    return main([*words, "--images", "images/{case}", "--labels", "labels/{case}", *more])


def test_what_was_not_contoured_is_unknown_and_what_was_and_is_not_there_is_absent(tmp_path: Path) -> None:
    source = tmp_path / "source"
    case(source, "both", 1, 2)
    case(source, "cord", 1)
    case(source, "cord_alone", 1)
    listed = {"both": ["spinal cord", "LARYNX"], "cord": ["Spinal cord"], "cord_alone": ["Spinal cord", "Larynx"]}
    assert prepare(source, listed) == 0
    data = read_data_list(tmp_path / "out")
    assert data.structures == {"1": "Spinal cord", "2": "Larynx"}
    assert [(one.name, one.unknown, one.absent) for one in data.cases] == [
        ("both", (), ()),
        ("cord", ("Larynx",), ()),
        ("cord_alone", (), ("Larynx",)),
    ]


def test_volumes_and_places_are_in_the_patients_millilitres_and_millimetres(tmp_path: Path) -> None:
    source = tmp_path / "source"
    case(source, "both", 1, 2)
    assert prepare(source, {"both": list(STRUCTURES.values())}) == 0
    entry = read_data_list(tmp_path / "out").cases[0]
    assert entry.volumes_ml == {"1": pytest.approx(8 * 0.006), "2": pytest.approx(8 * 0.006)}
    assert entry.centres_mm["1"] == pytest.approx((10 + 2.5 * 2, 20 + 2.5, 30 + 2.5 * 3))
    assert entry.centres_mm["2"] == pytest.approx((10 + 4.5 * 2, 20 + 2.5, 30 + 2.5 * 3))


def test_a_case_that_the_list_forgets_or_contradicts_is_left_out_and_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    case(source, "good", 1)
    case(source, "forgotten", 1)
    case(source, "contradicted", 1, 2)
    assert prepare(source, {"good": ["Spinal cord"], "contradicted": ["Spinal cord"], "gone": []}) == 0
    data = read_data_list(tmp_path / "out")
    assert [one.name for one in data.cases] == ["good"]
    problems = {one["case"]: one["problem"] for one in data.problems}
    assert problems["forgotten"] == "contoured.json does not say what was contoured in it"
    assert "hold Larynx, which is listed as not contoured" in problems["contradicted"]
    assert problems["gone"] == "contoured.json lists it, but it is not there"


def test_a_case_is_made_again_when_the_list_changes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    case(source, "cord", 1)
    for names, unknown in ((["Spinal cord"], ("Larynx",)), (["Spinal cord", "Larynx"], ())):
        assert prepare(source, {"cord": names}) == 0
        assert read_data_list(tmp_path / "out").cases[0].unknown == unknown


def test_a_name_that_is_no_structure_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contoured.json"
    path.write_text('{"case_1": ["Spine"]}', encoding="utf-8")
    with pytest.raises(InputError, match="'Spine' was contoured in case_1, which is no structure"):
        read_contoured(path, STRUCTURES)
    path.write_text('["case_1"]', encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        read_contoured(path, STRUCTURES)
