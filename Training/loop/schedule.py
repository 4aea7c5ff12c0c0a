"""Length of a run, its learning rate, and the update of averaged weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from Training.configuration.settings import Optimizer, Run


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


def build_schedule(run: Run, cases: int, batch: int) -> TrainingSchedule:
    """The schedule of a run with this number of cases and segments in a step."""
    epoch = float(run.epoch_steps or cases / batch)
    in_turn = run.epochs > 0 and not run.epoch_steps
    return TrainingSchedule(run.steps or math.ceil(run.epochs * epoch), batch, cases, epoch, in_turn, run.seed)


def learning_rate(options: Optimizer, step: int, steps: int, epoch: float = math.inf) -> float:
    """The learning rate of one step (0 to steps - 1).

    Args:
        epoch: steps of an epoch, for drops that are given in epochs.
    """
    part = 0
    for length in options.cycles[:-1]:  # the schedule starts again
        if step < length:
            steps = length
            break
        part, step, steps = part + 1, step - length, steps - length
    rate = options.learning_rate * (options.cycle_rates[part] if options.cycle_rates else 1.0)
    if step < options.warm_up:
        return rate * (step + 1) / options.warm_up
    done = step / steps
    factor = 1.0
    if options.schedule == "poly":
        factor = (1 - done) ** options.power
    elif options.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    elif options.schedule == "step":
        passed = sum(done >= drop if drop < 1 else step >= drop * epoch for drop in options.drops)
        factor = options.divide_by**-passed
    elif options.cool_down:
        left = (steps - step) / options.cool_down
        factor = 0.5 * (1 - math.cos(math.pi * min(left, 1)))
    return rate * factor


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
