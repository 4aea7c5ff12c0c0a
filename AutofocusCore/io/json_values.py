"""Checks of values read from JSON or TOML: their type and their nesting."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 32
"""Maximum nesting of lists and objects. The project's files have less than ten levels; Python fails at some hundred."""


def is_number(value: object) -> bool:
    """Whether the value is a finite number within a float's range; booleans are not numbers."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an int of 400 digits
        return False


def is_whole(value: object) -> bool:
    """Whether the value is an int; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def load_json(data: bytes) -> Any:
    """The value of UTF-8 JSON of unknown origin.

    Raises:
        ValueError: not UTF-8, not JSON, nested more than `DEEPEST` levels, or with numbers beyond a float's range.
    """
    try:
        value = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    waiting = [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, (dict, list)):
            if level > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} levels")
            inside = [*item.keys(), *item.values()] if isinstance(item, dict) else item
            waiting += [(each, level + 1) for each in inside]
        elif isinstance(item, int) and not is_whole_float(item):
            raise ValueError("it holds a number that is too large")
    return value


def is_whole_float(value: int) -> bool:
    """Whether an int is within a float's range."""
    return abs(value) < 2**1023
