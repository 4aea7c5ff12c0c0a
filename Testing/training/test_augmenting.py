"""Random changes: within bounds, as often as asked for, and keeping what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.layers import GaussianFilter
from torch.nn.functional import pad

from AutofocusCore.teaching.scans import swap_labels
from AutofocusCore.teaching.smoothing import smooth
from Training.configuration.augmentation import Augmentation
from Training.loop.augmenting import change_intensity, random_map


def test_only_the_axes_that_may_be_flipped_are() -> None:
    rng = np.random.default_rng(0)
    signs = np.array([np.diag(random_map(Augmentation(flip=(2,)), rng)[0]) for _ in range(40)])
    assert (signs[:, :2] == 1).all()
    assert set(signs[:, 2]) == {-1.0, 1.0}


def test_rotations_keep_volume_and_scaling_changes_it_within_bounds() -> None:
    rng = np.random.default_rng(0)
    turned = [np.linalg.det(random_map(Augmentation(rotation=20.0), rng)[0]) for _ in range(20)]
    np.testing.assert_allclose(turned, 1.0)
    scaled = [np.linalg.det(random_map(Augmentation(scaling=0.1), rng)[0]) for _ in range(50)]
    assert 0.9**3 <= min(scaled) < max(scaled) <= 1.1**3


def test_smoothing_keeps_a_constant_image_and_spreads_a_point_by_the_gaussians_width() -> None:
    assert torch.allclose(smooth(torch.full((1, 9, 9, 9), 3.0), [0.8, 0.5, 0.2]), torch.tensor(3.0), atol=1e-4)
    point = torch.zeros(1, 15, 15, 15)
    point[0, 7, 7, 7] = 1
    spread = smooth(point, [1.5, 0.6, 0.1])
    assert spread.shape == point.shape
    offsets = torch.arange(15) - 7.0
    for axis, sigma in ((1, 1.5), (2, 0.6)):
        profile = spread.sum([a for a in (1, 2, 3) if a != axis])[0]
        variance = float((profile * offsets**2).sum() / profile.sum())
        assert variance == pytest.approx(sigma**2 + 1 / 12, rel=0.15)  # a voxel's own width adds 1/12


def test_half_of_the_segments_are_smoothed_when_asked_for() -> None:
    image = torch.zeros(1, 9, 9, 9)
    image[0, 4, 4, 4] = 1
    peaks = [float(change_intensity(image, Augmentation(blur=1.0), np.random.default_rng(i)).max()) for i in range(60)]
    assert 15 < sum(peak < 1 for peak in peaks) < 45


def test_only_a_flip_of_x_makes_a_mirror_image_of_left_and_right() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix, mirrored = random_map(Augmentation(flip=(0, 2), rotation=20), rng)
        assert mirrored == (matrix[2, 2] < 0)
        assert not random_map(Augmentation(flip=(0, 1)), rng)[1]


def test_swapped_labels_are_in_each_others_place() -> None:
    labels = torch.tensor([0, 1, 2, 3, 4])
    assert swap_labels(labels, [(1, 2), (4, 3)]).tolist() == [0, 2, 1, 4, 3]
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_the_core_smoothing_is_monais_to_the_last_bit() -> None:
    image = torch.rand(2, 7, 12, 9, generator=torch.Generator().manual_seed(5))
    for sigmas in ([0.3, 0.7, 1.4], [0.05, 2.0, 0.6]):
        reach = [round(4 * sigma) + 1 for sigma in sigmas]
        padded = pad(image[None], [width for width in reversed(reach) for _ in range(2)], mode="replicate")
        z, y, x = (slice(width, -width) for width in reach)
        assert torch.equal(smooth(image, sigmas), GaussianFilter(3, sigma=sigmas)(padded)[0][:, z, y, x])
