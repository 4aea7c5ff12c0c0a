"""The optimisers: PyTorch's, DeepMedic's RMSprop, and DeepMedic's penalties on the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from AutofocusCore.teaching.rates import parameter_groups
from Training.configuration.settings import Optimizer


class DeepMedicRMSprop(torch.optim.Optimizer):
    r"""RMSprop as DeepMedic defines it, which differs from PyTorch's in where epsilon stands and in the momentum.

    With gradient g, its mean square s, velocity v and learning rate a::

        s <- rho s + (1 - rho) g²
        d  = c a g / sqrt(s + epsilon)      c = 1 - momentum where momentum is normalised, else 1
        v <- momentum v - d
        w <- w + momentum v - d             with Nesterov's momentum; else w + v

    Epsilon is inside the root, and the rate is part of the velocity, so that a lower rate does not reduce the present
    velocity. Source: DeepMedic's ``neuralnet/optimizers.py``. The defaults are DeepMedic's own, though its
    example configuration does not normalise the momentum.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 1e-3,
        *,
        rho: float = 0.9,
        eps: float = 1e-4,
        momentum: float = 0.6,
        nesterov: bool = True,
        normalized: bool = True,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "rho": rho, "eps": eps, "momentum": momentum, "nesterov": nesterov,
                     "normalized": normalized}
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all weights that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            momentum = group["momentum"]
            rate = group["lr"] * (1 - momentum if group["normalized"] else 1)
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["square"], state["velocity"] = torch.zeros_like(weight), torch.zeros_like(weight)
                square, velocity = state["square"], state["velocity"]
                square.mul_(group["rho"]).addcmul_(gradient, gradient, value=1 - group["rho"])
                move = rate * gradient / (square + group["eps"]).sqrt()
                velocity.mul_(momentum).sub_(move)
                weight.add_(momentum * velocity - move if group["nesterov"] else velocity)
        return loss


def build_optimizer(network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    """The optimiser of all of the network's parameters; `set_rates` gives each group its rate."""
    parameters, rate, decay = parameter_groups(network, options.attention), options.learning_rate, options.weight_decay
    if options.name == "adam":
        return torch.optim.Adam(parameters, lr=rate, eps=options.epsilon, weight_decay=decay)
    if options.name == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, eps=options.epsilon, weight_decay=decay)
    if options.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=options.momentum, nesterov=options.nesterov, weight_decay=decay
        )
    if options.name == "rmsprop":
        return torch.optim.RMSprop(
            parameters, lr=rate, alpha=options.alpha, eps=options.epsilon, momentum=options.momentum, weight_decay=decay
        )
    return DeepMedicRMSprop(
        parameters,
        lr=rate,
        rho=options.alpha,
        eps=options.epsilon,
        momentum=options.momentum,
        nesterov=options.nesterov,
        normalized=options.normalized,
    )


@torch.no_grad()
def add_penalties(network: nn.Module, l1: float, l2: float) -> None:
    """Add to the gradients those of l1 · sum|w| + l2 · sum w² over the weights of convolutions, as DeepMedic does.

    Biases and BatchNorm are left alone, and the square has no factor of 1/2, so that l2 is half a weight decay.
    """
    if not l1 and not l2:
        return
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.weight.grad is not None:
            weight = module.weight
            module.weight.grad.add_(l1 * weight.sign() + 2 * l2 * weight)
