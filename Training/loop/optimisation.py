"""One optimisation step: gradients of all segments or scans of the step, penalties, clipping, update, average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from AutofocusCore.errors import SettingError
from AutofocusCore.teaching.rates import set_rates
from AutofocusCore.teaching.schedule import TrainingSchedule, update_average
from Training.configuration.config import Config
from Training.loop.distributed import ProcessGroup
from Training.loop.optimizers import add_penalties
from Training.loop.schedule import learning_rate
from Training.loop.state import State
from Training.loop.tasks import Task


@dataclass(frozen=True)
class StepBatch:
    """How the segments or scans of one step are divided among passes and processes.

    They are numbered from the run's start. A step takes `size` of them: `accumulate` passes one after the other, and in
    each pass `each` in every process.

    Args:
        each: segments or scans that pass through the network at once, in each process.
        processes: number of processes.
        accumulate: passes of a step, whose gradients are averaged.
    """

    each: int
    processes: int
    accumulate: int

    @classmethod
    def of(cls, config: Config, processes: int) -> StepBatch:
        """The division that a configuration asks for."""
        return cls(1 if config.segments is None else config.segments.per_step, processes, config.run.accumulate)

    @property
    def size(self) -> int:
        """Segments or scans of a step, in all passes and processes."""
        return self.each * self.processes * self.accumulate

    def first(self, step: int, turn: int, rank: int) -> int:
        """Number of the first one that a process computes in a pass (`turn`) of a step; all are counted from 0."""
        return step * self.size + (turn * self.processes + rank) * self.each


@dataclass
class StepResult:
    """Result of one step, for the run's record.

    Args:
        rate: the learning rate.
        loss: mean over the passes.
        names: of all cases, those of other processes included.
        facts: of the last pass.
    """

    rate: float
    loss: float = 0.0
    names: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Optimisation:
    """The steps of a run. Each depends only on the state and the seed, so a stopped run continues unchanged."""

    def __init__(
        self,
        config: Config,
        state: State,
        task: Task,
        schedule: TrainingSchedule,
        batch: StepBatch,
        group: ProcessGroup,
    ) -> None:
        self._run, self._optimizer = config.run, config.optimizer
        self._state, self._task, self._schedule, self._batch, self._group = state, task, schedule, batch, group
        self._model = group.wrap(task.outputs)

    def step(self) -> StepResult:
        """Take one step; the state then counts it.

        Raises:
            SettingError: the loss or its gradient is not finite.
        """
        state, group, schedule = self._state, self._group, self._schedule
        torch.manual_seed(self._run.seed * 1_000_003 + state.step * group.count + group.rank)
        result = StepResult(learning_rate(self._optimizer, state.step, schedule.steps, schedule.epoch))
        set_rates(state.optimizer, result.rate)
        state.optimizer.zero_grad()
        for turn in range(self._batch.accumulate):
            self._add_gradients(turn, result)
        self._update(result.names)
        state.step += 1
        return result

    def _add_gradients(self, turn: int, result: StepResult) -> None:
        """Add the gradients of one pass. Processes exchange them in the last pass only."""
        group, share = self._group, 1 / self._batch.accumulate
        exchange_now = group.count == 1 or turn == self._batch.accumulate - 1
        with nullcontext() if exchange_now else self._model.no_sync():
            learned = self._task.learn(self._model, self._batch.first(self._state.step, turn, group.rank), share)
        result.names += [name for names in group.all_gather(learned.names) for name in names]
        if not torch.isfinite(learned.loss):
            raise SettingError(
                f"The loss of step {self._state.step + 1} is {learned.loss.item()}, on {', '.join(result.names)}",
                "check these cases, or lower optimizer.learning_rate; the previous checkpoint is kept",
            )
        result.loss += learned.loss.item() / self._batch.accumulate
        result.facts = learned.facts

    def _update(self, names: Sequence[str]) -> None:
        """Change the weights by their gradients, and their moving average; `names` are the step's cases."""
        state, options = self._state, self._optimizer
        state.scaler.unscale_(state.optimizer)
        add_penalties(state.network, options.l1, options.l2)
        length = torch.nn.utils.clip_grad_norm_(state.network.parameters(), options.clip or math.inf)
        if not (state.scaler.is_enabled() or torch.isfinite(length)):  # the scaler leaves out such a step by itself
            raise SettingError(
                f"The gradient of step {state.step + 1} is {length.item()}, on {', '.join(names)}",
                "use run.precision = 'float32', or lower optimizer.learning_rate; the previous checkpoint is kept",
            )
        state.scaler.step(state.optimizer)
        state.scaler.update()
        update_average(state.average, state.network, self._run.average, state.step)
