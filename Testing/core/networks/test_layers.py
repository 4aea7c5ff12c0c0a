"""Identities of the layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from AutofocusCore.networks.layers import (
    AutofocusLayer,
    ConvolutionLayer,
    ResidualBlock,
    autofocus_branches,
    blend,
    crop,
)

RATES = (2, 6, 10, 14)


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(1, 6, 34, 33, 35, generator=torch.Generator().manual_seed(3))


def test_an_autofocus_layer_of_one_rate_is_an_ordinary_dilated_convolution(features: torch.Tensor) -> None:
    layer = AutofocusLayer(6, 8, dilation_rates=(3,)).eval()
    output, (attention,) = layer(features)
    assert torch.equal(attention, torch.ones_like(attention))
    expected = layer.norms[0](functional.conv3d(features, layer.conv.weight, layer.conv.bias, dilation=3))
    torch.testing.assert_close(output, expected)


def test_equal_attention_is_the_mean_of_the_branches(features: torch.Tensor) -> None:
    layer = AutofocusLayer(6, 8, dilation_rates=RATES, norm="fused").eval()
    nn.init.zeros_(layer.attention[2].weight)
    nn.init.zeros_(layer.attention[2].bias)
    output, _ = layer(features)
    branches = autofocus_branches(features, layer.conv.weight, layer.conv.bias, RATES)
    torch.testing.assert_close(output, layer.norms[0](torch.stack(branches).mean(dim=0)))


def test_attention_that_picks_one_rate_leaves_that_branch_alone() -> None:
    branches = [torch.randn(1, 5, 4, 4, 4) for _ in RATES]
    attention = torch.zeros(1, len(RATES), 4, 4, 4)
    attention[:, 2] = 1.0
    assert torch.equal(blend(branches, attention), branches[2])


def test_a_far_branch_is_the_dilated_convolution_with_zeros_beyond_the_edge(features: torch.Tensor) -> None:
    weight = torch.randn(8, 6, 3, 3, 3)
    branches = autofocus_branches(features, weight, None, RATES)
    for rate, branch in zip(RATES, branches, strict=True):
        padded = functional.pad(features, 6 * [rate - RATES[0]])
        torch.testing.assert_close(branch, functional.conv3d(padded, weight, dilation=rate))


def test_blending_inputs_first_is_one_convolution_without_a_norm_for_each_branch(features: torch.Tensor) -> None:
    """Sum over k of A_k(x) sum over t of W_t F(x + r_k t) = sum over t of W_t [sum over k of A_k(x) F(x + r_k t)]."""
    weight = torch.randn(8, 6, 3, 3, 3)
    branches = autofocus_branches(features, weight, None, RATES)
    attention = torch.rand(1, len(RATES), *branches[0].shape[2:]).softmax(dim=1)
    padded = functional.pad(features, 6 * [RATES[-1] - RATES[0]])
    size = branches[0].shape[2:]
    total = torch.zeros_like(branches[0])
    for tap in range(27):
        z, y, x = tap // 9 - 1, tap // 3 % 3 - 1, tap % 3 - 1
        blended = torch.zeros(1, 6, *size)
        for k, rate in enumerate(RATES):
            start = [RATES[-1] + rate * offset for offset in (z, y, x)]
            part = padded[
                :, :, start[0] : start[0] + size[0], start[1] : start[1] + size[1], start[2] : start[2] + size[2]
            ]
            blended += attention[:, k : k + 1] * part
        total += functional.conv3d(blended, weight[:, :, z + 1, y + 1, x + 1, None, None, None])
    torch.testing.assert_close(total, blend(branches, attention), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("detach", [True, False])
def test_the_attention_branch_reaches_the_input_only_when_it_is_not_detached(
    features: torch.Tensor, detach: bool
) -> None:
    layer = AutofocusLayer(6, 8, dilation_rates=RATES, detach_attention=detach).eval()
    features.requires_grad_()
    _, (attention,) = layer(features)
    (attention[:, 0] ** 2).sum().backward()
    assert (features.grad is None) == detach
    assert layer.attention[0].weight.grad is not None


def test_a_block_adds_the_centre_of_its_input() -> None:
    block = ResidualBlock(ConvolutionLayer(4, 4, dilation=2), ConvolutionLayer(4, 4, dilation=2)).eval()
    nn.init.zeros_(block.second.conv.weight)
    nn.init.zeros_(block.second.conv.bias)
    x = torch.randn(1, 4, 12, 13, 14)
    output, attention = block(x)
    torch.testing.assert_close(output, functional.relu(x[:, :, 4:-4, 4:-4, 4:-4]))
    assert attention == []
    assert block.projection is None


def test_cropping_nothing_gives_the_tensor_itself(features: torch.Tensor) -> None:
    assert crop(features, 0) is features
    assert crop(features, 3).shape == (1, 6, 28, 27, 29)
