"""What a teaching is made of before it begins: its settings, and the cases that are held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from AutofocusCore.errors import SettingError
from AutofocusCore.jobs.teach import choose_held_out, taught_labels
from AutofocusCore.jobs.teach_cases import CorrectedCase, ReadCase, read_corrected
from AutofocusCore.jobs.teach_check import compare_before_and_after, dice, has_drifted
from AutofocusCore.jobs.teach_settings import TeachSettings
from Testing.core.small_lessons import BRIGHT, DIM, ball_spec, balls, write_corrections


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[ReadCase]:
    """Eight cases; the dim ball is contoured in the first two alone."""
    folder = tmp_path_factory.mktemp("lessons")
    read = []
    for number in range(8):
        labels = (BRIGHT, DIM) if number < 2 else (BRIGHT,)
        write_corrections(folder / str(number), [number], 0.0, labels)
        files = (folder / str(number) / f"case-{number}.nii.gz", folder / str(number) / f"case-{number}.seg.nrrd")
        read.append(read_corrected(CorrectedCase(str(number), (str(files[0]),), str(files[1])), ball_spec(), (1, 2)))
    return read


def test_a_quarter_of_the_cases_is_held_out_evenly_and_always_the_same(cases: list[ReadCase]) -> None:
    assert choose_held_out(cases) == ["0", "4"]
    assert choose_held_out(cases) == ["0", "4"]
    assert choose_held_out(cases[:4]) == ["0"]
    assert choose_held_out(cases[:3]) == []


def test_the_only_case_of_a_structure_is_never_held_out(cases: list[ReadCase]) -> None:
    assert choose_held_out(cases[1:5]) == ["2"]


def test_names_of_structures_are_found_whatever_their_case_and_all_stand_for_none() -> None:
    assert taught_labels(ball_spec(), ("anterior Hippocampus",)) == (BRIGHT,)
    assert taught_labels(ball_spec(), ()) == (BRIGHT, DIM)
    with pytest.raises(SettingError, match=r"has no structure 'Liver'; choose among Anterior hippocampus, Posterior"):
        taught_labels(ball_spec(), ("Liver",))


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 1441, "ten"])
def test_minutes_that_are_none_are_refused(minutes: object) -> None:
    with pytest.raises(SettingError, match="minutes of teaching"):
        TeachSettings(minutes=minutes)  # type: ignore[arg-type]


def test_a_structure_is_measured_where_it_is_contoured_and_compared_everywhere(cases: list[ReadCase]) -> None:
    lessons, checked = cases[2:], cases[:3]
    before = [balls(n)[1] for n in range(3)]
    after = [labels.copy() for labels in before]
    for labels in after:
        labels[labels == DIM] = 0
    bright, dim = compare_before_and_after(ball_spec(), (BRIGHT,), lessons, checked, before, after)
    assert (bright.taught, bright.lessons, bright.cases) == (True, 6, 3)
    assert (bright.before, bright.after, bright.gain, bright.agreement) == (1.0, 1.0, 0.0, 1.0)
    assert (dim.taught, dim.lessons, dim.cases) == (False, 0, 2)
    assert (dim.before, dim.after, dim.gain, dim.agreement) == (1.0, 0.0, -1.0, 0.0)
    assert not has_drifted(bright.taught, bright.agreement)
    assert has_drifted(dim.taught, dim.agreement)


@pytest.mark.parametrize(
    ("taught", "agreement", "drifted"),
    [(False, 0.89, True), (False, 0.9, False), (True, 0.5, False), (False, None, False)],
)
def test_a_structure_that_nobody_taught_has_drifted_where_both_models_disagree(
    taught: bool, agreement: float | None, drifted: bool
) -> None:
    assert has_drifted(taught, agreement) == drifted


def test_dice_of_nothing_and_nothing_is_not_defined() -> None:
    labels = balls(1)[1]
    assert dice(labels == 9, labels == 9) is None
    assert dice(labels == 1, labels == 1) == 1.0
    assert dice(labels == 1, labels == 2) == 0.0


def test_the_folder_of_the_lessons_is_left_as_it_was(cases: list[ReadCase], tmp_path: Path) -> None:
    folder = write_corrections(tmp_path / "cases", [1], 0.0)
    before = sorted(path.name for path in folder.iterdir())
    read_corrected(
        CorrectedCase("1", (str(folder / "case-1.nii.gz"),), str(folder / "case-1.seg.nrrd")), ball_spec(), (1, 2)
    )
    assert sorted(path.name for path in folder.iterdir()) == before
