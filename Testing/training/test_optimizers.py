"""DeepMedic's RMSprop against steps computed by hand, its penalties, and the optimisers by name."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from AutofocusCore.networks.build import build_network
from AutofocusCore.teaching.rates import set_rates
from Training.configuration.settings import Optimizer
from Training.loop.optimizers import DeepMedicRMSprop, add_penalties, build_optimizer


def moved(gradients: list[list[float]], **options: float | bool) -> np.ndarray:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    optimizer = DeepMedicRMSprop([weight], **options)  # type: ignore[arg-type]
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return weight.detach().numpy()


GRADIENTS = [[0.5, -1.0, 0.01], [0.25, 2.0, -0.03]]


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("nesterov", [True, False])
def test_two_steps_are_those_of_the_definition(nesterov: bool, normalized: bool) -> None:
    rate, rho, epsilon, momentum = 1e-2, 0.9, 1e-4, 0.6
    weight, square, velocity = np.array([1.0, -2.0, 0.5]), np.zeros(3), np.zeros(3)
    for gradient in map(np.array, GRADIENTS):
        square = rho * square + (1 - rho) * gradient**2
        step = (1 - momentum if normalized else 1) * rate * gradient / np.sqrt(square + epsilon)
        velocity = momentum * velocity - step
        weight = weight + (momentum * velocity - step if nesterov else velocity)
    found = moved(GRADIENTS, lr=rate, nesterov=nesterov, normalized=normalized)
    np.testing.assert_allclose(found, weight, rtol=1e-12)


def test_the_first_step_is_the_number_that_pencil_and_paper_give() -> None:
    # g = 0.5: s = 0.1 · 0.25 = 0.025; sqrt(0.025 + 0.0001) = 0.158430; d = 0.4 · 0.01 · 0.5 / 0.158430 = 0.0126239;
    # v = -d; w = 1 + 0.6 v - d = 1 - 1.6 d = 0.9798017.
    assert moved(GRADIENTS[:1], lr=1e-2)[0] == pytest.approx(0.9798017, abs=1e-7)


def test_it_differs_from_torchs_where_epsilon_matters() -> None:
    tiny = [[1e-3, 1e-3, 1e-3]]
    ours = moved(tiny, lr=1e-2, momentum=0.0, nesterov=False, normalized=False)
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.RMSprop([weight], lr=1e-2, alpha=0.9, eps=1e-4)
    weight.grad = torch.tensor([1e-3], dtype=torch.float64)
    optimizer.step()
    assert 1 - ours[0] < 0.5 * (1 - weight.item())


def test_attention_may_learn_more_slowly_than_all_else() -> None:
    network = build_network("afn-2", in_channels=1, num_classes=2)
    optimizer = build_optimizer(network, Optimizer(attention=0.1))
    set_rates(optimizer, 1e-2)
    rates = {parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert len(rates) == len(list(network.parameters())) == sum(len(g["params"]) for g in optimizer.param_groups)
    for name, parameter in network.named_parameters():
        assert rates[parameter] == pytest.approx(1e-3 if "attention" in name else 1e-2), name
    assert len(build_optimizer(network, Optimizer()).param_groups) == 1


def test_the_penalties_gradients_are_those_of_autograd_on_weights_of_convolutions_alone() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.BatchNorm3d(3), nn.Conv3d(3, 2, 1))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    add_penalties(network, 0.1, 0.2)
    for module in network:
        assert torch.equal(module.bias.grad, torch.ones_like(module.bias))
        weight = module.weight.detach().clone().requires_grad_()
        cost = 0.1 * weight.abs().sum() + 0.2 * weight.square().sum()
        (expected,) = torch.autograd.grad(cost, weight)
        if isinstance(module, nn.BatchNorm3d):
            expected = 0 * expected
        torch.testing.assert_close(module.weight.grad, 1 + expected)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (Optimizer(name="adam", weight_decay=0.1), torch.optim.Adam),
        (Optimizer(name="sgd", momentum=0.9, nesterov=True), torch.optim.SGD),
        (Optimizer(name="rmsprop", momentum=0.6, alpha=0.9, epsilon=1e-4), torch.optim.RMSprop),
        (Optimizer(name="deepmedic-rmsprop", momentum=0.6, nesterov=True, normalized=True), DeepMedicRMSprop),
    ],
)
def test_an_optimiser_gets_its_settings_and_goes_on_from_a_saved_state(options: Optimizer, kind: type) -> None:
    def run(optimizer: torch.optim.Optimizer, network: nn.Module, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (network(torch.ones(1, 3)) ** 2).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimizer = build_optimizer(network, options)
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    names = {"momentum": "momentum", "nesterov": "nesterov", "normalized": "normalized", "eps": "epsilon"}
    assert all(group[theirs] == getattr(options, ours) for theirs, ours in names.items() if theirs in group)
    run(optimizer, network, 2)
    other = nn.Linear(3, 2)
    other.load_state_dict(network.state_dict())
    again = build_optimizer(other, options)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # which shares its tensors otherwise
    run(optimizer, network, 2)
    run(again, other, 2)
    assert torch.equal(network.weight, other.weight)
