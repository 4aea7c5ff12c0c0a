"""Checked access to the fields of a worker's request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from AutofocusCore.errors import SettingError
from AutofocusCore.io.texts import is_number


def text(request: Mapping[str, Any], field: str) -> str:
    """A field that holds a text.

    Raises:
        SettingError: it is missing, empty or something else.
    """
    value = request.get(field)
    if not isinstance(value, str) or not value:
        raise SettingError(f"The request's {field} is {value!r}", "give a text")
    return value


def numbers(request: Mapping[str, Any], field: str, count: int) -> tuple[float, ...]:
    """A field that holds `count` finite numbers.

    Raises:
        SettingError: it is missing or something else.
    """
    value = request.get(field)
    if not (isinstance(value, list) and len(value) == count and all(map(is_number, value))):
        raise SettingError(f"The request's {field} is {value!r}", f"give a list of {count} finite numbers")
    return tuple(map(float, value))
