"""The file of a lesson that was stopped: it goes on only with the same cases and settings, and runs no code."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from AutofocusCore.errors import OutputError
from AutofocusCore.teaching.case import with_known
from AutofocusCore.teaching.lesson_file import LessonFile, case_checksum
from Testing.core.small_lessons import BRIGHT, DIM, ball_case

CASES = {"anna": "1", "bert": "2"}


def lesson_file(path: Path, cases: dict[str, str] = CASES, **settings: Any) -> LessonFile:
    return LessonFile(path, {"parent": "p", "minutes": 10, **settings}, cases)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".x.lesson"
    assert lesson_file(path).load() == (None, "")
    lesson_file(path).save({"weights": {"a": torch.arange(3.0)}, "steps": 7, "losses": [0.5]})
    state, refusal = lesson_file(path).load()
    assert refusal == ""
    assert state is not None
    assert torch.equal(state.pop("weights")["a"], torch.arange(3.0))
    assert state == {"steps": 7, "losses": [0.5]}
    assert [entry.name for entry in path.parent.iterdir()] == [".x.lesson"]


@pytest.mark.parametrize(
    ("cases", "settings", "reason"),
    [
        ({"anna": "1", "bert": "3"}, {}, "the case has changed or is new: bert"),
        ({**CASES, "carl": "3", "dora": "4"}, {}, "the cases have changed or is new: carl, dora"),
        ({"anna": "1"}, {}, "further cases or another order"),
        ({"bert": "2", "anna": "1"}, {}, "further cases or another order"),
        (CASES, {"minutes": 20.0}, "had 10 instead of 20 minutes, so it"),
        (CASES, {"parent": "q"}, "had another model, so it"),
        (CASES, {"parent": "q", "minutes": 2}, "had 10 instead of 2 minutes and another model, so it"),
    ],
)
def test_another_lesson_begins_anew_and_the_sentence_says_why(
    cases: dict[str, str], settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / ".x.lesson"
    lesson_file(path).save({"steps": 7})
    state, refusal = lesson_file(path, cases, **settings).load()
    assert state is None
    assert reason in refusal
    assert refusal.endswith("begins anew.")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize("kind", ["code", "damaged", "empty"])
def test_a_file_that_is_damaged_or_holds_code_is_not_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".x.lesson"
    lesson_file(path).save({"steps": 7, "weights": torch.zeros(1000)})
    if kind == "code":
        path.write_bytes(pickle.dumps(Hostile(), protocol=2))
    else:
        path.write_bytes(path.read_bytes()[: 900 if kind == "damaged" else 0])
    assert lesson_file(path).load() == (None, "The lesson that was stopped cannot be read, so it begins anew.")
    assert not Path("touched").exists()


def test_the_file_names_no_patient(tmp_path: Path) -> None:
    path = tmp_path / ".x.lesson"
    lesson_file(path).save({"steps": 7})
    assert b"anna" not in path.read_bytes()


def test_what_could_not_be_saved_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".x.lesson"
    lesson_file(path).save({"steps": 7})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="no space left"):
        lesson_file(path).save({"steps": 8})
    assert lesson_file(path).load()[0] == {"steps": 7}
    assert [entry.name for entry in tmp_path.iterdir()] == [".x.lesson"]


def test_the_checksum_of_a_case_changes_with_what_is_learned_from_it() -> None:
    case = with_known(ball_case(1), (BRIGHT,))
    image = case.image.copy()
    image[0, 0, 0, 0] += 1e-3
    labels = case.labels.copy()
    labels[0, 0, 0] = DIM
    others = [
        replace(case, image=image),
        replace(case, labels=labels),
        replace(case, roi=np.zeros_like(case.roi)),
        with_known(ball_case(1), (BRIGHT, DIM)),
    ]
    assert case_checksum(with_known(ball_case(1), (BRIGHT,))) == case_checksum(case)
    assert len({case_checksum(one) for one in (case, *others)}) == 5
