"""Messages of the panel: the newest under the buttons, all of them in the log."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any

from AutofocusSegmentationLib.panel.wrapped_labels import WrappedLabels

ERROR_COLOUR = "#c0392b"
WARNING_COLOUR = "#b35c00"


def plain(sentence: str) -> str:
    """A sentence as the text of a QLabel, which guesses whether it is HTML: what could be a tag is shown as it is."""
    if "<" not in sentence and "&" not in sentence:
        return sentence
    return f"<span>{html.escape(sentence)}</span>".replace("\n", "<br>")


def red(sentence: str) -> str:
    """An error message as rich text."""
    return f'<span style="color:{ERROR_COLOUR}">{html.escape(sentence)}</span>'


def amber(sentences: Sequence[str]) -> str:
    """Sentences as rich text of warnings, one a line."""
    lines = "<br>".join(f"⚠ {html.escape(sentence)}" for sentence in sentences)
    return f'<span style="color:{WARNING_COLOUR}">{lines}</span>'


def show_warnings(label: Any, sentences: Sequence[str]) -> None:
    """Show warnings on a QLabel; it is hidden if there are none."""
    label.text = amber(sentences) if sentences else ""
    label.visible = bool(sentences)


class Messages:
    """The status line and the log.

    Args:
        ui: the panel's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.news = False  # whether the status line tells what happened, and nothing was changed since
        self._labels = WrappedLabels(ui)

    def stop(self) -> None:
        """The panel goes."""
        self._labels.stop()

    def say(self, sentence: str, *, error: bool = False) -> None:
        """Show a sentence, and keep it in the log."""
        self._ui.statusLabel.text = red(sentence) if error else plain(sentence)
        self.news = True
        self.log(sentence)

    def hint(self, sentence: str) -> None:
        """Show a hint about the next step, without a line in the log."""
        self._ui.statusLabel.text = plain(sentence)
        self.news = False

    def log(self, line: str) -> None:
        """A line in the log."""
        self._ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")

    def complain(self, message: dict[str, Any]) -> None:
        """Show the worker's error, unless the user cancelled the request."""
        if message.get("code") != "cancelled":
            self.say(message["message"], error=True)
