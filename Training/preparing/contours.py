"""RTSTRUCT contours on the grid of their CT."""

from __future__ import annotations

from typing import Any

from AutofocusCore.errors import SettingError


def rasterise(*arguments: Any) -> Any:
    """Not to be had yet."""
    raise SettingError("Contours cannot be prepared yet", "convert them to label maps")
