"""Calibrations as a whole, on small phantoms with a small model of random weights; and the numbers they measure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.images import Grid
from AutofocusCore.images.resampling import to_image
from AutofocusCore.models import find_model
from AutofocusCore.phantom import make_phantom
from AutofocusCore.review import calibration_of
from AutofocusCore.review.evidence import Evidence
from Testing.small_models import small_spec, write_coarse_pelvis
from Training import calibrate as script
from Training.calibrating import phantoms
from Training.calibrating.cases import Collection, collection, dice_of, run_case
from Training.calibrating.cohort import fit_cohort
from Training.calibrating.temperature import TEMPERATURES, best_temperature, likelihoods

TWO = tuple(dataclasses.replace(one, name=name) for one, name in zip(small_spec().structures, "AB", strict=True))
SPEC = small_spec(structures=TWO, spacing=None, orientation="LPS")
GRID = Grid((12, 10, 8), (2.0, 3.0, 4.0), (5.0, -7.0, 100.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def small_phantom(seed: int) -> tuple[sitk.Image, sitk.Image]:
    return make_phantom(seed, size=(24, 20, 16), spacing=(16.0, 16.0, 16.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coarse_pelvis(tmp_path_factory.mktemp("models") / "coarse-pelvis", 16.0)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of all calibrations here, so that each phantom is segmented once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantoms, "make_phantom", small_phantom)
    monkeypatch.setattr(phantoms, "COHORT", 6)


def calibrate(model: Path, work: Path, *options: object) -> int:
    return script.main([str(model), "--work", str(work), "--device", "cpu", *map(str, options)])


@pytest.mark.usefixtures("small")
def test_a_model_of_phantoms_is_calibrated_and_segments_each_phantom_once(
    model: Path, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calibrate(model, work, "--phantoms", 8, "-o", tmp_path / "calibrated") == 0
    said = capsys.readouterr().out
    assert "Measuring 6 training cases." in said
    assert "8/8 phantom-1107: Prostate 0." in said
    written = find_model(str(tmp_path / "calibrated"))
    found = calibration_of(written.spec)
    assert found is not None
    assert found.cohort is not None
    assert found.cohort.cases == 6
    assert found.quality is not None
    assert set(found.quality.structures) == {one.name for one in written.spec.structures}
    assert found.fitted_on == "8 cases that the model was not trained on (phantoms of seeds of their own)"
    assert f"temperature: {found.temperature} " in said
    assert written.spec.figures["estimates_of_quality"]["patients"] == 8
    assert len(written.spec.figures["estimates_by_structure"]) == 6
    assert written.checksum == find_model(str(model)).checksum, "the weights are the same"

    monkeypatch.setattr("AutofocusCore.segmentation.segment_image", None)  # a second run calls nothing
    assert calibrate(written.path, work, "--phantoms", 8) == 0
    again = capsys.readouterr().out
    assert "Measuring" not in again
    assert again.splitlines()[-7:] == said.splitlines()[-8:-1], "the same table, and nothing written"


@pytest.mark.usefixtures("small")
def test_training_cases_help_with_the_weights_and_cases_that_are_left_out_do_not_count(
    model: Path, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = phantoms.phantom_folder(work / "phantoms", 10)
    options = ["--data", folder, "--seen", 3, "--leave-out", "phantom-1101", "--cases", 8]
    assert calibrate(model, work, *options, "-o", tmp_path / "calibrated") == 0
    said = capsys.readouterr().out
    assert "11/11 phantom-1108" in said
    assert "phantom-1101" not in said
    assert "mean Dice in training" in said
    found = calibration_of(find_model(str(tmp_path / "calibrated")).spec)
    assert found is not None
    assert found.fitted_on.startswith("8 cases that the model was not trained on (validation of phantoms);")
    assert found.fitted_on.endswith("the weights of the features also on 3 cases that it was trained on")


def test_what_cannot_be_calibrated_is_refused_in_one_sentence(
    model: Path, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*options: object) -> str:
        assert calibrate(model, work, *options) == 1
        return capsys.readouterr().err

    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "split.json").write_text(json.dumps({"train": ["a"], "validation": [f"c{i}" for i in range(8)]}))
    assert "The folder" in (text := refused("--data", folder))
    assert "has no image of case a; name it a.nii.gz" in text
    assert "There are 3 cases to fit on; give at least 8" in refused("--data", folder, "--cases", 3)
    two = small_spec()
    spec = find_model(str(model)).spec
    object.__setattr__(spec, "channels", (*two.channels, *two.channels))
    monkeypatch.setattr(script, "find_model", lambda name: type("Model", (), {"spec": spec}))
    assert "takes several images; calibrate a model of one image" in refused("--data", folder)


def write(folder: Path, labels: Sequence[np.ndarray]) -> Collection:
    """Cases c0, c1, ... on `GRID` with these label maps: 1 is A, 2 is B."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number, values in enumerate(labels):
        scan = to_image(np.random.default_rng(number).normal(100, 10, values.shape).astype(np.float32), GRID)
        sitk.WriteImage(scan, str(folder / "images" / f"c{number}.nii.gz"))
        sitk.WriteImage(to_image(values, GRID), str(folder / "labels" / f"c{number}.nii.gz"))
    return Collection(folder / "images", folder / "labels", None, {"A": 1, "B": 2})


def boxes(shift: int = 0) -> np.ndarray:
    """A, 2 × 3 × 4 voxels of 24 mm³, and B, one voxel, `shift` voxels from its usual place."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:4, 3:6, 1:5] = 1
    labels[2:3, 3:4, 7 + shift : 8 + shift] = 2
    return labels


def test_the_cohorts_numbers_are_those_of_its_contours(tmp_path: Path) -> None:
    data = write(tmp_path, [boxes(shift) for shift in (0, 1, 2, 1, 1)])
    found = fit_cohort([f"c{i}" for i in range(5)], data, SPEC, scans=2)
    assert found.cases == 5
    assert np.exp(found.volumes["A"][0]) == pytest.approx(24 * 24 / 1000, rel=1e-3), "24 voxels of 24 mm³"
    assert np.exp(found.volumes["B"][0]) == pytest.approx(0.024, rel=1e-3)
    x, y, z = found.offsets["A > B"][:3]
    assert (x, y, z) == pytest.approx((2 * (8 - 2.5), 3 * (3 - 4), 4 * (2 - 2.5))), "of the case in the middle"
    assert found.spacing == ((2.0, 2.0), (3.0, 3.0), (4.0, 4.0))
    assert found.extent == ((24.0, 24.0), (30.0, 30.0), (32.0, 32.0))
    assert len(found.intensities) == 1


def test_a_structure_with_too_few_contours_has_no_numbers(tmp_path: Path) -> None:
    without = np.where(boxes() == 2, 0, boxes()).astype(np.uint8)
    data = write(tmp_path, [boxes(), boxes(), boxes(), boxes(), without])
    found = fit_cohort([f"c{i}" for i in range(5)], data, SPEC, scans=1)
    assert set(found.volumes) == {"A"}
    assert found.offsets == {}


def evidence_at(truth: np.ndarray, temperature: float, rng: np.random.Generator) -> Evidence:
    """Probabilities that are right as often as they say once they are softened by this temperature."""
    wrong = rng.random(truth.shape) < 0.2
    seen = np.where(wrong, rng.integers(0, 3, truth.shape), truth)
    sure = np.full((3, *truth.shape), 0.2 / 3)
    np.put_along_axis(sure, seen[None], 1 - 0.4 / 3, axis=0)  # right in 80 % + a third of 20 %
    sharp = sure**temperature
    return Evidence((sharp / sharp.sum(axis=0)).astype(np.float32), GRID, GRID)


@pytest.mark.parametrize("temperature", [0.8, 1.0, 1.5, 2.5])
def test_the_temperature_that_made_a_network_too_sure_is_found(tmp_path: Path, temperature: float) -> None:
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 3, GRID.shape).astype(np.uint8) for _ in range(3)]
    data = write(tmp_path, labels)
    tables = [
        likelihoods(evidence_at(truth, temperature, rng), to_image(truth, GRID), data, f"c{number}", ["A", "B"])
        for number, truth in enumerate(labels)
    ]
    assert best_temperature(tables) == pytest.approx(temperature, rel=0.12)


def test_a_structure_that_was_not_contoured_may_be_anywhere_outside_the_contours(tmp_path: Path) -> None:
    data = write(tmp_path, [np.where(boxes() == 2, 0, boxes()).astype(np.uint8)])
    seen = boxes()
    seen[4:6] = 2  # the network finds a quarter of the scan to be B
    sure = np.full((3, *GRID.shape), 1e-3, np.float32)
    np.put_along_axis(sure, seen[None].astype(int), 0.998, axis=0)
    evidence, truth = Evidence(sure, GRID, GRID), data.truth("c0")
    unknown = Collection(data.images, data.labels, {"c0": ["A"]}, data.values)
    counted, forgiven = (likelihoods(evidence, truth, one, "c0", ["A", "B"]) for one in (data, unknown))
    at_one = TEMPERATURES.index(1.0)
    assert forgiven[at_one] == pytest.approx(-np.log(0.999), abs=0.001)
    assert counted[at_one] == pytest.approx(-np.log(0.001) / 4, rel=0.02), "a quarter of the voxels is wrong"


def test_a_run_is_kept_under_the_checksum_of_the_weights(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path, [boxes()])
    image, _ = small_phantom(0)
    sitk.WriteImage(image, str(tmp_path / "images" / "p.nii.gz"))
    loaded = find_model(str(model))
    first = run_case(loaded, "p", data, tmp_path / "kept", device="cpu")
    (kept,) = (tmp_path / "kept").iterdir()
    assert loaded.checksum[:12] in kept.name
    assert first.labels.shape == (16, 20, 24)
    np.testing.assert_allclose(first.evidence.probabilities.sum(axis=0), 1, atol=0.01)
    assert first.evidence.scan.same_as(Grid.of(image))


def test_an_offset_moves_the_scans_values_and_nothing_else(tmp_path: Path) -> None:
    data = write(tmp_path, [boxes()])
    moved = dataclasses.replace(data, offset=-1024.0).scan("c0")
    np.testing.assert_allclose(sitk.GetArrayFromImage(moved), sitk.GetArrayFromImage(data.scan("c0")) - 1024, rtol=1e-6)
    assert Grid.of(moved).same_as(GRID)


def test_label_values_are_those_that_the_folder_names(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({"4": "B", "7": "A", "9": "Other"}))
    (tmp_path / "contoured.json").write_text(json.dumps({"c0": ["B"]}))
    found = collection(
        tmp_path, tmp_path, ["A", "B", "C"], names=tmp_path / "labels.json", contoured=tmp_path / "contoured.json"
    )
    assert found.values == {"A": 7, "B": 4}
    assert found.known("c0") == ["B"]
    assert collection(tmp_path, tmp_path, ["A", "B"]).values == {"A": 1, "B": 2}


def test_dice_is_of_the_delivered_labels_and_not_a_number_where_both_are_empty() -> None:
    truth = np.zeros(GRID.shape, np.uint8)
    truth[0, 0, :6] = 7
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0, 0, 3:9] = 1
    found = dice_of(labels, to_image(truth, GRID), {"A": 7, "B": 4}, ["A", "B", "C"])
    assert found["A"] == 0.5
    assert np.isnan(found["B"])
    assert "C" not in found
