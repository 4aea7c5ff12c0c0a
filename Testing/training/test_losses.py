"""Identities of the losses."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn.functional import cross_entropy, one_hot

from AutofocusCore.teaching.losses import build_row_loss, marginal_log_probabilities, soft_dice
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


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (200, 4) and labels (200,) without the label 2."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(200, 4, generator=generator), torch.tensor([0, 1, 3])[torch.randint(0, 3, (200,))]


def test_where_all_is_known_the_loss_of_rows_is_that_of_a_volume(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = rows
    volume = logits.T.reshape(1, 4, 10, 5, 4)
    for name in ("dice", "cross-entropy", "both"):
        whole = build_loss(name)(volume, labels.reshape(1, 10, 5, 4))
        assert build_row_loss(name)(logits, labels, None) == pytest.approx(float(whole), abs=0.02)  # another smoothing


def test_background_is_the_sum_of_background_and_all_that_is_unknown(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = rows
    p = logits.softmax(1)
    chosen = torch.where(labels == 0, p[:, 0] + p[:, 2], p[torch.arange(200), labels])
    assert torch.allclose(build_row_loss("cross-entropy")(logits, labels, (1, 3)), -chosen.log().mean())
    assert torch.allclose(marginal_log_probabilities(logits, (1, 3)).exp().sum(1), torch.ones(200))


def test_a_network_is_free_to_find_what_is_unknown_in_the_background(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = rows
    for name in ("dice", "cross-entropy", "both"):
        moved = logits.clone()
        background = labels == 0
        moved[background] = moved[background][:, [2, 1, 0, 3]]  # it says 2 where it said background, and the reverse
        loss = build_row_loss(name)
        assert torch.allclose(loss(logits, labels, (1, 3)), loss(moved, labels, (1, 3)), atol=1e-5)
        assert not torch.allclose(loss(logits, labels, None), loss(moved, labels, None), atol=1e-3) or name == "dice"


def test_gradients_are_finite_with_unknown_structures_and_with_none_in_the_scan() -> None:
    logits = torch.randn(50, 4, requires_grad=True)
    for labels in (torch.zeros(50, dtype=torch.long), torch.arange(50) % 2):
        loss = build_row_loss("both")(logits, labels, (1,))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_the_core_soft_dice_is_monais_to_the_last_bit(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = rows
    monais = DiceLoss(include_background=False, reduction="none", smooth_nr=1.0, smooth_dr=1.0)
    results = []
    for loss in (
        lambda p: soft_dice(p, labels),
        lambda p: monais(p.T[None], one_hot(labels, p.shape[1]).T[None]).flatten(),
    ):
        mine = logits.clone().requires_grad_()
        found = loss(mine.softmax(1))
        found.mean().backward()
        results.append((found.detach(), mine.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
