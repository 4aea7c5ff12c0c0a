"""State of a training run: networks, optimiser and counters, as its checkpoint contains them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from AutofocusCore.teaching.statistics import evenly, keep_statistics
from Training.configuration.config import Config
from Training.loop.baseline import network_of
from Training.loop.data import Source
from Training.loop.distributed import synchronise_batch_norm
from Training.loop.initial import initialise_he
from Training.loop.optimizers import build_optimizer
from Training.loop.recompute import recompute_hidden_layers
from Training.loop.statistics import fix_statistics
from Training.loop.step import Arithmetic
from Training.loop.widening import keep_old_statistics, widen

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
        wide: whether the run has come to `run.widen_after`, and widened the network.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best: float = -1.0
    fixed: bool = False
    wide: bool = False

    @classmethod
    def new(cls, config: Config, arithmetic: Arithmetic) -> State:
        """State before the first step. The weights depend only on the configuration and its seed."""
        network, average = _networks(config, 0, arithmetic)
        return cls(network, average, build_optimizer(network, config.optimizer), arithmetic.scaler)

    def widen(self, config: Config, cases: Sequence[Source], arithmetic: Arithmetic) -> None:
        """Go on with the run's wide network, which at first computes what the averaged narrow one does.

        The optimiser begins anew, and the best score so far is dropped.

        Args:
            config: of the run.
            cases: that are trained on, for the statistics of the new maps if statistics are fixed.
            arithmetic: of the run.
        """
        narrow = self.average
        self._become_wide(config, arithmetic)
        for network in (self.network, self.average):
            widen(narrow, network)
        if self.fixed:
            self._fix_statistics(config, cases, arithmetic)
            for network in (self.network, self.average):
                keep_old_statistics(narrow, network)
        self.best = -1.0

    def _become_wide(self, config: Config, arithmetic: Arithmetic) -> None:
        self.network, self.average = _networks(config, config.run.widen_after + 1, arithmetic)
        self.optimizer, self.wide = build_optimizer(self.network, config.optimizer), True

    def as_dict(self) -> dict[str, Any]:
        """Fields of the checkpoint."""
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        return {"step": self.step, "best": self.best, "fixed": self.fixed, **parts}

    def take(self, saved: dict[str, Any], config: Config, arithmetic: Arithmetic) -> None:
        """Restore the state from a checkpoint of the configuration."""
        if 0 < config.run.widen_after < saved["step"]:
            self._become_wide(config, arithmetic)
        for name in PARTS:
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.best, self.fixed = saved["step"], saved["best"], saved["fixed"]
        if self.fixed:
            keep_statistics(self.network)

    def fix_statistics_if_due(self, config: Config, cases: Sequence[Source], arithmetic: Arithmetic) -> None:
        """Fix BatchNorm's statistics if `scans.fix_statistics_after` steps are done.

        The best score so far, reached with the old ones, is dropped.

        Args:
            config: of the run.
            cases: that are trained on.
            arithmetic: of the run.
        """
        if config.scans is not None and 0 < config.scans.fix_statistics_after <= self.step and not self.fixed:
            self._fix_statistics(config, cases, arithmetic)

    def _fix_statistics(self, config: Config, cases: Sequence[Source], arithmetic: Arithmetic) -> None:
        assert config.scans is not None
        fix_statistics(self.network, self.average, evenly(cases, config.scans.statistics), arithmetic)
        self.best, self.fixed = -1.0, True


def _networks(config: Config, step: int, arithmetic: Arithmetic) -> tuple[nn.Module, nn.Module]:
    """The network that learns, with new weights, and the one for its average; both as they are after `step` steps."""
    torch.manual_seed(config.run.seed)
    network = network_of(config, step).to(arithmetic.device).train()
    if config.run.initial == "he":
        initialise_he(network)
    if config.segments is not None:
        network.to(memory_format=torch.channels_last_3d)
    average = copy.deepcopy(network).eval()
    if config.run.batch_norm == "all":
        synchronise_batch_norm(network, arithmetic.device)
    if config.run.recompute:
        recompute_hidden_layers(network)
    return network, average
