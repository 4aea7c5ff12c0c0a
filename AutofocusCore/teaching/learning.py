"""The loop that teaches a network: whole scans, one a step, until the time is up.

BatchNorm's statistics stay the parent's, the rate is small, falls to 0 with the time and is lower for attention, and
what counts is the average of the weights over the last steps. All that keeps the network near its parent.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from AutofocusCore.errors import InternalError
from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.teaching.arithmetic import Arithmetic
from AutofocusCore.teaching.augmentation import Augmentation
from AutofocusCore.teaching.case import Case
from AutofocusCore.teaching.rates import parameter_groups, set_rates
from AutofocusCore.teaching.scans import Prefetcher, Scan, ScanSampler
from AutofocusCore.teaching.schedule import TrainingSchedule, update_average
from AutofocusCore.teaching.soft_labels import teaching_loss
from AutofocusCore.teaching.statistics import keep_statistics

LIGHT = Augmentation(rotation=5.0, scaling=0.05, elastic=1.0, contrast=0.05, brightness=0.02, noise=0.03)
"""Changes of shape and values that a scan may have without being another patient's."""


@dataclass(frozen=True)
class Lesson:
    """How a network is taught.

    Args:
        seconds: of the loop; the step in which they end is finished.
        steps: the loop ends after so many, if that is earlier; 0 for no limit.
        rate: largest learning rate, of AdamW.
        attention: share of the rate for the attention layers.
        warm_up: steps over which the rate rises.
        average: decay of the moving average of the weights.
        clip: largest norm of the gradients together.
        most_voxels: of a scan with more active voxels, neighbouring slices with at most so many are taken, another part
            each time; 0 for the whole scan.
        seed: of everything random.
    """

    seconds: float
    steps: int = 0
    rate: float = 5e-4
    attention: float = 0.2
    warm_up: int = 5
    average: float = 0.9
    clip: float = 2.0
    most_voxels: int = 0
    seed: int = 1

    def done(self, step: int, seconds: float) -> float:
        """Share of the lesson that is over, 0 to 1."""
        of_steps = step / self.steps if self.steps else 0.0
        return min(1.0, max(of_steps, seconds / self.seconds))


class Learner:
    """A network that learns, and its average.

    Args:
        parent: network of the ROI domain; it is left as it is.
        cases: to learn from, with soft labels.
        sampler: makes a scan of a case.
        lesson: how.
        arithmetic: of the steps.
    """

    def __init__(
        self, parent: nn.Module, cases: Sequence[Case], sampler: ScanSampler, lesson: Lesson, arithmetic: Arithmetic
    ) -> None:
        self.network = copy.deepcopy(parent).to(arithmetic.device).train()
        keep_statistics(self.network)
        self.average = copy.deepcopy(self.network).eval()
        self.steps, self.losses = 0, list[float]()
        self.seconds = 0.0
        self._looks = 0  # how many are done
        self._cases, self._sampler, self._lesson, self._arithmetic = cases, sampler, lesson, arithmetic
        self._order = TrainingSchedule(0, 1, len(cases), float(len(cases)), in_turn=True, seed=lesson.seed)
        groups = parameter_groups(self.network, lesson.attention)
        self._optimizer = torch.optim.AdamW(groups, lr=lesson.rate, weight_decay=0.0)

    def state(self) -> dict[str, Any]:
        """Everything that a learner of the same cases and lesson needs to go on from here: tensors and numbers."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "losses": list(self.losses),
            "steps": self.steps,
            "seconds": self.seconds,
            "looks": self._looks,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state, before `learn` is called."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.losses = list(state["losses"])
        self.steps, self.seconds, self._looks = state["steps"], state["seconds"], state["looks"]

    def learn(self, report: Callable[[float, float], None], looks: Sequence[float], look: Callable[[], None]) -> None:
        """Learn until the lesson is over.

        Args:
            report: called before each step with the share that is over and the seconds that are left; what it raises
                ends the loop.
            looks: shares of the lesson, ascending, after which `look` is called. It takes of the lesson's time, but for
                the last one.
            look: called with `average` up to date.
        """
        torch.manual_seed(self._lesson.seed)
        waiting, looked = list(looks)[self._looks :], -1
        ahead = Prefetcher(self._scan, 1, self._lesson.steps or 2**31)
        began = time.monotonic() - self.seconds
        try:
            while True:
                seconds = self.seconds = time.monotonic() - began
                done = self._lesson.done(self.steps, seconds)
                due = [share for share in waiting if share <= done]
                del waiting[: len(due)]
                self._looks += len(due)
                if due and self.steps != looked:
                    looked = self.steps
                    look()
                    continue
                if done >= 1.0:
                    return
                report(done, self._left(done, seconds))
                self._step(ahead.get(self.steps), done)
        finally:
            ahead.close()

    def _left(self, done: float, seconds: float) -> float:
        by_time = self._lesson.seconds - seconds
        return min(by_time, seconds / done * (1 - done)) if self._lesson.steps and done > 0 else by_time

    def _scan(self, number: int) -> Scan:
        rng = self._order.generator_of(number)
        return self._sampler.scan(self._cases[self._order.case_of(number, rng)], rng)

    def _step(self, scan: Scan, done: float) -> None:
        lesson, device = self._lesson, self._arithmetic.device
        rising = min(1.0, (self.steps + 1) / max(lesson.warm_up, 1))
        set_rates(self._optimizer, lesson.rate * rising * 0.5 * (1 + math.cos(math.pi * done)))
        self._optimizer.zero_grad()
        voxels = ActiveVoxels.from_mask(scan.mask[None].to(device))
        rows = voxels.gather(scan.image[None].to(device))
        lowered = rows.to(self._arithmetic.type) if self._arithmetic.low else rows
        logits, _ = self.network.forward_rows(lowered, voxels)  # type: ignore[operator]
        loss = teaching_loss(logits, scan.labels.to(device), scan.unknown, scan.soft.to(device))
        self._require_finite("loss", loss, scan)
        loss.backward()
        length = nn.utils.clip_grad_norm_(self.network.parameters(), lesson.clip)
        self._require_finite("gradient", length, scan)
        self._optimizer.step()
        update_average(self.average, self.network, lesson.average, self.steps)
        self.steps += 1
        self.losses.append(float(loss.detach()))

    def _require_finite(self, what: str, value: torch.Tensor, scan: Scan) -> None:
        if not torch.isfinite(value):
            raise InternalError(
                f"The {what} of step {self.steps + 1} is {value.item()}, on {scan.name}", "leave out this case"
            )
