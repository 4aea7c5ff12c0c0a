"""Segments: where they are centred, what they contain, how they are changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from AutofocusCore.errors import SettingError
from AutofocusCore.teaching.case import Case
from Training.configuration.augmentation import Augmentation
from Training.configuration.settings import Run, Segments
from Training.loop.sampling import CropSampler, choose_centre, cut_segment, draw_batch
from Training.loop.schedule import build_schedule

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


def sampler(case: Case, **settings: object) -> CropSampler:
    return CropSampler.of(Segments(size=(4, 4, 4), per_step=3), Augmentation(**settings), MARGIN)  # type: ignore[arg-type]


ALL_CHANGES = {
    "flip": (0, 2), "swap": ((1, 2),), "rotation": 10, "scaling": 0.1, "contrast": 0.1, "brightness": 0.1, "noise": 0.1,
    "monai": ({"name": "RandBiasFieldd", "prob": 0.5}, {"name": "Rand3DElasticd", "prob": 0.5, "sigma_range": [1, 2],
              "magnitude_range": [1, 3]}, {"name": "RandGaussianNoised", "prob": 0.5}),
}  # fmt: skip


def test_the_same_numbers_draw_the_same_segments_in_one_batch_or_in_parts(case: Case) -> None:
    schedule, cases = build_schedule(Run(steps=9), 1, 3), [Held(case)]
    whole = draw_batch(cases, sampler(case, **ALL_CHANGES), schedule, range(3, 6))
    other = sampler(case, **ALL_CHANGES)  # its transforms have drawn nothing yet, or other things
    draw_batch(cases, other, schedule, [8])
    parts = [draw_batch(cases, other, schedule, [number]) for number in (5, 3, 4)]
    assert whole[0].shape == (3, 1, 8, 8, 8)
    assert whole[1].shape == (3, 4, 4, 4)
    assert whole[2] == ["a case"] * 3
    for place, part in zip((2, 0, 1), parts, strict=True):
        assert torch.equal(whole[0][place], part[0][0])
        assert torch.equal(whole[1][place], part[1][0])
    assert not torch.equal(whole[0][0], whole[0][1])


def test_in_each_epoch_every_case_gives_one_segment_in_an_order_of_its_own(case: Case) -> None:
    cases = [Held(Case(str(i), case.image, case.labels, case.roi, BACKGROUND)) for i in range(5)]
    schedule = build_schedule(Run(epochs=3), 5, 2)
    assert schedule.steps == 8  # of two segments each: three times five, and one more
    names = [draw_batch(cases, sampler(case), schedule, [number])[2][0] for number in range(15)]
    epochs = [names[i : i + 5] for i in (0, 5, 10)]
    assert [sorted(epoch) for epoch in epochs] == [list("01234")] * 3
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


def test_cases_are_drawn_where_an_epoch_has_a_number_of_steps_of_its_own() -> None:
    schedule = build_schedule(Run(epochs=3, epoch_steps=20), 5, 2)
    assert (schedule.steps, schedule.epoch, schedule.in_turn) == (60, 20, False)


def test_labels_change_places_where_left_became_right_and_nowhere_else(case: Case) -> None:
    still, swapping = sampler(case, flip=(0, 2)), sampler(case, flip=(0, 2), swap=((1, 2),))
    swapped = []
    for seed in range(30):
        first = still.segment(case, np.random.default_rng(seed))
        second = swapping.segment(case, np.random.default_rng(seed))
        assert torch.equal(first[0], second[0])
        mirror = torch.tensor([0, 2, 1])[first[1]]
        assert torch.equal(second[1], mirror) or torch.equal(second[1], first[1])
        if not torch.equal(mirror, first[1]):
            swapped.append(torch.equal(second[1], mirror))
    assert 0.2 < np.mean(swapped) < 0.8


def test_labels_follow_the_image_through_a_transform_of_space(case: Case) -> None:
    shown = Case("shown", case.labels[None].astype(np.float32), case.labels, case.roi, 0.0)
    entry = {"name": "RandRotated", "prob": 1.0, "range_x": [1.5, 1.6], "mode": ["nearest", "nearest"]}
    turning = CropSampler.of(Segments(size=(8, 8, 8), per_step=1, foreground=1.0), Augmentation(monai=(entry,)), MARGIN)
    image, labels = turning.segment(shown, np.random.default_rng(0))
    inside = tuple(slice(MARGIN, -MARGIN) for _ in range(3))
    assert labels.shape == (8, 8, 8)
    assert labels.any()
    assert torch.equal(image[0][inside].long(), labels)


@pytest.mark.parametrize(
    "entry", [{"name": "RandAdjustContrastd", "prob": 0.5, "gamma": "x"}, {"name": "RandAffined", "to": 1}]
)
def test_an_argument_that_monai_refuses_is_named(entry: dict) -> None:
    with pytest.raises(SettingError, match=rf"augmentation\.monai has .*{entry['name']}.* which MONAI refuses"):
        CropSampler.of(Segments(size=(4, 4, 4), per_step=1), Augmentation(monai=(entry,)), MARGIN)


def test_every_class_is_as_likely_a_centre_as_another_or_as_its_share_says(case: Case) -> None:
    rng = np.random.default_rng(4)

    def labels(**settings: object) -> list[int]:
        segments = Segments(size=(1, 1, 1), per_step=1, centres="classes", **settings)  # type: ignore[arg-type]
        return [int(case.labels[choose_centre(case, segments, rng)]) for _ in range(300)]

    assert np.allclose(np.bincount(labels(), minlength=3) / 300, 1 / 3, atol=0.1)
    assert np.allclose(np.bincount(labels(shares=(1, 0, 3, 5)), minlength=3) / 300, [1 / 4, 0, 3 / 4], atol=0.1)


def test_centres_on_voxels_find_a_structure_as_often_as_it_is_large(case: Case) -> None:
    rng = np.random.default_rng(5)
    segments = Segments(size=(1, 1, 1), per_step=1, foreground=1.0, centres="voxels")
    labels = [case.labels[choose_centre(case, segments, rng)] for _ in range(300)]
    assert np.mean(np.array(labels) == 1) == pytest.approx(0.75, abs=0.08)


def test_a_segment_of_a_large_case_is_cut_as_from_the_case_whole() -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, (40, 44, 48)).astype(np.uint8)
    large = Case("large", rng.normal(size=(1, 40, 44, 48)).astype(np.float32), labels, labels > 0, BACKGROUND)
    turn = np.array([[0, 1.1, 0.3], [-0.9, 0.1, 0], [0.2, 0, 1.0]])
    near = cut_segment(large, (20, 8, 40), (6, 7, 8), MARGIN, turn)
    padded = Case("padded", *(np.pad(a, 30, constant_values=c) for a, c in ((large.image[0], BACKGROUND), (labels, 0))),
                  np.ones(1, bool), BACKGROUND)  # fmt: skip
    padded = Case("padded", padded.image[None], padded.labels, padded.labels > 0, BACKGROUND)
    far = cut_segment(padded, (50, 38, 70), (6, 7, 8), MARGIN, turn)
    torch.testing.assert_close(near[0], far[0], atol=1e-3, rtol=0)
    assert (near[1] == far[1]).float().mean() > 0.99


def test_a_small_structure_is_chosen_as_often_as_a_large_one(case: Case) -> None:
    rng = np.random.default_rng(3)
    segments = Segments(size=(1, 1, 1), per_step=1, foreground=1.0)
    labels = [case.labels[choose_centre(case, segments, rng)] for _ in range(300)]
    assert 0.4 < np.mean(np.array(labels) == 2) < 0.6


def test_a_transform_that_fails_on_a_segment_is_named(case: Case) -> None:
    failing = sampler(case, monai=({"name": "RandZoomd", "prob": 1.0, "mode": ["no way", "nearest"]},))
    with pytest.raises(SettingError, match=r"RandZoomd.* failed on a segment"):
        failing.segment(case, np.random.default_rng(0))
