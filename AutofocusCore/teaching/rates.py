"""Learning rates: one for all of a network, and a share of it for its attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from AutofocusCore.networks.layers import AutofocusLayer


def parameter_groups(network: nn.Module, attention: float) -> list[dict[str, Any]]:
    """The parameters, those of attention in their own group if they have another rate."""
    layers = [module.attention for module in network.modules() if isinstance(module, AutofocusLayer)]
    own = {parameter for layer in layers for parameter in layer.parameters()} if attention != 1 else set()
    rest = [parameter for parameter in network.parameters() if parameter not in own]
    attending = [parameter for parameter in network.parameters() if parameter in own]
    return [{"params": rest}, *([{"params": attending, "factor": attention}] if attending else [])]


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group for a step, times the group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
