"""What stands below the table of a taught model."""

from __future__ import annotations

from typing import Any

import pytest

from Testing.module.panel.conftest import Application
from Testing.module.panel.test_messages import read


def below(app: Application, agreement: float, held_out: str = "Anna 1") -> str:
    """The text that a user reads below the table after a lesson of the bladder."""
    from AutofocusSegmentationLib.panel.taught_table import TaughtTable

    rows = [("Bladder", True, 0.7), ("Seminal vesicles", False, agreement), ("Rectum", False, None)]
    structures: list[dict[str, Any]] = [
        {"structure": name, "taught": taught, "lessons": 6 * taught, "cases": 0, "agreement": dice}
        | dict.fromkeys(("before", "after", "gain"))
        for name, taught, dice in rows
    ]
    TaughtTable(app.ui.taughtTable, app.ui.taughtLabel).fill({"held_out": [held_out], "structures": structures})
    return read(app.ui.taughtLabel)


def test_structures_that_nobody_taught_and_that_changed_are_named(app: Application) -> None:
    told = below(app, 0.79, "O'Neill & Co")
    assert "not learned from: O'Neill & Co." in told
    assert "⚠ Not taught, but changed: Seminal vesicles (0.79). Look at their contours" in told
    assert "Bladder" not in told
    assert "Rectum" not in told


@pytest.mark.parametrize("agreement", [0.9, 1.0])
def test_nothing_is_said_of_structures_that_stayed(app: Application, agreement: float) -> None:
    told = below(app, agreement)
    assert told.startswith("Mean Dice on 1 case not learned from: Anna 1.")
    assert "but changed" not in told
