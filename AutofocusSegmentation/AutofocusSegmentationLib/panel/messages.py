"""What the panel says: a sentence under the buttons, and all of it in the log."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any

ERROR_COLOUR = "#c0392b"


def red(sentence: str) -> str:
    """A sentence as rich text of a complaint."""
    return f'<span style="color:{ERROR_COLOUR}">{html.escape(sentence)}</span>'


class Messages:
    """The status line and the log.

    Args:
        ui: the panel's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui

    def say(self, sentence: str, *, error: bool = False, warnings: Sequence[str] = ()) -> None:
        """Show a sentence, and warnings below it."""
        lines = [red(sentence) if error else html.escape(sentence), *map(html.escape, warnings)]
        self._ui.statusLabel.text = "<br>".join(lines)
        for line in (sentence, *warnings):
            self.log(line)

    def log(self, line: str) -> None:
        """A line in the log."""
        self._ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")

    def complain(self, message: dict[str, Any]) -> None:
        """Show the worker's error; a request that the user cancelled is none."""
        if message.get("code") != "cancelled":
            self.say(message["message"], error=True)
