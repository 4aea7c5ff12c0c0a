"""Of which kind a value is that came out of JSON or TOML."""

from __future__ import annotations

import math


def is_number(value: object) -> bool:
    """Whether the value is a finite int or float (booleans are neither)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    """Whether the value is an int (booleans are none)."""
    return isinstance(value, int) and not isinstance(value, bool)
