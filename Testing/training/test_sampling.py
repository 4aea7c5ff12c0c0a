"""Segments: where they are centred, what they contain, how they are changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from Training.config import Augmentation, Segments
from Training.sampling import Case, change_intensity, choose_centre, cut_segment, draw_batch, random_map, smooth

BACKGROUND = -3.5
MARGIN = 2


@pytest.fixture
def case() -> Case:
    rng = np.random.default_rng(0)
    labels = np.zeros((14, 16, 18), np.uint8)
    labels[9:12, 3:7, 10:14] = 1
    labels[6, 3:7, 10:14] = 2
    roi = np.zeros(labels.shape, bool)
    roi[4:13, 2:14, 2:16] = True
    return Case("a case", rng.normal(size=(1, *labels.shape)).astype(np.float32), labels, roi, BACKGROUND)


class Held:
    def __init__(self, case: Case) -> None:
        self.case = case


def test_half_of_the_segments_are_centred_on_structures_and_half_on_background_in_the_roi(case: Case) -> None:
    segments = Segments(size=(1, 1, 1), per_step=1, foreground=0.5)
    rng = np.random.default_rng(1)
    centres = [choose_centre(case, segments, rng) for _ in range(400)]
    labelled = np.mean([case.labels[c] > 0 for c in centres])
    assert 0.42 < labelled < 0.58
    assert all(case.roi[c] for c in centres)


def test_a_case_without_structures_gives_background(case: Case) -> None:
    empty = Case("empty", case.image, np.zeros_like(case.labels), case.roi, BACKGROUND)
    at = choose_centre(empty, Segments(size=(1, 1, 1), per_step=1, foreground=1.0), np.random.default_rng(0))
    assert case.roi[at]


def test_segments_stay_within_a_case_that_is_large_enough(case: Case) -> None:
    segments = Segments(size=(6, 7, 8), per_step=1)
    rng = np.random.default_rng(2)
    for _ in range(50):
        for at, size, extent in zip(choose_centre(case, segments, rng), segments.size, case.labels.shape, strict=True):
            assert at - size // 2 >= 0
            assert at - size // 2 + size <= extent


def test_an_unchanged_segment_is_a_copy_with_background_around(case: Case) -> None:
    size = (6, 8, 10)
    image, labels = cut_segment(case, (4, 6, 13), size, MARGIN, np.eye(3))
    padded = np.pad(case.image[0], 10, constant_values=BACKGROUND)
    start = [10 + at - n // 2 - MARGIN for at, n in zip((4, 6, 13), size, strict=True)]
    expected = padded[tuple(slice(s, s + n + 2 * MARGIN) for s, n in zip(start, size, strict=True))]
    assert image.shape == (1, 10, 12, 14)
    np.testing.assert_allclose(image[0].numpy(), expected, atol=2e-5)
    inner = np.pad(case.labels, 10)[tuple(slice(s + MARGIN, s + MARGIN + n) for s, n in zip(start, size, strict=True))]
    np.testing.assert_array_equal(labels.numpy(), inner)


def test_a_case_smaller_than_the_segment_lies_in_its_middle(case: Case) -> None:
    size = (24, 24, 24)
    centre = choose_centre(case, Segments(size=size, per_step=1), np.random.default_rng(0))
    _, labels = cut_segment(case, centre, size, MARGIN, np.eye(3))
    for label in (0, 1, 2):
        assert (labels == label).sum() == (case.labels == label).sum() + (label == 0) * (24**3 - case.labels.size)


def test_a_flip_turns_image_and_labels_alike(case: Case) -> None:
    flip = np.diag([1.0, 1.0, -1.0])
    size, centre = (5, 5, 5), (9, 5, 11)
    image, labels = cut_segment(case, centre, size, MARGIN, np.eye(3))
    image_flipped, labels_flipped = cut_segment(case, centre, size, MARGIN, flip)
    torch.testing.assert_close(image_flipped, image.flip(3), atol=2e-5, rtol=0)
    assert torch.equal(labels_flipped, labels.flip(2))


def test_only_the_axes_that_may_be_flipped_are() -> None:
    rng = np.random.default_rng(0)
    signs = np.array([np.diag(random_map(Augmentation(flip=(2,)), rng)) for _ in range(40)])
    assert (signs[:, :2] == 1).all()
    assert set(signs[:, 2]) == {-1.0, 1.0}


def test_rotations_keep_volume_and_scaling_changes_it_within_bounds() -> None:
    rng = np.random.default_rng(0)
    turned = [np.linalg.det(random_map(Augmentation(rotation=20.0), rng)) for _ in range(20)]
    np.testing.assert_allclose(turned, 1.0)
    scaled = [np.linalg.det(random_map(Augmentation(scaling=0.1), rng)) for _ in range(50)]
    assert 0.9**3 <= min(scaled) < max(scaled) <= 1.1**3


def test_the_same_seeds_draw_the_same_batch(case: Case) -> None:
    segments = Segments(size=(4, 4, 4), per_step=3)
    changes = Augmentation(flip=(0,), rotation=10, scaling=0.1, contrast=0.1, brightness=0.1, noise=0.1)
    first, second = (
        draw_batch([Held(case)], segments, changes, MARGIN, [(1, step, place) for place in range(3)]) for step in (7, 7)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert first[0].shape == (3, 1, 8, 8, 8)
    assert first[2] == ["a case"] * 3


def test_a_small_structure_is_chosen_as_often_as_a_large_one(case: Case) -> None:
    rng = np.random.default_rng(3)
    segments = Segments(size=(1, 1, 1), per_step=1, foreground=1.0)
    labels = [case.labels[choose_centre(case, segments, rng)] for _ in range(300)]
    assert 0.4 < np.mean(np.array(labels) == 2) < 0.6


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
