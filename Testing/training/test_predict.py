"""Label maps of runs and models, on the input's grid, and named as BRATS's server wants them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import Training.predict
from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from AutofocusCore.models import write_bundle
from Testing.training.conftest import loud_run
from Training.configuration.config import load_config
from Training.evaluation.label_maps import measure_label_maps
from Training.export import licence_text
from Training.loop.runs import load_run
from Training.predict import submission_name
from Training.prepare import main as prepare_main
from Training.preparing.data_list import CaseEntry

Command = Callable[..., int]


@pytest.fixture(autouse=True)
def narrow_on_balls() -> None:
    """Networks have their whole width here: `autofocus batch` builds them in processes of its own."""


@pytest.fixture(scope="module")
def balls_run(tmp_path_factory: pytest.TempPathFactory, balls_config: Path) -> Path:
    return loud_run(balls_config, tmp_path_factory.mktemp("runs") / "balls")


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, forked_workers: None) -> Command:
    """The command line in this process; its exit status."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, words)])
        return Training.predict.main()

    return run


def prepare(balls: Path, tmp_path: Path, image: str, pattern: str) -> Path:
    """A folder of two cases, one of them a test case, as prepare.py makes it of files of these names."""
    source, folder = tmp_path / "source", tmp_path / "prepared"
    for number in (4, 5):
        for kind, name in (("images", image.format(number)), ("labels", "labels")):
            path = source / f"pat_{number}" / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((balls / f"{kind}Tr" / f"ball_{number}.nii.gz").read_bytes())
    (tmp_path / "split.json").write_text('{"train": ["pat_5"], "test": ["pat_4"]}', encoding="utf-8")
    options = ["--structures", "Bladder,Prostate", "--channels", "FLAIR", "--split", str(tmp_path / "split.json")]
    patterns = ["--images", pattern, "--labels", "{case}/labels"]
    assert prepare_main(["folder", str(source), str(folder), *options, *patterns]) == 0
    return folder


@pytest.fixture
def prepared(balls: Path, tmp_path: Path) -> Path:
    """Two cases of files that are named as BRATS 2015's."""
    return prepare(balls, tmp_path, "VSD.Brain.XX.O.MR_Flair.5451{}", "{case}/VSD.*")


def test_a_run_predicts_the_test_cases_on_the_inputs_own_grid(
    predict: Command, balls_config: Path, balls_run: Path, balls: Path, prepared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    own = ("--set", 'model.licence="LicenseRef-own"')  # whose text nobody has at hand
    options = ("--run", balls_run, "-o", out, "--probabilities", "--device", "cpu", *own)
    assert predict(balls_config, prepared, *options) == 0
    found = sitk.ReadImage(str(out / "pat_4.nii.gz"))
    image = sitk.ReadImage(str(balls / "imagesTr" / "ball_4.nii.gz"))
    assert Grid.of(found).same_as(Grid.of(image))
    assert np.unique(sitk.GetArrayViewFromImage(found)).max() > 0
    assert (out / "pat_4_probabilities.nrrd").is_file()
    assert not (out / "pat_5.nii.gz").exists()  # a training case


def test_what_is_predicted_is_what_is_evaluated(
    predict: Command, balls_config: Path, balls_run: Path, balls: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "ball_4.nii.gz").write_bytes((balls / "imagesTr" / "ball_4.nii.gz").read_bytes())
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "ball_4.nii.gz").write_bytes((balls / "labelsTr" / "ball_4.nii.gz").read_bytes())
    arguments = ("--run", balls_run, "-o", tmp_path / "out", "--precision", "float32")
    assert predict(balls_config, images / "ball_4.nii.gz", *arguments) == 0
    from Training.evaluate import labels_of, measure_run

    config = load_config(balls_config)
    maps = measure_label_maps(tmp_path / "out", truth, labels_of(config.model), say=lambda text: None)
    direct = [one for one in measure_run(config, balls_run, say=lambda text: None) if one.case == "ball_4"]
    assert [one.dice for one in maps] == pytest.approx([one.dice for one in direct], abs=1e-6)


def test_a_submission_is_named_by_the_number_of_the_flair_image(
    predict: Command, balls_config: Path, balls_run: Path, prepared: Path, tmp_path: Path
) -> None:
    arguments = ("--run", balls_run, "-o", tmp_path / "out", "--submission", "afn-1", "--part", "all")
    assert predict(balls_config, prepared, *arguments) == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("*.mha")) == ["VSD.afn-1.54514.mha", "VSD.afn-1.54515.mha"]


def test_a_submission_of_a_later_year_has_the_names_and_labels_of_that_year(
    predict: Command, balls_config: Path, balls_run: Path, prepared: Path, tmp_path: Path
) -> None:
    """Prepared as `prepare.py brats` does, were these heads: the server knows our 2 as 4."""
    values = json.loads((prepared / "data.json").read_text(encoding="utf-8"))
    values["preparation"]["submitted"] = {"2": 4}
    for case in values["cases"]:
        case["submission_name"] = f"Brats18_{case['name']}"
    (prepared / "data.json").write_text(json.dumps(values), encoding="utf-8")
    arguments = ("--run", balls_run, "-o", tmp_path / "out", "--submission", "afn-1")
    assert predict(balls_config, prepared, *arguments) == 0
    ours, theirs = (
        sitk.ReadImage(str(tmp_path / "out" / folder / "Brats18_pat_4.nii.gz")) for folder in (".", "afn-1")
    )
    assert [path.name for path in (tmp_path / "out" / "afn-1").iterdir()] == ["Brats18_pat_4.nii.gz"]
    labels = sitk.GetArrayFromImage(ours)
    assert (labels == 2).any()
    assert np.array_equal(sitk.GetArrayFromImage(theirs), np.where(labels == 2, 4, labels))
    assert theirs.GetPixelID() == ours.GetPixelID()
    np.testing.assert_allclose(theirs.GetOrigin(), ours.GetOrigin())
    np.testing.assert_allclose(theirs.GetDirection(), ours.GetDirection())


def test_cases_without_a_number_are_not_named_for_the_server_but_refused(
    predict: Command, balls_config: Path, balls_run: Path, balls: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = prepare(balls, tmp_path, "flair_{}", "{case}/flair_*")
    arguments = ("--run", balls_run, "-o", tmp_path / "out", "--submission", "afn-1", "--part", "all")
    assert predict(balls_config, folder, *arguments) == 1
    assert "Case pat_4 has no number of BRATS 2015's server" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.mha"))


@pytest.mark.parametrize(
    ("sources", "number"),
    [
        (["HGG/a/VSD.Brain.XX.O.MR_Flair.54512/VSD.Brain.XX.O.MR_Flair.54512.mha"], "54512"),
        (["a/VSD.Brain.XX.O.MR_T1.54513.nii.gz", "a/VSD.Brain.XX.O.MR_Flair.54512.nii.gz"], "54512"),
        (["a/VSD.Brain.XX.O.MR_T1.54513.nii.gz", "a/VSD.Brain_3more.XX.O.OT.54517.nii.gz"], None),
        (["a/VSD.Brain.XX.O.MR_Flair.54512.nii", "b/VSD.Brain.XX.O.MR_Flair.54522.nii"], None),
        (["images/BraTS20_Training_001_flair.nii.gz"], None),
        ([], None),
    ],
)
def test_the_number_is_that_of_the_flair_image_the_case_was_made_of(sources: list[str], number: str | None) -> None:
    image = "cases/a/image0_FLAIR.nii.gz"
    entry = CaseEntry("a", (image,), None, None, None, "test", {image: ""}, sources=tuple(sources))
    if number is None:
        with pytest.raises(InputError, match="Case a has no number"):
            submission_name(entry, "x")
    else:
        assert submission_name(entry, "x") == f"VSD.x.{number}"
    known = replace(entry, submission_name="VSD.{name}.777")
    assert submission_name(known, "x") == "VSD.x.777"


def test_a_second_call_does_not_do_again_what_is_done(
    predict: Command,
    balls_config: Path,
    balls_run: Path,
    balls: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = load_config(balls_config)
    model = write_bundle(
        tmp_path / "balls", config.model, load_run(balls_run, config).network.state_dict(), licence_text(config.model)
    )
    image = balls / "imagesTr" / "ball_4.nii.gz"
    for _ in range(2):
        assert predict(image, "--model", model, "-o", tmp_path / "out") == 0
    assert "1 of 1 cases are done already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("{prepared}", "--part", "test", "--fold", "7"), "has no case in fold 7"),
        (("{image}", "{image}"), "2 images were given; give one for each of T1"),
        (("{image}", "--submission", "x"), "--submission needs the names that a prepared folder keeps"),
    ],
)
def test_what_cannot_be_predicted_is_said_in_a_sentence(
    words: tuple[str, ...], why: str, predict: Command, balls_config: Path, balls_run: Path, balls: Path,
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    known = {"prepared": prepared, "image": balls / "imagesTr" / "ball_4.nii.gz"}
    filled = [word.format(**known) for word in words]
    assert predict(balls_config, *filled, "--run", balls_run, "-o", tmp_path / "out") == 1
    assert why in capsys.readouterr().err


def test_images_that_are_normalised_already_are_not_normalised_again(
    predict: Command, balls_config: Path, balls_run: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    listed = json.loads((prepared / "data.json").read_text(encoding="utf-8"))
    listed["cases"][0]["background"] = [-3.5]
    (prepared / "data.json").write_text(json.dumps(listed), encoding="utf-8")
    assert predict(balls_config, prepared, "--run", balls_run, "-o", tmp_path / "out") == 1
    assert "pat_4 are normalised already" in capsys.readouterr().err
