"""A lesson in the panel that was stopped: it goes on where it was, and the user reads that it does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from AutofocusCore.errors import Cancelled
from AutofocusCore.inference import Progress
from AutofocusCore.jobs.teach import teach as teach_model
from AutofocusCore.jobs.teach_cases import CorrectedCase
from AutofocusCore.jobs.teach_output import lesson_file
from AutofocusCore.jobs.teach_settings import TeachSettings
from AutofocusCore.models import find_model
from Testing.module.panel.conftest import Application
from Testing.module.panel.lessons import MODEL, NEW, collect, start

pytestmark = pytest.mark.timeout(300)  # a worker loads torch's optimisers, on a busy computer
STEPS = 8


def lesson_of(name: str) -> Path:
    return lesson_file(Path(os.environ["AUTOFOCUS_MODELS"]) / name)


def stop_midway(app: Application) -> None:
    """Leave a lesson as one of the panel that was cancelled after five of its eight steps."""
    done = [0]

    def progress(state: Progress) -> None:
        done[0] = state.done if state.stage == "teach" else 0

    cases = [CorrectedCase(case.name, case.images, case.labels) for case in app.panel.teaching.collection.cases]
    settings = TeachSettings(minutes=float(app.ui.teachMinutesSpinBox.value), steps=STEPS, device="cpu")
    keep = lesson_of(NEW)
    with pytest.raises(Cancelled):
        teach_model(
            find_model(MODEL), cases, NEW, settings, keep=keep, progress=progress, cancelled=lambda: done[0] >= 50
        )
    assert keep.is_file()


def taught(app: Application, **settings: Any) -> list[str]:
    """What stood under the buttons while a model was taught, and in the end."""
    texts: list[str] = []
    lesson = app.panel.teaching.lesson
    hear = lesson._progressed

    def progressed(message: dict[str, Any]) -> None:
        hear(message)
        texts.append(app.ui.teachStatusLabel.text)

    lesson._progressed = progressed
    start(app, **settings)
    del lesson._progressed
    app.wait(lambda: not app.panel.teaching.running)
    return [*texts, app.ui.teachStatusLabel.text]


@pytest.mark.usefixtures("forked_workers")
def test_a_lesson_that_was_stopped_goes_on_and_the_section_says_so_before_during_and_after(teach: Application) -> None:
    collect(teach, 1)
    assert "is kept" not in teach.ui.teachHintLabel.text
    stop_midway(teach)
    teach.panel.teaching.update()
    assert f"The last lesson of {NEW} is kept" in teach.ui.teachHintLabel.text
    assert "Teach goes on with it" in teach.ui.teachHintLabel.text
    *during, after = taught(teach, steps=STEPS)
    learning = [text for text in during if text.startswith("Learning")]
    assert "goes on after 5 steps, where it was stopped." in learning[0]
    assert "chosen" in after, after
    assert "It went on after 5 steps" in after
    assert not lesson_of(NEW).exists()


@pytest.mark.usefixtures("forked_workers")
def test_a_lesson_that_cannot_go_on_says_under_the_buttons_what_is_different(teach: Application) -> None:
    collect(teach, 1)
    stop_midway(teach)
    *during, after = taught(teach, steps=2, minutes=2)
    assert any("had 10 instead of 2 minutes and 8 instead of 2 steps, so it begins anew." in text for text in during)
    assert "went on" not in after


def test_a_lesson_that_is_cancelled_before_it_has_learned_does_not_promise_to_go_on(teach: Application) -> None:
    collect(teach, 1)
    fields = (teach.ui.teachNameLineEdit, teach.ui.teachMinutesSpinBox)
    start(teach)
    assert not any(field.enabled for field in fields), "they are told already"
    teach.ui.teachCancelButton.click()
    teach.wait(lambda: not teach.panel.teaching.running)
    assert "It had not begun to learn." in teach.ui.teachStatusLabel.text
    assert "goes on" not in teach.ui.teachStatusLabel.text
    assert all(field.enabled for field in fields)
