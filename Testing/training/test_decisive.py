"""The reward for attention that decides."""

from __future__ import annotations

import math

import pytest
import torch

from Training.loop.decisive import indecision, information


def test_attention_that_is_the_same_everywhere_tells_nothing() -> None:
    for row in ([0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.7, 0.1, 0.1, 0.1]):
        assert information(torch.tensor([row] * 5)).item() == pytest.approx(0.0, abs=1e-6)


def test_voxels_that_decide_for_each_rate_equally_often_tell_most() -> None:
    assert information(torch.eye(4).repeat(3, 1)).item() == pytest.approx(math.log(4), abs=1e-6)
    half = information(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert 0 < half.item() < math.log(2)


def test_the_term_is_minus_the_mean_over_the_layers_and_zero_without_any() -> None:
    layers = [torch.eye(4), torch.full((4, 4), 0.25)]
    assert indecision(layers).item() == pytest.approx(-math.log(4) / 2, abs=1e-6)
    assert indecision([]).item() == 0


def test_following_the_term_makes_nearly_even_attention_decide() -> None:
    torch.manual_seed(1)
    scores = (0.1 * torch.randn(200, 4)).requires_grad_()
    for _ in range(50):
        (gradient,) = torch.autograd.grad(indecision([scores.softmax(1)]), scores)
        scores = (scores - 100 * gradient).detach().requires_grad_()
    shares = scores.softmax(1)
    assert shares.max(dim=1).values.mean() > 0.8
    assert shares.mean(dim=0).min() > 0.1, "and no rate is given up"
