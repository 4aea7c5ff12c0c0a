"""Recomputed layers: the gradients and running statistics of a network that keeps everything, in less memory."""

from __future__ import annotations

import copy

import pytest
import torch

import AutofocusCore
from Testing.core.small_networks import narrow_networks
from Training.loop.losses import build_loss
from Training.loop.recompute import recompute_hidden_layers
from Training.loop.step import Arithmetic, add_gradients


@pytest.mark.parametrize("architecture", ["basic", "afn-2", "aspp-s", "aspp-c", "deepmedic"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradients_and_running_statistics_are_those_of_a_network_that_keeps_everything(
    architecture: str, precision: str
) -> None:
    torch.manual_seed(0)
    with narrow_networks():
        plain = AutofocusCore.build_network(architecture, in_channels=1, num_classes=3, dilation_rates=[2, 3]).train()
    sparing = copy.deepcopy(plain)
    recompute_hidden_layers(sparing)
    size = 2 * plain.margin + 4
    images, labels = torch.randn(2, 1, size, size, size), torch.randint(0, 3, (2, 4, 4, 4))
    losses = []
    for network in (plain, sparing):
        torch.manual_seed(1)  # of dropout
        arithmetic = Arithmetic(precision, torch.device("cpu"))
        losses.append(add_gradients(network, images, labels, build_loss("both"), arithmetic))
    assert torch.equal(*losses)
    for (name, one), (other_name, other) in zip(plain.named_parameters(), sparing.named_parameters(), strict=True):
        assert name == other_name
        assert one.grad is not None
        assert torch.equal(one.grad, other.grad), name
    for name, value in plain.state_dict().items():
        assert torch.equal(value, sparing.state_dict()[name]), name


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept(network: torch.nn.Module) -> int:
        sizes: list[int] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.randn(1, 1, 36, 36, 36))
        return sum(sizes)

    with narrow_networks():
        plain = AutofocusCore.build_network("afn-4", in_channels=1, num_classes=3).train()
    sparing = copy.deepcopy(plain)
    recompute_hidden_layers(sparing)
    assert kept(sparing) < 0.5 * kept(plain)
