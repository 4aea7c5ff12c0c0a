"""Description of a model that was taught: what is its own, and what is its parent's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from AutofocusCore._version import __version__
from AutofocusCore.errors import OutputError
from AutofocusCore.models.bundle import Model
from AutofocusCore.models.parts import DEVICE_NAMES
from AutofocusCore.models.spec import SAFE_NAME, ModelSpec

KEPT_FIGURES = ("cases_measured", "mean_dice", "structures")
"""Figures of the parent that the card of a taught model repeats, as the parent's."""


@dataclass(frozen=True)
class Teaching:
    """How a model was taught, in numbers: nothing here names a patient.

    Args:
        lessons: number of cases that it learned from.
        cases: by name of the structure, those of them that contour it.
        held_out: number of further cases that both models were measured on.
        rows: for each structure its Dice before and after.
        minutes: of learning.
        steps: scans that it learned from, one after the other.
    """

    lessons: int
    cases: Mapping[str, int]
    held_out: int
    rows: Sequence[Mapping[str, Any]]
    minutes: float
    steps: int


def check_model_name(name: str, given: str) -> None:
    """Refuse a name that no model may have.

    Raises:
        OutputError: which characters it may have.
    """
    if not SAFE_NAME.fullmatch(name) or ".." in name or DEVICE_NAMES.fullmatch(name):
        raise OutputError(
            f"The output {given} would name the model {name!r}",
            "use up to 64 lower-case letters and digits, with '-', '_', '.' between",
        )


def taught_spec(parent: Model, name: str, teaching: Teaching, dice: Mapping[str, float]) -> ModelSpec:
    """The description of a model that was taught from another.

    Args:
        parent: the other.
        name: its own.
        teaching: how it was taught.
        dice: mean Dice on held-out cases, by structure; empty without any.
    """
    spec = parent.spec
    origin = f"{spec.name} {spec.version}"
    counts = ", ".join(f"{structure} in {count}" for structure, count in teaching.cases.items() if count)
    measured = (
        f"Measured on {teaching.held_out} further cases of the same origin, which also decided when to stop: these "
        "figures are a little too good."
        if teaching.held_out
        else "There were too few cases to hold any out; the figures are of the cases that it was taught with."
    )
    today = date.today().isoformat()
    training = (
        f"Taught on {today} with AutofocusSegmentation {__version__} from {origin} "
        f"(weights' SHA-256 {parent.checksum}) with {teaching.lessons} corrected cases, contoured: "
        f"{counts}. {measured} The parent's training data: {spec.training_data}"
    )
    figures: dict[str, Any] = {
        "taught_from": {"model": spec.name, "version": spec.version, "sha256": parent.checksum,
                        "identity": parent.identity},
        "taught_on": today,
        "software": f"AutofocusSegmentation {__version__}",
        "cases_taught": teaching.lessons,
        "cases_held_out": teaching.held_out,
        "minutes_of_learning": round(teaching.minutes, 2),
        "steps_of_learning": teaching.steps,
        "before_and_after": list(teaching.rows),
    }  # fmt: skip
    for key in KEPT_FIGURES:
        if key in spec.figures:
            figures[f"figures_of_the_parent_{spec.name}_{key}"] = spec.figures[key]
    if spec.dice:
        figures[f"figures_of_the_parent_{spec.name}_dice"] = [
            {"structure": structure, "Dice": value} for structure, value in spec.dice.items()
        ]
    title = re.sub(r", taught$", "", spec.title)
    return replace(
        spec,
        name=name,
        title=f"{title}, taught",
        description=f"{spec.description} Taught with {teaching.lessons} corrected cases, from {origin}.",
        version="1.0.0",
        training_data=training,
        training_command=f"autofocus teach {spec.name} --cases CASES -o {name}",
        dice=dict(dice),
        figures=figures,
        calibration={},
        changelog={"1.0.0": f"Taught from {origin}"},
    )
