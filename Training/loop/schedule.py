"""Length of a run and its learning rate."""

from __future__ import annotations

import math

from AutofocusCore.teaching.schedule import TrainingSchedule
from Training.configuration.settings import Optimizer, Run


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
