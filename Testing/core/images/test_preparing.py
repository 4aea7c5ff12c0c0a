"""What a network is fed: statistics of the scan, and of nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.images import prepare
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import to_image
from AutofocusCore.models import Normalization
from Testing.small_models import small_spec

SPEC = small_spec(normalization=Normalization(percentiles=(1, 99)), orientation="LPS")
IDENTITY = tuple(np.eye(3).ravel())


@pytest.fixture
def scan() -> sitk.Image:
    values = np.random.default_rng(0).gamma(4, 50, (14, 16, 18)).astype(np.float32) + 5
    return to_image(values, Grid((18, 16, 14), (1, 1, 2), (3, 4, 5), IDENTITY))


@pytest.mark.parametrize("fill", [0.0, -7.0])
def test_padding_round_a_scan_changes_nothing(scan: sitk.Image, fill: float) -> None:
    plain = prepare([scan], SPEC)
    padded = prepare([sitk.ConstantPad(scan, [9, 8, 7], [6, 5, 4], fill)], SPEC)
    np.testing.assert_allclose(padded.volume, plain.volume, atol=1e-5)
    assert padded.grid.same_as(plain.grid)


def test_dark_places_within_a_scan_count(scan: sitk.Image) -> None:
    values = sitk.GetArrayFromImage(scan)
    values[5:9, 5:9, 5:9] = 0
    dark = prepare([to_image(values, Grid.of(scan))], dataclasses.replace(SPEC, normalization=Normalization()))
    assert dark.volume.mean() == pytest.approx(0, abs=1e-5)


def test_the_background_is_what_lies_outside(scan: sitk.Image, make_grid: Callable[..., Grid]) -> None:
    values = sitk.GetArrayFromImage(scan)
    turned = to_image(values, Grid.from_matrix((18, 16, 14), make_grid(0).matrix, np.zeros(3)))
    prepared = prepare([turned], SPEC)
    assert prepared.volume.min() == pytest.approx(prepared.background[0], abs=1e-5)
    assert prepared.volume[0, 0, 0, 0] == pytest.approx(prepared.background[0], abs=1e-5)
    assert prepared.region == tuple((0, n) for n in prepared.grid.shape)


def test_a_region_is_cut_out_only_where_the_model_masks() -> None:
    values = np.zeros((20, 20, 20), dtype=np.float32)
    values[8:12, 8:12, 8:12] = np.random.default_rng(0).gamma(4, 50, (4, 4, 4)) + 5
    image = to_image(values, Grid((20, 20, 20), (3, 3, 3), (0, 0, 0), IDENTITY))
    spec = dataclasses.replace(SPEC, normalization=Normalization(mask="nonzero"))
    prepared = prepare([image], spec)
    assert prepared.region == ((6, 14), (6, 14), (6, 14))  # and 6 mm round it
    inside = prepared.volume[0, 8:12, 8:12, 8:12]
    assert inside.mean() == pytest.approx(0, abs=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-5)
