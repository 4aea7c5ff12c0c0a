"""Dataclasses from the values of a configuration file: names and types checked, the rest left to the dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from AutofocusCore.errors import SettingError
from Training.configuration.settings import require

Part = TypeVar("Part")
Reader = Callable[[Mapping[str, Any]], Any]

TYPES: dict[type, Any] = {int: int, float: (int, float), str: str, bool: bool}


def build(cls: type[Part], values: Any, where: str, readers: Mapping[type, Reader] | None = None) -> Part:
    """A dataclass from a table of its fields; tables within it become the dataclasses that its fields are.

    Args:
        cls: the dataclass.
        values: of the table.
        where: the table's name, for messages.
        readers: functions for types that need their own.

    Raises:
        SettingError: not a table, an unknown or missing field, or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise SettingError(f"The configuration's {where} is {values!r}", "make it a table of named values")
    readers = readers or {}
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        require(name in fields, f"field of {where}", name, f"the fields are {', '.join(fields)}")
    for name, one in fields.items():
        missing = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        require(name in values or not missing, f"{where} field {name}", None, "it cannot be left out")
    ready = {}
    for name, value in values.items():
        kind = _wanted(hints[name])
        if isinstance(value, Mapping) and kind in readers:
            value = readers[kind](value)
        elif dataclasses.is_dataclass(kind) and not isinstance(value, kind):  # type: ignore[arg-type]
            value = build(kind, value, name, readers)  # type: ignore[arg-type]
        elif get_origin(kind) is dict:
            require(isinstance(value, Mapping), f"{where}.{name}", value, "make it a table of named values")
        elif get_origin(kind) is tuple:
            require(isinstance(value, (list, tuple)), f"{where}.{name}", value, "make it a list, in [ ]")
        if isinstance(value, list):
            value = tuple(value)
        if kind in TYPES:
            good = isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind is bool)
            require(good, f"{where}.{name}", value, f"give a value of the type {kind.__name__}")
        ready[name] = value
    try:
        return cls(**ready)
    except TypeError as error:  # within a list or a table, a text where a number belongs
        raise SettingError(f"The configuration's {where} cannot be used ({error})", "correct its types") from None


def _wanted(hint: Any) -> Any:
    """The dataclass of "a dataclass or None", any other hint as it is."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] if isinstance(hint, UnionType) else []
    return kinds[0] if len(kinds) == 1 and dataclasses.is_dataclass(kinds[0]) else hint
