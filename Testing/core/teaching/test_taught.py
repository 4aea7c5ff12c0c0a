"""The description of a taught model: what is its own, what is its parent's, and that it names no patient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from AutofocusCore.errors import OutputError
from AutofocusCore.models import ModelSpec, find_model
from AutofocusCore.models.card import model_card
from AutofocusCore.teaching.taught import Teaching, check_model_name, taught_spec

ROWS = [{"structure": "Larynx", "cases taught": 5, "Dice before": 0.5, "Dice after": 0.7}]


def teaching(held_out: int = 2) -> Teaching:
    return Teaching(7, {"Larynx": 5, "Mandible": 0}, held_out, ROWS, 10.0, 80)


def test_the_card_says_from_which_model_and_with_how_many_cases_it_was_taught() -> None:
    parent = find_model("head-neck-ct")
    spec = taught_spec(parent, "our-larynx", teaching(), {"Larynx": 0.7})
    assert spec.name == "our-larynx"
    assert spec.title == f"{parent.spec.title}, taught"
    assert f"from head-neck-ct {parent.spec.version}" in spec.training_data
    assert parent.checksum in spec.training_data
    assert "7 corrected cases, contoured: Larynx in 5." in spec.training_data
    assert "2 further cases" in spec.training_data
    assert "a little too good" in spec.training_data
    assert spec.training_data.endswith(parent.spec.training_data)
    assert spec.figures["taught_from"]["identity"] == parent.identity
    assert spec.figures["before_and_after"] == ROWS
    card = model_card(spec)
    assert "| Larynx | 5 | 0.5 | 0.7 |" in card
    assert "figures of the parent head-neck-ct structures" in card


def test_what_no_longer_holds_is_dropped_and_the_rest_is_the_parents() -> None:
    parent = find_model("head-neck-ct")
    assert parent.spec.calibration
    spec = taught_spec(parent, "our-larynx", teaching(), {"Larynx": 0.7})
    assert spec.calibration == {}
    assert spec.dice == {"Larynx": 0.7}
    for field in ("structures", "channels", "normalization", "architecture", "licence", "spacing", "roi", "synthetic"):
        assert getattr(spec, field) == getattr(parent.spec, field), field


def test_no_case_of_the_parent_is_named_and_the_description_can_be_written_and_read(tmp_path: Path) -> None:
    parent = find_model("head-neck-ct")
    case = parent.spec.figures["cases"][0]["case"]
    spec = taught_spec(parent, "our-larynx", teaching(), {})
    text = json.dumps(spec.to_metadata())
    assert case not in text
    assert ModelSpec.from_metadata(json.loads(text)) == spec


def test_a_model_can_be_taught_again() -> None:
    parent = find_model("hippocampus-mr")
    spec = taught_spec(parent, "again", teaching(0), {})
    assert spec.title.count("taught") == 1
    assert "too few cases to hold any out" in spec.training_data


@pytest.mark.parametrize("name", ["", "Big", "a b", "..", "x" * 65, "con"])
def test_a_name_that_no_model_may_have_is_refused(name: str) -> None:
    with pytest.raises(OutputError, match="would name the model"):
        check_model_name(name, name)
