"""Dataclasses from the values of configuration files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from AutofocusCore.errors import SettingError
from Training.configuration.building import build


@dataclass(frozen=True)
class Wheel:
    size: float
    spokes: int = 28


@dataclass(frozen=True)
class Cart:
    name: str
    wheel: Wheel
    braked: bool = False
    ways: tuple[str, ...] = ()
    load: dict[str, Any] = field(default_factory=dict)
    limits: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        assert min(self.limits) >= 0  # TypeError where one is a text


def test_tables_within_a_table_become_the_dataclasses_of_their_fields() -> None:
    values = {"name": "hay", "wheel": {"size": 2}, "ways": ["north", "south"], "load": {"hay": 3}}
    assert build(Cart, values, "file") == Cart("hay", Wheel(2), False, ("north", "south"), {"hay": 3})


def test_a_type_may_be_read_in_a_way_of_its_own() -> None:
    def read(values: Mapping[str, Any]) -> Wheel:
        return Wheel(values["inches"] * 25.4)

    assert build(Cart, {"name": "hay", "wheel": {"inches": 10}}, "file", {Wheel: read}).wheel.size == 254


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (3, r"file is 3"),
        ({"name": "hay", "wheel": 3}, r"wheel is 3"),
        ({"name": "hay"}, r"file field wheel is None.*left out"),
        ({"name": "hay", "wheel": {"size": 2, "colour": "red"}}, r"field of wheel is 'colour'.*size, spokes"),
        ({"name": "hay", "wheel": {"size": "large"}}, r"wheel\.size is 'large'.*float"),
        ({"name": "hay", "wheel": {"size": 2, "spokes": 2.5}}, r"wheel\.spokes is 2\.5.*int"),
        ({"name": "hay", "wheel": {"size": 2}, "braked": 1}, r"file\.braked is 1.*bool"),
        ({"name": "hay", "wheel": {"size": True}}, r"wheel\.size is True.*float"),
        ({"name": "hay", "wheel": {"size": 2}, "ways": 3}, r"file\.ways is 3.*list"),
        ({"name": "hay", "wheel": {"size": 2}, "ways": "north"}, r"file\.ways is 'north'.*list"),
        ({"name": "hay", "wheel": {"size": 2}, "load": 3}, r"file\.load is 3.*table"),
        ({"name": "hay", "wheel": {"size": 2}, "limits": ["a", 2]}, r"file cannot be used.*types"),
    ],
)
def test_what_does_not_fit_is_named(values: Any, sentence: str) -> None:
    with pytest.raises(SettingError, match=f"(?s){sentence}"):
        build(Cart, values, "file")
