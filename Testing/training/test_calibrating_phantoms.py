"""Phantoms to calibrate on: made once, by seeds that neither training nor figures use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import SettingError
from AutofocusCore.phantom import make_phantom
from Demo.demo import PHANTOM_SEED
from Training.calibrate import check_phantoms
from Training.calibrating import phantoms
from Training.calibrating.phantoms import phantom_folder
from Training.configuration.config import load_config
from Training.loop.data import (
    FIRST_CALIBRATION_PHANTOM,
    FIRST_WATCHED_PHANTOM,
    LEFT_OUT,
    SHOWN_PHANTOM,
    load_data,
    training_phantoms,
)

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["Prostate", "Seminal vesicles", "Bladder", "Rectum", "Left femur", "Right femur"]


def small_phantom(seed: int) -> tuple[sitk.Image, sitk.Image]:
    return make_phantom(seed, size=(24, 20, 16), spacing=(16.0, 16.0, 16.0))


def test_the_folder_holds_phantoms_to_fit_on_and_of_the_training_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phantoms, "make_phantom", small_phantom)
    monkeypatch.setattr(phantoms, "COHORT", 2)
    folder = phantom_folder(tmp_path / "phantoms", 2)
    split = json.loads((folder / "split.json").read_text())
    assert split == {"train": ["phantom-0", "phantom-1"], "validation": ["phantom-1100", "phantom-1101"]}
    assert list(json.loads((folder / "labels.json").read_text()).values()) == NAMES
    scan = folder / "images" / "phantom-1100.nii.gz"
    image, _ = small_phantom(1100)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(scan))), sitk.GetArrayFromImage(image))
    written = scan.stat().st_mtime_ns
    phantom_folder(folder, 2)
    assert scan.stat().st_mtime_ns == written


def test_no_phantom_that_is_fitted_on_is_trained_on_watched_or_reported() -> None:
    data = load_data(load_config(ROOT / "Training" / "configs" / "pelvis-phantom.toml"))
    used = {source.name for source in (*data.train, *data.watch, *data.test)}
    assert not used & {f"phantom-{FIRST_CALIBRATION_PHANTOM + i}" for i in range(900)}


def test_models_of_other_structures_and_more_phantoms_than_have_seeds_are_refused() -> None:
    check_phantoms(NAMES, 24)
    for names, count, part in ((["Liver"], 24, "phantoms have"), (NAMES, 3, "8 to 900"), (NAMES, 901, "8 to 900")):
        with pytest.raises(SettingError, match=part):
            check_phantoms(names, count)


@pytest.mark.parametrize("count", [5, 919, 3000])
def test_the_phantom_that_demonstrations_show_is_never_trained_on(count: int) -> None:
    seeds = training_phantoms(count)
    assert len(set(seeds)) == count
    assert SHOWN_PHANTOM == PHANTOM_SEED
    assert not {SHOWN_PHANTOM, *range(FIRST_WATCHED_PHANTOM, FIRST_WATCHED_PHANTOM + LEFT_OUT)} & set(seeds)
