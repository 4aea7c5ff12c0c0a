"""The loss of teaching: contours where there are some, the parent's probabilities elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from AutofocusCore.teaching.augmentation import Augmentation
from AutofocusCore.teaching.case import with_known
from AutofocusCore.teaching.losses import build_row_loss
from AutofocusCore.teaching.predicting import scores_of_scan
from AutofocusCore.teaching.scans import ScanSampler
from AutofocusCore.teaching.soft_labels import teaching_loss, with_soft_labels
from Testing.core.small_lessons import BRIGHT, DIM, FLOAT32, ball_case


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(300, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, 4, (300,), generator=torch.Generator().manual_seed(2))


def test_where_all_is_known_the_loss_is_that_of_training(logits: torch.Tensor, labels: torch.Tensor) -> None:
    ours = teaching_loss(logits, labels, (), torch.zeros(300, 0))
    assert torch.allclose(ours, build_row_loss("both")(logits, labels, None))


def test_nothing_is_to_be_changed_where_nothing_is_contoured_and_the_parent_is_repeated(logits: torch.Tensor) -> None:
    logits = logits[:, :3].clone().requires_grad_()  # background and two unknown structures
    soft = logits.detach().softmax(1)[:, 1:]
    teaching_loss(logits, torch.zeros(300, dtype=torch.long), (1, 2), soft).backward()
    assert float(logits.grad.abs().max()) < 1e-7  # type: ignore[union-attr]


def test_a_known_structure_that_is_not_contoured_becomes_background_and_not_an_unknown_one() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    teaching_loss(logits, torch.zeros(1, dtype=torch.long), (2,), torch.tensor([[0.1]])).backward()
    background, known, unknown = (-logits.grad[0]).tolist()  # type: ignore[index]
    assert background == pytest.approx(0.9 - 1 / 3, abs=1e-6)
    assert known == pytest.approx(-1 / 3, abs=1e-6)
    assert unknown == pytest.approx(0.1 - 1 / 3, abs=1e-6)


def test_a_contoured_voxel_is_its_structures_whatever_the_parent_says() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    teaching_loss(logits, torch.ones(1, dtype=torch.long), (2,), torch.tensor([[0.9]])).backward()
    gradient = logits.grad[0]  # type: ignore[index]
    assert gradient[1] < 0 < gradient[2]


def test_the_parents_probabilities_of_what_is_unknown_are_kept_with_the_case(parent: Any) -> None:
    case = with_soft_labels(with_known(ball_case(1), (BRIGHT,)), parent, 3, FLOAT32)
    assert case.soft is not None
    assert case.soft.labels == (DIM,)
    said = scores_of_scan(parent, case, FLOAT32).softmax(1)[:, DIM]
    assert np.allclose(case.soft.shares[0][case.roi], said.numpy(), atol=1e-3)
    everything = with_soft_labels(with_known(ball_case(1), (BRIGHT, DIM)), parent, 3, FLOAT32)
    assert everything.soft is not None
    assert everything.soft.labels == ()


def test_soft_labels_follow_the_scan_and_change_sides_with_it(parent: Any) -> None:
    case = with_soft_labels(with_known(ball_case(1), (BRIGHT,)), parent, 3, FLOAT32)
    assert case.soft is not None
    unchanged = ScanSampler(Augmentation()).scan(case, np.random.default_rng(0))
    assert unchanged.unknown == (DIM,)
    there = torch.from_numpy(case.soft.shares[0].astype(np.float32))[torch.from_numpy(case.roi)]
    assert torch.allclose(unchanged.soft[:, 0], there, atol=2e-3)
    sampler = ScanSampler(Augmentation(flip=(2,), swap=((BRIGHT, DIM),)))
    seed = next(s for s in range(50) if sampler.scan(case, np.random.default_rng(s)).unknown == (BRIGHT,))
    mirrored = sampler.scan(case, np.random.default_rng(seed))
    assert mirrored.known == (DIM,)
    assert torch.allclose(mirrored.soft.sum(), unchanged.soft.sum(), rtol=1e-2)
