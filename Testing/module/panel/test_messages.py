"""Sentences in the panel's labels: read by the user as they were written, whatever names stand in them."""

from __future__ import annotations

from typing import Any

import pytest

from Testing.module.panel.conftest import Application

NAMES = ["O'Neill's CT", "Head & neck", "<b>CT</b>", "a < b", "A &lt; B"]


def read(label: Any) -> str:
    """What a QLabel shows: it takes for HTML what looks like it."""
    from PySide6.QtGui import Qt, QTextDocument

    text = str(label.text)
    if not Qt.mightBeRichText(text):
        return text
    document = QTextDocument()
    document.setHtml(text)
    return document.toPlainText()


@pytest.mark.parametrize("error", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_each_status_line(app: Application, name: str, error: bool) -> None:
    sentence = f"Nothing was found in {name}."
    for say, label in (
        (app.panel.messages.say, app.ui.statusLabel),
        (app.panel.teaching._say, app.ui.teachStatusLabel),
    ):
        say(sentence, error=error)
        assert read(label) == sentence
    app.panel.messages.hint(sentence)
    assert read(app.ui.statusLabel) == sentence


@pytest.mark.parametrize("name", NAMES)
def test_the_notice_on_what_the_views_show_has_the_names_as_they_are(app: Application, name: str) -> None:
    first = app.ready()
    app.scan(name)
    app.panel.inputs._selectors[0].setCurrentNode(first)  # as a user does
    assert read(app.ui.viewsNoticeLabel) == f"The views show {name}, the input is A."


@pytest.mark.parametrize("name", NAMES)
def test_names_of_structures_are_shown_as_they_are_under_the_model(app: Application, name: str) -> None:
    from AutofocusSegmentationLib.panel.model_list import summary

    app.ui.modelSummaryLabel.text = summary({"structures": [{"name": name}]})
    assert read(app.ui.modelSummaryLabel) == f"{name}."
