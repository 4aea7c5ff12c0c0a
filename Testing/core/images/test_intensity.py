"""Intensities: CT or MR, statistics with cut-offs, and the body within the air."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import read_image
from AutofocusCore.images.body import body_mask, bounding_region
from AutofocusCore.images.geometry import Grid, model_grid
from AutofocusCore.images.intensity import modality_warning, normalise, outside_value, recognise, statistics
from AutofocusCore.images.resampling import sample
from AutofocusCore.models import Normalization
from AutofocusCore.phantom import make_phantom


def values_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(read_image(path).image)


def test_statistics_without_cut_offs_are_the_plain_ones() -> None:
    values = np.random.default_rng(0).normal(40, 7, 5000).astype(np.float32)
    assert statistics(values, None, None) == pytest.approx((values.mean(), values.std()), rel=1e-5)


def test_cut_offs_take_outliers_out_of_the_statistics() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(40, 7, 5000), np.full(200, 4000.0)]).astype(np.float32)
    mean, std = statistics(values, (5, 95), None)
    low, high = np.percentile(values, (5, 95))
    kept = values[(values >= low) & (values <= high)]
    assert (mean, std) == pytest.approx((kept.mean(), kept.std()), rel=1e-5)
    plain = values.mean(), values.std()
    kept = values[(values >= plain[0] - 2 * plain[1]) & (values <= plain[0] + 3 * plain[1])]
    assert statistics(values, None, (2, 3)) == pytest.approx((kept.mean(), kept.std()), rel=1e-4)
    assert statistics(values, None, (2, 3))[0] == pytest.approx(40, abs=0.5)


def test_the_statistics_of_the_mask_are_applied_to_the_whole_image() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[2:8, 2:8, 2:8] = True
    original = np.where(mask, rng.normal(100, 10, mask.shape), -1000).astype(np.float32)
    values = original.copy()
    shift, scale = normalise(values, mask, Normalization("z-score", "body"), "scan")
    assert values[mask].mean() == pytest.approx(0, abs=1e-4)
    assert values[mask].std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(values, (original - shift) / scale, rtol=1e-5)


def test_a_window_maps_to_zero_and_one() -> None:
    values = np.array([[[-2000.0, -100, 50, 200, 3000]]], dtype=np.float32)
    normalise(values, np.ones(values.shape, dtype=bool), Normalization("window", window=(-100, 200)), "scan")
    np.testing.assert_allclose(values.ravel(), [0, 0, 0.5, 1, 1], atol=1e-6)


def test_a_mask_without_contrast_is_refused() -> None:
    values = np.zeros((4, 4, 4), dtype=np.float32)
    values[0, 0, 0] = 5
    for mask in (np.zeros(values.shape, dtype=bool), values == 0):
        with pytest.raises(InputError, match="scan has"):
            normalise(values, mask, Normalization(mask="nonzero"), "scan")


def test_real_mr_and_ct_are_told_apart(reference_data: Path) -> None:
    for path in sorted((reference_data / "hippocampus" / "imagesTr").glob("*.nii.gz"))[::11]:
        assert recognise(values_of(path)).kind is None, path
    for path in sorted((reference_data / "ct_openkbp_hn" / "imagesVa").glob("*.nii.gz")):
        assert recognise(values_of(path)).kind == "CT+1024", path
    for name in ("example_ct.nii.gz", "example_ct_sm.nii.gz", "example_ct_dicom"):
        assert recognise(values_of(reference_data / "ct_totalsegmentator" / name)).kind == "CT", name
    odd = reference_data / "odd_geometry"
    for path in (
        odd / "niivue" / "FLAIR.nrrd",
        odd / "pyradiomics_brain_tumour_aniso" / "brain1_image.nrrd",
        odd / "prostatex_mr_oblique" / "ProstateX-0218_t2_tra",
        reference_data / "ct_totalsegmentator" / "example_mr_sm.nii.gz",
    ):
        assert recognise(values_of(path)).kind is None, path


def test_a_phantom_looks_like_ct_and_an_abdomen_without_air_does_too() -> None:
    values = sitk.GetArrayFromImage(make_phantom(3)[0])
    assert recognise(values).kind == "CT"
    assert recognise(values[20:60, 40:80, 50:90]).kind == "CT"


def test_the_wrong_modality_is_remarked_on() -> None:
    ct = sitk.GetArrayFromImage(make_phantom(3)[0])
    mr = np.random.default_rng(0).gamma(3, 60, (20, 20, 20))
    assert modality_warning("a", "CT", ct, None, "CT") is None
    assert modality_warning("a", "MR", mr, None, "T1") is None
    assert "not those of CT" in str(modality_warning("a", "CT", mr, None, "CT"))
    assert "look like CT" in str(modality_warning("a", "MR", ct, None, "T1"))
    assert "header says MR" in str(modality_warning("a", "CT", ct, "MR", "CT"))


def test_outside_is_air_for_ct_and_background_for_mr() -> None:
    ct = sitk.GetArrayFromImage(make_phantom(3)[0]).astype(np.float32)
    assert outside_value(ct, "CT") == -1000
    assert outside_value(np.maximum(ct + 1024, 0).round(), "CT") == 0
    mr = np.random.default_rng(0).gamma(3, 60, (20, 20, 20))
    assert outside_value(mr, "MR") == mr.min()
    mr[:10] = 0
    mr[10, 0, 0] = -50  # what interpolation leaves round a stripped skull
    assert outside_value(mr, "MR") == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_body_of_a_phantom_holds_its_organs_and_not_the_table(seed: int) -> None:
    image, labels = make_phantom(seed)
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    body = body_mask(values, Grid.of(image))
    assert body[sitk.GetArrayFromImage(labels) > 0].all()
    assert 0.15 < body.mean() < 0.8
    behind = body[:, -6:]  # the couch lies at the back
    assert behind.mean() < 0.01


def test_the_body_does_not_depend_on_orientation() -> None:
    image, _ = make_phantom(0, size=(72, 56, 40), spacing=(6, 6, 6))
    grid = Grid.of(image)
    expected = body_mask(sample(image, grid, -1000), grid)
    turned = model_grid(grid, "SAR", None)
    found = body_mask(sample(image, turned, -1000), turned)
    image = sitk.GetImageFromArray(found.astype(np.uint8))
    turned.stamp(image)
    np.testing.assert_array_equal(sample(image, grid, 0) > 0, expected)


def test_the_body_of_real_ct_leaves_out_the_table(reference_data: Path) -> None:
    folder = reference_data / "ct_totalsegmentator"
    image = read_image(folder / "example_ct.nii.gz").image
    body = body_mask(sitk.GetArrayFromImage(image).astype(np.float32), Grid.of(image))
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "example_pelvis_labels.nii.gz")))
    assert body[labels > 0].mean() > 0.999
    assert not body[:, -1].any() or not body[:, 0].any()


def test_an_image_within_the_body_is_all_body(reference_data: Path) -> None:
    image = read_image(reference_data / "hippocampus" / "imagesTr" / "hippocampus_001.nii.gz").image
    assert body_mask(sitk.GetArrayFromImage(image).astype(np.float32), Grid.of(image)).all()


def test_a_bounding_region_is_tight_and_stays_inside() -> None:
    mask = np.zeros((9, 10, 11), dtype=bool)
    mask[2:4, 5, 7:9] = True
    assert bounding_region(mask, (0, 0, 0)) == ((2, 4), (5, 6), (7, 9))
    assert bounding_region(mask, (1, 5, 3)) == ((1, 5), (0, 10), (4, 11))
