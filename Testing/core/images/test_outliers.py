"""Outliers, padding and offsets: what would mislead the network is clipped, left out or shifted, with a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.intensity import modality_warning
from AutofocusCore.images.outliers import clip_outliers
from AutofocusCore.images.preparing import Prepared, prepare
from AutofocusCore.models import Channel, Normalization
from AutofocusCore.phantom import make_phantom
from Testing.small_models import small_spec

TISSUE = np.abs(np.random.default_rng(0).normal(300, 120, (24, 30, 28))).astype(np.float32)


def prepared(values: np.ndarray, modality: str = "MR", **normalization: object) -> Prepared:
    spec = small_spec(
        orientation="LPS", channels=(Channel("X", modality, ("*",)),), normalization=Normalization(**normalization)
    )  # type: ignore[arg-type]
    return prepare([sitk.GetImageFromArray(values)], spec)


def with_block(value: float, size: int) -> np.ndarray:
    values = TISSUE.copy()
    values[4 : 4 + size, 4 : 4 + size, 4 : 4 + size] = value
    return values


@pytest.mark.parametrize(("value", "size"), [(1e7, 1), (30000, 6), (-5000, 2), (3e38, 1), (-32768, 1)])
@pytest.mark.parametrize("percentiles", [None, (1.0, 99.0)])
def test_outliers_change_neither_the_scale_nor_what_the_network_sees_elsewhere(
    value: float, size: int, percentiles: tuple[float, float] | None
) -> None:
    plain = prepared(TISSUE, percentiles=percentiles)
    spoilt = prepared(with_block(value, size), percentiles=percentiles)
    elsewhere = np.ones(TISSUE.shape, dtype=bool)
    elsewhere[4 : 4 + size, 4 : 4 + size, 4 : 4 + size] = False
    assert np.abs(plain.volume[0] - spoilt.volume[0])[elsewhere].max() < 0.02
    assert np.abs(spoilt.volume).max() < 6
    assert "voxel" in spoilt.warnings[0]
    assert plain.warnings == ()


@pytest.mark.parametrize("value", [-8192, -1024, 65535])
def test_padding_is_outside_the_scan(value: float) -> None:
    values = TISSUE.copy()
    values[:, :, :8] = value
    padded = prepared(values)
    alone = prepared(TISSUE[:, :, 8:])
    assert "is padded with" in padded.warnings[0]
    np.testing.assert_allclose(padded.volume, alone.volume, atol=1e-5)


def test_air_of_a_ct_is_no_padding_though_it_has_one_value() -> None:
    values = np.full((12, 12, 12), -1000, dtype=np.int16)
    values[3:9, 3:9, 3:9] = np.random.default_rng(0).normal(40, 30, (6, 6, 6))
    image = sitk.GetImageFromArray(values)
    assert clip_outliers(image, "CT", air=-1000.0).image is image
    assert "is padded with -1000" in clip_outliers(image, "MR").warnings[0]


def test_ordinary_values_pass_unchanged() -> None:
    for values in (TISSUE, (TISSUE > 300).astype(np.uint8), np.where(TISSUE > 250, TISSUE + 900, 0)):
        image = sitk.GetImageFromArray(values)
        assert clip_outliers(image, "x").image is image


def test_real_scans_have_neither_outliers_nor_padding(reference_data: Path) -> None:
    paths = [*sorted((reference_data / "hippocampus" / "imagesTr").glob("*.nii.gz"))[:5]]
    paths += sorted((reference_data / "ct_openkbp_hn" / "imagesTr").glob("*.nii.gz"))[:1]
    for path in paths:
        assert clip_outliers(sitk.ReadImage(str(path)), path.name).warnings == ()


@pytest.mark.parametrize("scale", [1e-9, 1e-20, 1e6])
def test_a_z_score_does_not_mind_the_unit(scale: float) -> None:
    np.testing.assert_allclose(prepared(TISSUE * np.float32(scale)).volume, prepared(TISSUE).volume, atol=1e-3)


@pytest.fixture(scope="module")
def ct() -> np.ndarray:
    return sitk.GetArrayFromImage(make_phantom(3, size=(72, 56, 40), spacing=(6.0, 6.0, 6.0))[0])


WINDOW = {"modality": "CT", "method": "window", "window": (-150.0, 250.0)}


@pytest.mark.parametrize("offset", [1024, 1000])
def test_a_ct_stored_with_an_offset_is_brought_to_hu_and_this_is_said(ct: np.ndarray, offset: int) -> None:
    stored = prepared(ct + offset, **WINDOW)  # type: ignore[arg-type]
    plain = prepared(ct, **WINDOW)  # type: ignore[arg-type]
    assert np.abs(stored.volume - plain.volume).max() <= abs(1024 - offset) / 400 + 1e-5
    assert "1024 was subtracted" in stored.warnings[0]
    assert plain.warnings == ()


def test_a_model_of_stored_values_gets_them(ct: np.ndarray) -> None:
    stored = {**WINDOW, "window": (874.0, 1274.0)}
    np.testing.assert_allclose(prepared(ct, **stored).volume, prepared(ct, **WINDOW).volume, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [lambda v: v - 1024, lambda v: v * 10, lambda v: (v + 1000) / 1000, lambda v: -v])
def test_a_ct_of_another_scale_gets_a_warning(ct: np.ndarray, change: object) -> None:
    warnings = prepared(change(ct.astype(np.float32)), **WINDOW).warnings  # type: ignore[operator,arg-type]
    assert any("not those of CT in Hounsfield units" in warning for warning in warnings)


def test_a_ct_turned_upside_down_gets_a_warning_though_its_air_and_body_have_changed_places(ct: np.ndarray) -> None:
    for stated in (None, "CT"):
        assert modality_warning("x", "CT", ct, stated, "CT") is None
        assert "Check the result with care" in (modality_warning("x", "CT", -1024 - ct, stated, "CT") or "")
    assert "inverted grey values" in (modality_warning("x", "CT", -1024 - ct, "CT", "CT") or "")
    noisy = ct + np.random.default_rng(0).normal(0, 60, ct.shape)
    assert modality_warning("x", "CT", noisy, None, "CT") is None


def test_voxels_that_would_become_thousands_are_refused() -> None:
    image = sitk.GetImageFromArray(TISSUE)
    image.SetSpacing((40.0, 40.0, 40.0))
    with pytest.raises(InputError, match="each would become"):
        prepare([image], small_spec(spacing=(2.0, 2.0, 2.0)))
