"""Which structures of a case are known, and what becomes of the contours that are not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.models import ModelSpec
from AutofocusCore.teaching.case import Case, with_known
from Testing.training.conftest import TINY
from Training.configuration.config import Data, load_config
from Training.loop.known import contoured_in, contoured_structures, known_labels, remark_on_suspects
from Training.preparing.data_list import CaseEntry, DataList

STRUCTURES = ("Bladder", "Prostate", "Rectum")


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    path = tmp_path / "tiny.toml"
    listed = ", ".join(f'"{name}"' for name in STRUCTURES)
    segments = "[segments]\nsize = [5, 5, 5]\nper_step = 1\n[run]\nsteps = 1\n"
    path.write_text(f'{TINY}[model]\nstructures = [{listed}]\n[data]\nfolder = "x"\n{segments}', encoding="utf-8")
    return load_config(path).model


@pytest.fixture
def labels() -> sitk.Image:
    """Of 1, 2 and 3 there are 8, 64 and 0 voxels of 1 mL each."""
    array = np.zeros((10, 10, 10), dtype=np.uint8)
    array[:2, :2, :2], array[4:8, 4:8, 4:8] = 1, 2
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((10.0, 10.0, 10.0))
    return image


def test_all_is_known_unless_something_says_otherwise(model: ModelSpec, labels: sitk.Image) -> None:
    assert known_labels("a", None, labels, Data("folder", "x"), model) is None
    assert known_labels("a", STRUCTURES, labels, Data("folder", "x"), model) is None


def test_what_was_not_contoured_is_unknown(model: ModelSpec, labels: sitk.Image) -> None:
    assert known_labels("a", ["Rectum", "Bladder"], labels, Data("folder", "x"), model) == (1, 3)


def test_a_volume_beyond_a_structures_convention_makes_it_unknown(model: ModelSpec, labels: sitk.Image) -> None:
    data = Data("folder", "x", volume_ml={"Bladder": (8.0, 45.0), "Prostate": (8.0, 45.0)})
    assert known_labels("a", None, labels, data, model) == (1, 3)


def test_contours_that_are_named_as_wrong_are_unknown_in_their_case_alone(model: ModelSpec, labels: sitk.Image) -> None:
    data = Data("folder", "x", unknown={"a": ("Prostate",)})
    assert known_labels("a", None, labels, data, model) == (1, 3)
    assert known_labels("b", None, labels, data, model) is None


def test_contours_that_are_not_used_are_taken_out_of_the_labels() -> None:
    labels = np.array([[[0, 1, 2, 3]]], dtype=np.uint8)
    case = Case("a", labels[None].astype(np.float32), labels, labels > 0, 0.0, lost=(2,))
    kept = with_known(case, (1, 3))
    assert kept.labels.ravel().tolist() == [0, 1, 0, 3]
    assert (kept.known, kept.lost) == ((1, 3), ())
    assert with_known(case, None) is case


def test_a_folder_lists_what_was_contoured(tmp_path: Path) -> None:
    assert contoured_structures(tmp_path) == {}
    (tmp_path / "contoured.json").write_text('{"a": ["Bladder"]}', encoding="utf-8")
    assert contoured_structures(tmp_path) == {"a": ["Bladder"]}
    (tmp_path / "contoured.json").write_text("[", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        contoured_structures(tmp_path)


def test_a_contour_that_looked_wrong_and_is_trained_on_is_named() -> None:
    wrong = [{"case": case, "structure": "Prostate", "volume_ml": 900.0, "why": "large"} for case in ("a", "b", "c")]
    listed = DataList("x", ("CT",), {"1": "Bladder", "2": "Prostate"}, (), suspects=tuple(wrong))
    (remark,) = remark_on_suspects(listed, {"a": None, "b": (1,)})  # c is not trained on
    assert remark.startswith("1 contours that looked wrong when they were prepared are trained on: Prostate of a.")
    assert remark_on_suspects(listed, {"b": (1,)}) == ()


def test_what_data_json_and_contoured_json_say_counts_together(model: ModelSpec) -> None:
    listed = DataList("x", ("CT",), {"1": "bladder", "2": "prostate", "3": "rectum"}, ())
    case = CaseEntry("a", ("i.nii",), None, None, None, "train", {"i.nii": ""}, unknown=("rectum",))
    assert contoured_in(case, listed, {}, model) == ("Bladder", "Prostate")
    assert contoured_in(case, listed, {"a": ["Bladder", "Rectum"]}, model) == ("Bladder",)
    assert contoured_in(replace(case, unknown=()), listed, {}, model) is None
