"""Identities of the losses."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from Training.loop.losses import build_loss


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, 3, (2, 6, 6, 6), generator=torch.Generator().manual_seed(0))


def certain(labels: torch.Tensor) -> torch.Tensor:
    return 40.0 * one_hot(labels, 3).permute(0, 4, 1, 2, 3).float()


@pytest.mark.parametrize("name", ["dice", "cross-entropy", "both"])
def test_a_certain_and_right_prediction_costs_nothing(name: str, labels: torch.Tensor) -> None:
    assert build_loss(name)(certain(labels), labels) == pytest.approx(0.0, abs=1e-5)


def test_a_certain_and_wrong_prediction_costs_the_whole_dice(labels: torch.Tensor) -> None:
    assert build_loss("dice")(certain((labels + 1) % 3), labels) == pytest.approx(1.0, abs=1e-3)


def test_soft_dice_is_one_minus_the_overlap_of_the_structures(labels: torch.Tensor) -> None:
    logits = torch.randn(2, 3, 6, 6, 6, generator=torch.Generator().manual_seed(1))
    p, t = logits.softmax(1), one_hot(labels, 3).permute(0, 4, 1, 2, 3)
    overlap = [2 * (p[:, k] * t[:, k]).sum() / (p[:, k].sum() + t[:, k].sum()) for k in (1, 2)]
    assert build_loss("dice")(logits, labels) == pytest.approx(1 - float(sum(overlap)) / 2, abs=1e-5)


def test_both_is_the_sum(labels: torch.Tensor) -> None:
    logits = torch.randn(2, 3, 6, 6, 6, generator=torch.Generator().manual_seed(2))
    total = build_loss("dice")(logits, labels) + cross_entropy(logits, labels)
    assert torch.allclose(build_loss("both")(logits, labels), total)


def test_a_structure_that_the_batch_does_not_hold_does_not_count(labels: torch.Tensor) -> None:
    without = labels.clamp(max=1)
    logits = torch.randn(2, 3, 6, 6, 6, generator=torch.Generator().manual_seed(3))
    p, t = logits.softmax(1)[:, 1], (without == 1).float()
    expected = 1 - float(2 * (p * t).sum() / (p.sum() + t.sum()))
    assert build_loss("dice")(logits, without) == pytest.approx(expected, abs=1e-5)
    assert build_loss("dice")(logits, torch.zeros_like(labels)) == 0
