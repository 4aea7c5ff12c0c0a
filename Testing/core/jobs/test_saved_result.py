from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.results import write_attention, write_reach, write_recalibration, write_segmentation
from AutofocusCore.jobs.saved_result import read_result
from AutofocusCore.models.terminology import structures
from AutofocusCore.result import AttentionMap

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
    with pytest.raises(InputError, match="not labels"):
        read_result(write_random_image(), NAMED)


@pytest.mark.parametrize("air", [True, False])
def test_attention_that_was_written_beside_it_is_read_with_it(labels: sitk.Image, tmp_path: Path, air: bool) -> None:
    random = np.random.default_rng(0)
    grid = Grid((4, 3, 2), (2.0, 2.0, 4.0), (-5.0, 6.0, 7.0), tuple(np.eye(3).ravel()))
    patient = np.array([True, False] * 12).reshape(grid.shape) if air else None
    maps = {
        i: AttentionMap(random.random((2, *grid.shape)).astype(np.float32), rates, grid, patient)
        for i, rates in enumerate([(2, 6), (1, 1.5)])
    }
    reach = (10 * random.random(grid.shape) + 1).astype(np.float32) * (1 if patient is None else patient)
    factors = random.random((3, *grid.shape)).astype(np.float32)
    write_segmentation(tmp_path / "x.nii.gz", labels, NAMED)
    write_attention(tmp_path, "x", maps)
    write_attention(tmp_path, "x-ray", {5: maps[0]})
    write_reach(tmp_path, "x", reach, grid)
    write_recalibration(tmp_path, "x", factors, grid)

    found = read_result(tmp_path / "x.nii.gz", attention=tmp_path)
    assert list(found.attention) == [0, 1], "those of another result are not taken for its own"
    for i, map_ in maps.items():
        np.testing.assert_array_equal(found.attention[i].weights, map_.weights)
        np.testing.assert_allclose(found.attention[i].dilation_mm, map_.dilation_mm, rtol=1e-6)
        assert found.attention[i].rates == map_.rates
    np.testing.assert_array_equal(found.reach.values, reach)
    assert (found.reach.patient is not None) == air
    np.testing.assert_array_equal(found.recalibration.factors, factors)
    assert found.recalibration.classes == ("Background", *(s.name for s in NAMED))
    assert read_result(tmp_path / "x.nii.gz").attention == {}
