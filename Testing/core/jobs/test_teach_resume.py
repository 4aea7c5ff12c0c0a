"""A lesson that was stopped goes on where it was, with the same cases and settings; otherwise it begins anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from AutofocusCore.batch.corrections import read_corrections
from AutofocusCore.errors import Cancelled
from AutofocusCore.inference import Progress
from AutofocusCore.jobs import teach_learn
from AutofocusCore.jobs.teach import Taught, teach
from AutofocusCore.jobs.teach_settings import TeachSettings
from AutofocusCore.models import Model, load_bundle
from Testing.core.small_lessons import write_ball_model, write_corrections
from Testing.core.small_networks import narrow_networks

pytestmark = pytest.mark.timeout(300)  # the first test also loads torch's optimisers, on a busy computer

SETTINGS = TeachSettings(steps=4, check=("case-0",), device="cpu")


class Killed(BaseException):
    """The process is gone: nothing more is done."""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with narrow_networks():
        yield load_bundle(write_ball_model(tmp_path_factory.mktemp("parent") / "balls", steps=1))


@pytest.fixture
def lesson(parent: Model, tmp_path: Path) -> Callable[..., tuple[Taught, list[str]]]:
    """Teach from two cases; returns the result and what was said."""
    folder = write_corrections(tmp_path / "cases", range(3), grown=1.0)

    def run(settings: TeachSettings = SETTINGS, *, kept: bool = True, **options: Any) -> tuple[Taught, list[str]]:
        said: list[str] = []
        cases = read_corrections(folder, parent.spec.channels, said.append)
        keep = tmp_path / ".new.lesson" if kept else None
        return teach(parent, cases, "new", settings, keep=keep, say=said.append, **options), said

    return run


def stop_after(steps: int, error: type[BaseException]) -> Callable[[Progress], None]:
    """Progress that raises an error after so many steps of learning."""

    def progress(state: Progress) -> None:
        if state.stage == "teach" and state.done >= 100 * steps // SETTINGS.steps:
            raise error

    return progress


def weights(taught: Taught) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = taught.model.network.state_dict()
    return state


def equal(one: Taught, other: Taught) -> bool:
    expected = weights(other)
    return all(torch.equal(value, expected[name]) for name, value in weights(one).items())


def test_a_killed_lesson_goes_on_and_ends_as_one_that_was_not(
    lesson: Callable[..., tuple[Taught, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = lesson(kept=False)
    monkeypatch.setattr(teach_learn, "SAVE_SECONDS", 0.0)
    with pytest.raises(Killed):
        lesson(progress=stop_after(3, Killed))
    again, said = lesson()
    assert said == ["The lesson goes on after 3 steps, where it was stopped."]
    assert (again.steps, again.resumed, again.to_dict()["resumed"]) == (4, 3, 3)
    assert again.warnings == whole.warnings
    assert equal(again, whole)
    assert [(row.before, row.after) for row in again.rows] == [(row.before, row.after) for row in whole.rows]


def test_a_cancelled_lesson_loses_no_step(lesson: Callable[..., tuple[Taught, list[str]]]) -> None:
    done = [0]

    def progress(state: Progress) -> None:
        done[0] = state.done if state.stage == "teach" else 0

    with pytest.raises(Cancelled):
        lesson(progress=progress, cancelled=lambda: done[0] >= 50)
    again, said = lesson()
    assert again.resumed >= 2
    assert said == [f"The lesson goes on after {again.resumed} steps, where it was stopped."]


def test_a_lesson_that_was_stopped_while_the_new_model_was_measured_learns_no_further(
    lesson: Callable[..., tuple[Taught, list[str]]],
) -> None:
    def progress(state: Progress) -> None:
        if state.stage == "after":
            raise Killed

    with pytest.raises(Killed):
        lesson(progress=progress)
    again, _ = lesson()
    assert (again.steps, again.resumed) == (4, 4)
    assert equal(again, lesson(kept=False)[0])


def test_a_changed_case_or_other_settings_begin_anew_and_say_so(
    lesson: Callable[..., tuple[Taught, list[str]]], tmp_path: Path
) -> None:
    lesson()
    write_corrections(tmp_path / "other", [2], grown=2.0)
    (tmp_path / "other" / "case-2.seg.nrrd").replace(tmp_path / "cases" / "case-2.seg.nrrd")
    again, said = lesson()
    assert again.resumed == 0
    assert said == ["Since the lesson was stopped, the case has changed or is new: case-2. So it begins anew."]
    assert said[0] in again.warnings
    assert lesson()[0].resumed == 4, "the new lesson is kept"
    other, said = lesson(replace(SETTINGS, seed=2))
    assert other.resumed == 0
    assert "had another seed" in said[0]


def test_files_of_equal_content_under_the_same_names_are_the_same_cases(
    lesson: Callable[..., tuple[Taught, list[str]]], tmp_path: Path
) -> None:
    lesson()
    for path in (tmp_path / "cases").iterdir():
        path.write_bytes(path.read_bytes())
    assert lesson()[0].resumed == 4
