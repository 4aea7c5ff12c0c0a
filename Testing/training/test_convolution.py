"""The weight gradient of dilated convolutions, against float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

import AutofocusCore
from Training.convolution import gradient_by_phases, gradient_by_products, trusted_convolutions


@pytest.mark.parametrize("way", [gradient_by_phases, gradient_by_products])
@pytest.mark.parametrize(("dilation", "padding"), [(1, 0), (2, 0), (3, 2), (6, 4), (14, 12)])
def test_the_gradient_is_that_of_autograd(dilation: int, padding: int, way: Callable[..., torch.Tensor]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 10, 8) if dilation < 4 else torch.randn(1, 2, 8, 7, 9)
    weight = torch.randn(4, x.shape[1], 3, 3, 3, requires_grad=True)
    y = functional.conv3d(x, weight, padding=padding, dilation=dilation)
    gradient = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, weight, gradient)
    found = way(x, gradient, 3, padding, dilation)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("norm", ["branch", "fused"])
def test_training_in_bfloat16_follows_the_gradient_of_float32(norm: str) -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("afn-4", in_channels=1, num_classes=3, norm=norm)  # type: ignore[arg-type]
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(1, 1, 36, 36, 36).to(memory_format=torch.channels_last_3d)
    target = torch.randn(1, 3, 8, 8, 8)

    def gradients(low: bool) -> dict[str, torch.Tensor]:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low), trusted_convolutions():
            y = network(x)
        (y.float() * target).mean().backward()
        return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}

    exact, low = gradients(False), gradients(True)
    for name, expected in exact.items():
        if name.endswith("conv.weight"):
            error = float((low[name] - expected).norm() / expected.norm())
            assert error < 0.5, (
                f"{name}: {error:.2f}"
            )  # bfloat16 through 8 layers; the wrong kernel is off by 0.8 to inf
