"""A damaged calibration is found when the model is read for a run that needs it, before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import ModelError
from AutofocusCore.io.temporary import PrivateFolder
from AutofocusCore.models import find_model, write_bundle
from AutofocusCore.review import Calibration
from AutofocusCore.review.cohort import Cohort
from AutofocusCore.worker.handlers import RequestHandlers

SENTENCE = "The calibration of the model tiny cannot be used ('cases' is missing); get the model from its source again"


@pytest.fixture(scope="module")
def damaged(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with a calibration whose cohort has no number of cases."""
    calibration = Calibration(1.2, None, Cohort(20), "20 made-up cases").to_dict()
    del calibration["cohort"]["cases"]
    whole = find_model(str(tiny_model))
    spec = dataclasses.replace(whole.spec, calibration=calibration)
    return write_bundle(tmp_path_factory.mktemp("models") / "tiny", spec, whole.build().state_dict(), "MIT License")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(100, 10, (12, 12, 12)).astype(np.float32))
    (tmp_path / "scans").mkdir()
    sitk.WriteImage(image, str(tmp_path / "scans" / "mr.nii.gz"))
    return tmp_path / "scans" / "mr.nii.gz"


@pytest.mark.parametrize(
    "command", [["segment", "scans/mr.nii.gz", "-o", "x.seg.nrrd"], ["batch", "scans", "-o", "out"]]
)
def test_the_command_line_says_it_once_and_computes_nothing(
    command: list[str], scan: Path, damaged: Path, autofocus_here: Callable[..., Any], tmp_path: Path
) -> None:
    done = autofocus_here(*command, "-m", damaged)
    assert done.returncode == 1
    assert done.stderr.count(SENTENCE) == 1, done.stderr
    assert "%" not in done.stdout + done.stderr, "no progress"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans"]


def test_the_worker_refuses_a_review_at_once_and_segments_without_one(
    scan: Path, damaged: Path, tmp_path: Path
) -> None:
    handlers, stages = RequestHandlers(PrivateFolder(tmp_path / "autofocus-x")), []
    request = {"id": 1, "images": [str(scan)], "model": str(damaged)}
    with pytest.raises(ModelError, match="'cases' is missing"):
        handlers.segment(request, report=stages.append)
    assert stages == []
    answer = handlers.segment({**request, "review": False}, report=stages.append)
    assert answer["review"] is None
    assert stages


def test_verifying_the_model_finds_it(damaged: Path, autofocus_here: Callable[..., Any]) -> None:
    done = autofocus_here("models", "verify", damaged)
    assert done.returncode == 1
    assert SENTENCE in done.stderr
