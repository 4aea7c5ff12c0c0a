"""The picture of a model's best, median and worst case."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import Training.draw_cases
from AutofocusCore.errors import InputError
from AutofocusCore.models import find_model, load_bundle
from AutofocusCore.teaching.case import Case
from Training.configuration.config import load_config
from Training.evaluation.drawing import DrawnCase, best_median_worst, draw_cases
from Training.export import export

ROWS = [
    {"case": "a", "Bladder": 0.2, "Rectum": 0.4},
    {"case": "b", "Bladder": 0.9},
    {"case": "c"},
    {"case": "d", "Rectum": 0.5},
]


def test_cases_are_ranked_by_the_mean_dice_of_what_is_known_in_them() -> None:
    spec = replace(find_model("pelvis-phantom").spec, figures={"cases": ROWS})
    chosen = best_median_worst(spec)
    assert [name for name, _ in chosen.values()] == ["b", "d", "a"]
    assert chosen["worst"][1] == pytest.approx(0.3)


def test_a_card_without_cases_is_named() -> None:
    with pytest.raises(InputError, match="has no case with a Dice"):
        best_median_worst(replace(find_model("pelvis-phantom").spec, figures={}))


@pytest.mark.parametrize(("orientation", "place"), [("RAS", (15, 16, 4)), ("LPS", (15, 3, 15)), ("LAI", (4, 16, 15))])
def test_head_is_up_and_the_patients_right_on_the_left(
    orientation: str, place: tuple[int, int, int], tmp_path: Path
) -> None:
    """A structure high, in front and on the patient's left is drawn so, whichever way the indices grow."""
    spec = replace(find_model("pelvis-phantom").spec, orientation=orientation)
    place = {"RAS": (15, 15, 4), "LPS": (15, 4, 15), "LAI": (4, 15, 15)}[orientation]
    found = np.zeros((20, 20, 20), np.uint8)
    found[tuple(slice(index - 2, index + 3) for index in place)] = 3
    image = np.zeros((1, 20, 20, 20), np.float32)
    case = Case("one", image, np.zeros_like(found), np.ones(found.shape, bool), 0.0)
    draw_cases(tmp_path / "one.png", [DrawnCase("one", case, found)], spec, (1.0, 1.0, 1.0), "A model")
    picture = matplotlib.image.imread(tmp_path / "one.png")[..., :3]
    colour = np.array(spec.structures[2].color) / 255
    drawn = np.argwhere(np.abs(picture - colour).sum(2) < 0.1)
    drawn = drawn[drawn[:, 0] < 0.8 * picture.shape[0]]  # not the legend
    width, middle = picture.shape[1], drawn[:, 0].mean()
    axial, coronal = drawn[drawn[:, 1] < width / 3], drawn[(drawn[:, 1] > width / 3) & (drawn[:, 1] < 2 * width / 3)]
    assert len(axial) > 20
    assert len(coronal) > 20
    assert middle < 0.45 * picture.shape[0]
    assert axial[:, 1].mean() > width / 6
    assert coronal[:, 1].mean() > width / 2


def test_the_command_draws_the_cases_of_a_run(
    balls_config: Path,
    balls_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export(load_config(balls_config), balls_run, tmp_path / "balls")
    rows = load_bundle(tmp_path / "balls").spec.figures["cases"]
    arguments = ["draw_cases.py", str(balls_config), "--model", str(tmp_path / "balls"), "-o"]
    monkeypatch.setattr(sys, "argv", [*arguments, str(tmp_path / "pictures" / "cases.png")])
    assert Training.draw_cases.main() == 0
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()} >= {"best", "median", "worst"}
    assert len(rows) == 3
    assert (tmp_path / "pictures" / "cases.png").stat().st_size > 1000
    monkeypatch.setattr(sys, "argv", [*arguments, str(tmp_path / "cases.jpg")])
    assert Training.draw_cases.main() == 1
    assert "not a .png" in capsys.readouterr().err
