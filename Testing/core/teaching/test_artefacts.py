"""Changes of a whole scan's values, and fields of view that end early."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from AutofocusCore.teaching.artefacts import change_values, cut_off, part_of
from Training.configuration.augmentation import Augmentation

SPACING = (2.5, 4.0, 4.0)


@pytest.fixture
def mask() -> torch.Tensor:
    result = torch.zeros(40, 20, 30, dtype=torch.bool)
    result[2:38, 3:17, 4:26] = True
    return result


def test_without_settings_values_and_field_of_view_stay(mask: torch.Tensor) -> None:
    image = torch.rand(1, *mask.shape)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert torch.equal(change_values(image, mask, Augmentation(), SPACING, rng), image)
        assert torch.equal(cut_off(mask, Augmentation(), rng), mask)


def test_a_scan_that_ends_early_keeps_more_than_half_of_its_length(mask: torch.Tensor) -> None:
    ends = [cut_off(mask, Augmentation(cut=1.0), np.random.default_rng(seed)) for seed in range(30)]
    assert all((~mask[one]).sum() == 0 and one.sum() < mask.sum() for one in ends)
    lengths = [int(one.any(2).any(1).sum()) for one in ends]
    assert min(lengths) >= 36 * 0.54
    assert {bool(one[37].any()) for one in ends} == {True, False}  # at the head's side, and at the feet's
    assert any(length == 36 for length in lengths)  # cut off at the sides


def test_streaks_stay_in_a_few_slices_and_go_both_ways(mask: torch.Tensor) -> None:
    image = torch.full((1, *mask.shape), 0.5)
    image[0, 20, 10, 15] = 1
    changed = change_values(image, mask, Augmentation(streaks=1.0), SPACING, np.random.default_rng(1)) - image
    hit = changed[0].abs().amax((1, 2)) > 0
    assert 0 < int(hit.sum()) <= 9
    assert float(changed.abs().max()) > 0.1
    assert float(changed.min()) < 0 < float(changed.max())


def test_a_coarser_scan_has_less_detail_and_the_same_mean(mask: torch.Tensor) -> None:
    image = torch.rand(1, *mask.shape)
    changed = [
        change_values(image, mask, Augmentation(coarser=3.0), SPACING, np.random.default_rng(s)) for s in range(10)
    ]
    coarse = [one for one in changed if not torch.equal(one, image)]
    assert 0 < len(coarse) < 10
    assert all(float(one.std()) < 0.8 * float(image.std()) for one in coarse)
    assert all(float(one.mean()) == pytest.approx(float(image.mean()), abs=0.01) for one in coarse)


def test_a_run_of_slices_holds_as_many_voxels_as_it_may(mask: torch.Tensor) -> None:
    each = 14 * 22
    for seed in range(10):
        part = part_of(mask, 5 * each, np.random.default_rng(seed))
        slices = part.any(2).any(1).nonzero().flatten().tolist()
        assert slices == list(range(slices[0], slices[-1] + 1))
        assert int(part.sum()) in (4 * each, 5 * each) or slices[0] == 0 or slices[-1] == 39
    assert torch.equal(part_of(mask, 0, np.random.default_rng(0)), mask)
