"""State of a training run: networks, optimiser and counters, as its checkpoint contains them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from AutofocusCore.teaching.statistics import keep_statistics
from Training.configuration.config import Config
from Training.loop.baseline import network_of
from Training.loop.data import Source
from Training.loop.distributed import synchronise_batch_norm
from Training.loop.initial import initialise_he
from Training.loop.optimizers import build_optimizer
from Training.loop.recompute import recompute_hidden_layers
from Training.loop.statistics import fix_statistics
from Training.loop.step import Arithmetic

PARTS = ("network", "average", "optimizer", "scaler")
"""Fields that have a `state_dict` of their own."""


@dataclass
class State:
    """State of a run that its checkpoint contains.

    Args:
        network: the network that learns.
        average: the same network with the moving average of the weights; the run's model.
        optimizer, scaler: of the network's weights.
        step: steps done.
        best: mean Dice of best.pt, -1 before the first look at the watched cases.
        fixed: whether BatchNorm's statistics are fixed.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best: float = -1.0
    fixed: bool = False

    @classmethod
    def new(cls, config: Config, arithmetic: Arithmetic) -> State:
        """State before the first step. The weights depend only on the configuration and its seed."""
        torch.manual_seed(config.run.seed)
        network = network_of(config).to(arithmetic.device).train()
        if config.run.initial == "he":
            initialise_he(network)
        if config.segments is not None:
            network.to(memory_format=torch.channels_last_3d)
        average = copy.deepcopy(network).eval()
        if config.run.batch_norm == "all":
            synchronise_batch_norm(network, arithmetic.device)
        if config.run.recompute:
            recompute_hidden_layers(network)
        return cls(network, average, build_optimizer(network, config.optimizer), arithmetic.scaler)

    def as_dict(self) -> dict[str, Any]:
        """Fields of the checkpoint."""
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        return {"step": self.step, "best": self.best, "fixed": self.fixed, **parts}

    def take(self, saved: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        for name in PARTS:
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.best, self.fixed = saved["step"], saved["best"], saved["fixed"]
        if self.fixed:
            keep_statistics(self.network)

    def fix_statistics(self, cases: Sequence[Source], arithmetic: Arithmetic) -> None:
        """Fix BatchNorm's statistics, measured over the cases. The best score so far, from the old ones, is dropped."""
        fix_statistics(self.network, self.average, cases, arithmetic)
        self.best, self.fixed = -1.0, True
