"""Descriptions of models: what they refuse, and that nothing is lost on the way to metadata.json and back."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from AutofocusCore.errors import ModelError
from AutofocusCore.models import Channel, Code, ModelSpec, Normalization, Structure
from AutofocusCore.models.card import model_card
from AutofocusCore.models.spec import FORMAT
from AutofocusCore.models.terminology import ANATOMICAL_STRUCTURE, PROSTATE, structure, structures
from Testing.small_models import small_spec

from .conftest import ARCHITECTURE, make_spec


def test_metadata_and_back_is_the_same_description() -> None:
    spec = make_spec()
    assert ModelSpec.from_metadata(json.loads(json.dumps(spec.to_metadata()))) == spec


def test_metadata_and_back_without_the_optional_fields_is_the_same_description() -> None:
    spec = make_spec(spacing=None, dice={}, figures={}, references=(), training_command="")
    assert ModelSpec.from_metadata(spec.to_metadata()) == spec


def test_a_structure_of_one_piece_is_told_and_others_say_nothing_of_it() -> None:
    first, second = small_spec().structures
    spec = small_spec(structures=(replace(first, connected=True), second))
    told = spec.to_metadata()["autofocus"]["structures"]
    assert (told[0]["connected"], "connected" in told[1]) == (True, False)  # as in models of before
    assert ModelSpec.from_metadata(spec.to_metadata()) == spec
    assert spec.connected == (1,)
    assert "Of Anterior hippocampus, parts are removed that are smaller than 20 % of its largest part" in model_card(
        spec
    )
    assert "connected" not in model_card(small_spec())
    with pytest.raises(ModelError, match="connected of Anterior hippocampus is 1; use true or false"):
        replace(first, connected=1)


def test_fields_of_newer_versions_are_passed_over() -> None:
    metadata = make_spec().to_metadata()
    metadata["autofocus"]["mood"] = "good"
    metadata["autofocus"]["channels"][0]["colour"] = "grey"
    metadata["autofocus"]["normalization"]["more"] = 1
    metadata["anything"] = []
    assert ModelSpec.from_metadata(metadata) == make_spec()


def test_a_newer_format_asks_for_an_update() -> None:
    metadata = make_spec().to_metadata()
    metadata["autofocus"]["format"] = FORMAT + 1
    with pytest.raises(ModelError, match=f"format {FORMAT + 1}.*update AutofocusSegmentation"):
        ModelSpec.from_metadata(metadata)


@pytest.mark.parametrize("metadata", [None, [], "text", {}, {"autofocus": 1}, {"autofocus": {}}])
def test_what_is_not_the_metadata_of_a_model_is_refused(metadata: object) -> None:
    with pytest.raises(ModelError):
        ModelSpec.from_metadata(metadata)


@pytest.mark.parametrize("field", ["name", "channels", "structures", "normalization", "architecture", "synthetic"])
def test_a_missing_field_is_named(field: str) -> None:
    metadata = make_spec().to_metadata()
    del metadata["autofocus"][field]
    with pytest.raises(ModelError, match=field):
        ModelSpec.from_metadata(metadata)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "../escape", "name is '../escape'"),
        ("name", "Upper", "name is 'Upper'"),
        ("name", "con", "name is 'con'"),
        ("name", "a..b", "name is 'a..b'"),
        ("title", " ", "title"),
        ("version", "latest", "version is 'latest'.*'1.0.0'"),
        ("channels", (), "channels.*at least one"),
        ("channels", (Channel("CT", "CT"), Channel("ct", "CT")), "channel names"),
        ("structures", (*structures("Prostate"), structure("Bladder", 3)), "structure labels is .1, 3."),
        ("structures", "Prostate", "structures"),
        ("spacing", (1, 0, 1), r"spacing is \(1, 0, 1\)"),
        ("spacing", (1, 1), "spacing"),
        ("spacing", (1, float("nan"), 1), "spacing"),
        ("orientation", "RAA", "orientation is 'RAA'"),
        ("orientation", "XYZ", "orientation is 'XYZ'"),
        ("architecture", {}, "architecture"),
        ("architecture", {**ARCHITECTURE, "num_classes": 4}, "num_classes is 4; make it 3"),
        ("architecture", {**ARCHITECTURE, "in_channels": 2}, "in_channels is 2; make it 1"),
        ("dice", {"Liver": 0.9}, "'Liver'.*Bladder, Prostate"),
        ("dice", {"Bladder": 90}, "dice of Bladder is 90"),
        ("figures", {"x": float("nan")}, "figures"),
        ("figures", {"x": object()}, "figures"),
        ("synthetic", 1, "synthetic is 1"),
        ("normalization", "z-score", "normalization"),
    ],
)
def test_a_field_that_makes_no_sense_is_named_with_its_value(field: str, value: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        make_spec(**{field: value})


def test_normalisation_takes_the_options_of_its_own_method_only() -> None:
    for options in (
        {"method": "minmax"},
        {"mask": "brain"},
        {"percentiles": (95, 5)},
        {"percentiles": (5,)},
        {"sigmas": (0, 2)},
        {"window": (0, 1)},
        {"method": "window"},
        {"method": "window", "window": (300, -100)},
        {"method": "window", "window": (-100, 300), "sigmas": (2, 2)},
    ):
        with pytest.raises(ModelError, match="normalization"):
            Normalization(**options)  # type: ignore[arg-type]
    assert Normalization("window", window=[-100, 300]).window == (-100.0, 300.0)  # type: ignore[arg-type]


def test_codes_structures_and_channels_refuse_nonsense() -> None:
    for make in (
        lambda: Code("SCT", "T-9200B", "Prostate"),
        lambda: Code("SCT", 41216001, "Prostate"),  # type: ignore[arg-type]
        lambda: Code("SCT", "41216001", "a~b"),
        lambda: Code("", "41216001", "Prostate"),
        lambda: Structure(0, "Prostate", (1, 2, 3), ANATOMICAL_STRUCTURE, PROSTATE),
        lambda: Structure(1, "", (1, 2, 3), ANATOMICAL_STRUCTURE, PROSTATE),
        lambda: Structure(1, "Prostate", (1, 2, 256), ANATOMICAL_STRUCTURE, PROSTATE),
        lambda: Structure(1, "Prostate", (1, 2, 3), ANATOMICAL_STRUCTURE, "Prostate"),  # type: ignore[arg-type]
        lambda: Channel("", "CT"),
        lambda: Channel("CT", "computed tomography"),
        lambda: Channel("CT", "CT", "*ct*"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ModelError):
            make()


def test_a_description_travels_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(make_spec())) == make_spec()


def test_a_cards_texts_are_texts_and_nothing_that_a_viewer_obeys() -> None:
    hostile = "<img src=x onerror=alert(1)> ![a](http://x/y.png) [b](javascript:c) \x1b[31m"
    fields = dict.fromkeys(("title", "description", "intended_use", "training_data", "licence"), hostile)
    card = model_card(small_spec(**fields, references=(hostile,), training_command="```\n<b>"))
    assert "<img" not in card
    assert "![a](" not in card
    assert "\x1b" not in card
    assert card.count("```") == 2
