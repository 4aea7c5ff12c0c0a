"""Dice against values found by hand, by name and by label value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.io.results import write_segmentation
from AutofocusCore.models.terminology import structures
from Demo.agreement import dice

NAMES = {"Prostate": 1, "Bladder": 2, "Rectum": 3}


def labelmap(*runs: tuple[int, int, int]) -> sitk.Image:
    """Labels (value, first, last + 1) along x in a 4 × 4 × 20 image."""
    values = np.zeros((4, 4, 20), np.uint8)
    for value, first, end in runs:
        values[:, :, first:end] = value
    return sitk.GetImageFromArray(values)


def test_dice_is_that_of_the_overlap(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", labelmap((1, 0, 6), (2, 8, 12)), structures(*NAMES))
    sitk.WriteImage(labelmap((1, 2, 6), (2, 12, 14)), str(tmp_path / "truth.nii.gz"))
    assert dice(tmp_path / "a.seg.nrrd", tmp_path / "truth.nii.gz", NAMES) == {
        "Prostate": pytest.approx(2 * 4 / (6 + 4)),
        "Bladder": 0.0,
        "Rectum": None,
    }


def test_structures_are_matched_by_name_where_the_truth_has_names(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", labelmap((1, 0, 6), (2, 8, 12)), structures("Prostate", "Bladder"))
    write_segmentation(tmp_path / "b.seg.nrrd", labelmap((1, 8, 12), (2, 0, 6)), structures("Bladder", "Prostate"))
    found = dice(tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd", NAMES)
    assert found == {"Bladder": 1.0, "Prostate": 1.0}


def test_a_truth_for_something_else_is_refused(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", labelmap((1, 0, 6)), structures("Prostate"))
    write_segmentation(tmp_path / "b.seg.nrrd", labelmap((1, 0, 6)), structures("Mandible"))
    with pytest.raises(InputError, match="none of the structures"):
        dice(tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd", NAMES)
