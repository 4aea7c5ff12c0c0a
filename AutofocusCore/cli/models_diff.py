"""Prints what differs between two models, for `autofocus models diff`."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from AutofocusCore.cli.console import print_json, print_table, say
from AutofocusCore.models import Model, ModelDifference
from AutofocusCore.models.difference import PARTS, FieldDifference, WeightDifference

LONGEST_VALUE = 60
MOST_ROWS = 12
"""Fields of a part, and tensors, that are shown; all of them are in the JSON."""


def print_difference(first: Model, second: Model, found: ModelDifference, *, as_json: bool) -> None:
    """Print the differences as tables, one for each part, or as JSON."""
    if as_json:
        parts = {part: [_field(one) for one in found.fields if one.part == part] for part in PARTS}
        weights = {
            "tensors": found.tensors,
            "relative": found.relative,
            "differing": [dataclasses.asdict(one) for one in found.weights],
        }
        models = {name: model.to_record() for name, model in (("first", first), ("second", second))}
        print_json({**models, "same": found.same, "differences": parts, "weights": weights})
        return
    names = [f"{model.spec.name} {model.spec.version}" for model in (first, second)]
    if names[0] == names[1]:
        names = ["first", "second"]
    if found.same:
        say("Nothing differs.")
        return
    for part in PARTS:
        rows = [(one.field, _shown(one.first), _shown(one.second)) for one in found.fields if one.part == part]
        if rows:
            say(f"{part.capitalize()}:")
            print_table(("Field", *names), rows[:MOST_ROWS])
            _say_more(len(rows))
            say()
    _print_weights(found, names)


def _print_weights(found: ModelDifference, names: list[str]) -> None:
    if not found.weights:
        say(f"Weights: equal, all {found.tensors} tensors.")
        return
    changed = sum(one.first == one.second for one in found.weights)
    whole = "" if found.relative is None else f"; the change is {100 * found.relative:.3g} % of their size"
    say(f"Weights: {changed} of the {found.tensors} tensors that both have differ{whole}.")
    rows = [(one.name, *_change(one, names)) for one in found.weights[:MOST_ROWS]]
    print_table(("Tensor", "Change", "Largest change of a value"), rows)
    _say_more(len(found.weights))


def _change(one: WeightDifference, names: list[str]) -> tuple[str, str]:
    if one.first is None or one.second is None:
        return f"only in {names[one.first is None]}", ""
    if one.first != one.second:
        return f"shape {one.first} and {one.second}", ""
    share = "from zero" if one.relative is None else f"{100 * one.relative:.3g} %"
    return share, f"{one.largest:.3g}"


def _say_more(count: int) -> None:
    if count > MOST_ROWS:
        say(f"… {count - MOST_ROWS} more; --json has all.")


def _field(one: FieldDifference) -> dict[str, Any]:
    return {"field": one.field, "first": one.first, "second": one.second}


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
