"""The case of each step of a run, and the update of averaged weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class TrainingSchedule:
    """The steps of a run, and the case of each of its segments, counted from 0.

    Args:
        steps: number of steps of the run.
        batch: segments of a step, in all processes together.
        cases: number of training cases.
        epoch: steps of an epoch; a fraction if the batch does not divide the number of cases.
        in_turn: whether every case gives one segment in each epoch, instead of random cases.
        seed: seed of all random numbers.
    """

    steps: int
    batch: int
    cases: int
    epoch: float
    in_turn: bool
    seed: int

    def generator_of(self, number: int) -> np.random.Generator:
        """The random generator of a segment, which depends only on the seed and the segment's number."""
        return np.random.default_rng([self.seed, *divmod(number, self.batch)])

    def case_of(self, number: int, rng: np.random.Generator) -> int:
        """The index of a segment's case."""
        if not self.in_turn:
            return int(rng.integers(self.cases))
        epoch, place = divmod(number, self.cases)
        return int(np.random.default_rng([self.seed, epoch, self.cases, 0]).permutation(self.cases)[place])


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Update the averaged weights; faster in the first steps, so that early weights are soon forgotten."""
    decay = min(decay, (step + 1) / (step + 10))
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - decay)
        else:
            value.copy_(current[name])
