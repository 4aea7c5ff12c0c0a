"""How long a test waits before it calls something hanging: longer, the more the computer has to do.

A test waits for an event. The time limit only ends a test whose event never comes; no test measures anything by it.
"""

from __future__ import annotations

import os


def load() -> float:
    """How many times as much as its processors can do the computer has to do, by the last minute; at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if hasattr(os, "getloadavg") else 1.0


def patience(seconds: float = 60.0) -> float:
    """Seconds to wait for an event that comes within far less than these `seconds` on a quiet computer."""
    return seconds * load()
