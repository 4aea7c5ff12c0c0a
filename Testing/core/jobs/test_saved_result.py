from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.io.results import write_segmentation
from AutofocusCore.jobs.saved_result import read_result
from AutofocusCore.models.terminology import structures

NAMED = structures("Right parotid gland", "Esophagus")


@pytest.fixture
def labels() -> sitk.Image:
    values = np.random.default_rng(0).integers(0, 3, (5, 6, 7)).astype(np.uint8)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.5, 2.0, 3.0))
    image.SetOrigin((-5.0, 6.0, 7.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return image


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".nrrd", ".mha"])
def test_what_was_written_is_read_back_with_the_meaning_of_its_labels(
    ending: str, labels: sitk.Image, tmp_path: Path
) -> None:
    record = {"model": {"name": "m", "version": "1.0.0", "sha256": "0" * 64}}
    write_segmentation(tmp_path / f"x{ending}", labels, NAMED, provenance=record)
    found = read_result(tmp_path / f"x{ending}")
    assert [(s.label, s.name, s.type, s.modifier) for s in found.structures] == [
        (s.label, s.name, s.type, s.modifier) for s in NAMED
    ]
    assert found.provenance == record
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found.labels), sitk.GetArrayFromImage(labels))
    np.testing.assert_allclose(found.labels.GetOrigin(), labels.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(found.labels.GetDirection(), labels.GetDirection(), atol=1e-6)


def test_labels_without_a_legend_need_a_model(labels: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(labels, str(tmp_path / "x.nii.gz"))
    with pytest.raises(InputError, match="--model"):
        read_result(tmp_path / "x.nii.gz")
    assert read_result(tmp_path / "x.nii.gz", NAMED).structures == NAMED


def test_a_scan_is_no_labelmap(write_random_image: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="no labels"):
        read_result(write_random_image(), NAMED)
