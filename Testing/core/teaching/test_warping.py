"""The one resampling of a whole scan: identities of its map."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from AutofocusCore.teaching.warping import Warp, _spline, random_warp, sample_image, sample_labels, sample_mask
from Training.configuration.augmentation import Augmentation

SHAPE = (9, 11, 13)
STILL = Warp(np.eye(3), None, False)


def test_the_identity_gives_the_image_itself() -> None:
    image = torch.rand(2, *SHAPE)
    assert torch.allclose(sample_image(image, STILL.places(SHAPE, SHAPE), torch.zeros(2, 1, 1, 1)), image, atol=1e-5)


def test_a_larger_scan_has_background_round_the_case() -> None:
    image, background = torch.rand(1, *SHAPE), torch.full((1, 1, 1, 1), 5.0)
    wide = sample_image(image, STILL.places((9, 15, 17), SHAPE), background)
    assert torch.allclose(wide[:, :, 2:-2, 2:-2], image, atol=1e-5)
    assert (wide[:, :, :2] == 5).all()


def test_rotation_keeps_distances_in_millimetres_whatever_the_voxels() -> None:
    spacing = np.array([2.5, 4.0, 4.0])
    warp = random_warp(Augmentation(rotation=30.0), tuple(spacing), SHAPE, np.random.default_rng(0))
    in_mm = np.diag(spacing) @ warp.matrix @ np.diag(1 / spacing)
    assert in_mm @ in_mm.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.abs(in_mm - np.eye(3)).max() > 0.05


def test_a_displacement_moves_by_what_its_control_points_say() -> None:
    even = Warp(np.eye(3), np.full((3, 5, 5, 5), 1.0), False)
    moved = even.places(SHAPE, SHAPE) - STILL.places(SHAPE, SHAPE)
    voxels = moved * (torch.tensor(SHAPE[::-1]) - 1) / 2
    assert torch.allclose(voxels, torch.ones_like(voxels), atol=1e-5)


def test_splines_sum_to_one_everywhere() -> None:
    assert torch.allclose(_spline(20, 6).sum(1), torch.ones(20), atol=1e-6)


def test_labels_and_mask_follow_the_image() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[3:6, 4:8, 5:9] = 4
    flipped = Warp(np.diag([1.0, 1.0, -1.0]), None, True).places(SHAPE, SHAPE)
    mask = sample_mask(torch.from_numpy(labels > 0), flipped)
    assert (mask.numpy() == (labels > 0)[:, :, ::-1]).all()
    assert (sample_labels(labels, flipped.reshape(-1, 3)).reshape(SHAPE).numpy() == labels[:, :, ::-1]).all()
    assert (sample_labels(np.zeros(SHAPE, np.uint8), flipped.reshape(-1, 3)) == 0).all()
