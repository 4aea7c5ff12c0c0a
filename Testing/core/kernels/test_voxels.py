"""The list of active voxels and the map of neighbours."""

from __future__ import annotations

import pytest
import torch

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import ActiveVoxels


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.4


def test_active_voxels_are_in_raster_order_over_the_samples(mask: torch.Tensor) -> None:
    voxels = ActiveVoxels.from_mask(mask)
    assert voxels.count == int(mask.sum())
    assert torch.equal(voxels.index[mask], torch.arange(voxels.count, dtype=torch.int32))
    assert (voxels.index[~mask] == -1).all()


def test_scatter_undoes_gather_inside_the_mask_and_is_zero_outside(mask: torch.Tensor) -> None:
    voxels, volume = ActiveVoxels.from_mask(mask), torch.randn(2, 3, 4, 5, 6)
    rows = voxels.gather(volume)
    assert rows.shape == (voxels.count, 3)
    assert torch.equal(voxels.scatter(rows), volume * mask[:, None])


def test_gather_and_scatter_are_each_others_gradient(mask: torch.Tensor) -> None:
    voxels = ActiveVoxels.from_mask(mask)
    volume = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    rows = torch.randn(voxels.count, 3, requires_grad=True)
    along_rows, along_volume = torch.randn(voxels.count, 3), torch.randn(2, 3, 4, 5, 6)
    voxels.gather(volume).backward(along_rows)
    voxels.scatter(rows).backward(along_volume)
    assert torch.equal(volume.grad, voxels.scatter(along_rows))
    assert torch.equal(rows.grad, voxels.gather(along_volume))


def test_a_mask_without_samples_is_a_batch_of_one(mask: torch.Tensor) -> None:
    assert ActiveVoxels.from_mask(mask[0]).shape == (1, 4, 5, 6)


def test_a_mask_that_is_not_boolean_is_refused(mask: torch.Tensor) -> None:
    with pytest.raises(SettingError, match=r"torch\.uint8 of shape \(2, 4, 5, 6\)"):
        ActiveVoxels.from_mask(mask.to(torch.uint8))


def test_a_volume_on_another_grid_is_refused(mask: torch.Tensor) -> None:
    with pytest.raises(SettingError, match="the same grid"):
        ActiveVoxels.from_mask(mask).gather(torch.zeros(2, 1, 4, 5, 7))


def test_no_step_leads_across_the_border_into_another_line_or_sample() -> None:
    shape = (2, 2, 3, 2)
    voxels = ActiveVoxels.from_mask(torch.ones(shape, dtype=torch.bool))
    for rate in (1, 2, 3):
        known = voxels.neighbours(rate)
        steps = known.steps([rate])
        for row, position in enumerate(torch.ones(shape).nonzero().tolist()):
            for tap in range(27):
                at = [position[0], *(p + rate * (tap // 3 ** (2 - i) % 3 - 1) for i, p in enumerate(position[1:]))]
                inside = all(0 <= a < s for a, s in zip(at, shape, strict=True))
                expected = int(voxels.index[tuple(at)]) if inside else -1
                assert int(known.table[int(known.places[row]) + steps[tap]]) == expected
