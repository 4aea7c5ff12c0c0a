"""What differs between two models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from AutofocusCore.models import compare_models, load_bundle, write_bundle
from AutofocusCore.models.terminology import structures
from AutofocusCore.networks.build import build_network

from .conftest import ARCHITECTURE, LICENCE, make_spec


def test_a_model_does_not_differ_from_itself(bundle: Path) -> None:
    model = load_bundle(bundle)
    found = compare_models(model, model)
    assert found.same
    assert found.relative == 0.0
    assert found.tensors == len(model.build().state_dict())


def test_each_field_that_differs_is_named_with_both_values(bundle: Path, tmp_path: Path) -> None:
    model = load_bundle(bundle)
    spec = make_spec(
        version="1.3.0",
        spacing=(1.0, 1.0, 3.0),
        training_data="More.",
        dice={"Prostate": 0.92, "Bladder": 0.95},
        figures={"seed": 3, "cases": [{"case": "a", "Prostate": 0.9}, {"case": "b", "Prostate": 0.95}]},
        calibration={"temperature": 1.5},
        structures=(model.spec.structures[0], replace(model.spec.structures[1], color=(1, 2, 3))),
    )
    other = load_bundle(write_bundle(tmp_path / "other", spec, model.build().state_dict(), LICENCE))
    found = compare_models(model, other)
    assert found.weights == ()
    assert [(one.part, one.field, one.first, one.second) for one in found.fields] == [
        ("description", "version", "1.2.0", "1.3.0"),
        ("input", "spacing", (1.0, 1.5, 3.0), (1.0, 1.0, 3.0)),
        ("structures", "structures.Bladder.color", model.spec.structures[1].color, (1, 2, 3)),
        ("training", "training_data", "None.", "More."),
        ("figures", "dice.Prostate", 0.91, 0.92),
        ("figures", "figures.cases.b.Prostate", 0.92, 0.95),
        ("calibration", "calibration.temperature", None, 1.5),
    ]


def test_a_change_of_the_weights_is_given_as_a_share_of_their_size(bundle: Path, tmp_path: Path) -> None:
    model = load_bundle(bundle)
    state = {name: value.clone() for name, value in model.build().state_dict().items()}
    state["head.weight"] *= 1.1
    state["head.bias"][0] += 0.5
    other = load_bundle(write_bundle(tmp_path / "other", model.spec, state, LICENCE))
    found = compare_models(model, other)
    assert found.fields == ()
    by_name = {one.name: one for one in found.weights}
    assert set(by_name) == {"head.weight", "head.bias"}
    assert by_name["head.weight"].relative == pytest.approx(0.1, rel=1e-4)
    assert by_name["head.bias"].largest == pytest.approx(0.5, rel=1e-4)
    assert 0 < found.relative < 0.1  # type: ignore[operator]


def test_tensors_of_other_shapes_and_of_one_model_alone_come_first(bundle: Path, tmp_path: Path) -> None:
    model = load_bundle(bundle)
    options = {**ARCHITECTURE, "architecture": "basic", "num_classes": 2}
    del options["dilation_rates"]
    spec = make_spec(architecture=options, structures=structures("Prostate"), dice={}, figures={})
    network = build_network(**options)
    for weight in network.parameters():
        torch.nn.init.normal_(weight)
    found = compare_models(model, load_bundle(write_bundle(tmp_path / "other", spec, network.state_dict(), LICENCE)))
    kinds = [
        "only one" if None in (w.first, w.second) else "shape" if w.first != w.second else "" for w in found.weights
    ]
    assert {"only one", "shape", ""} == set(kinds)
    assert kinds == sorted(kinds, key=lambda kind: kind == "")
    changes = [one.relative for one in found.weights if one.relative is not None]
    assert changes == sorted(changes, reverse=True)
