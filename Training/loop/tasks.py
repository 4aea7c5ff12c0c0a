"""Training tasks with one interface: segments in the box domain, or whole scans in the ROI domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.teaching.losses import build_row_loss
from AutofocusCore.teaching.scans import Prefetcher, Scan, ScanSampler, draw_scan
from AutofocusCore.teaching.schedule import TrainingSchedule
from Training.configuration.augmentation import Augmentation
from Training.configuration.config import Config
from Training.loop.data import Source
from Training.loop.decisive import indecision
from Training.loop.losses import build_loss
from Training.loop.sampling import CropSampler, draw_batch
from Training.loop.step import Arithmetic, add_gradients
from Training.loop.supervision import DeepSupervisionOutputs


@dataclass(frozen=True)
class Learned:
    """Result of one batch.

    Args:
        loss: of the batch. If it is not finite, no gradients were added.
        names: of the cases.
        facts: for the record of the step.
    """

    loss: Tensor
    names: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """A training task.

    Args:
        batch: how many segments or scans pass through the network at once, in each process.
        outputs: the network in a module whose `forward` gives the inputs of the loss.
    """

    batch: int
    outputs: nn.Module

    def learn(self, network: nn.Module, first: int, share: float) -> Learned:
        """Add the gradients of a batch's loss, times a share.

        Args:
            network: `outputs`, possibly within DistributedDataParallel.
            first: number of the batch's first segment or scan, from the run's start.
            share: of the batch in its step.
        """

    def close(self) -> None:
        """End background work."""


class SegmentTask:
    """Learning from segments."""

    def __init__(
        self,
        config: Config,
        network: nn.Module,
        cases: Sequence[Source],
        schedule: TrainingSchedule,
        arithmetic: Arithmetic,
    ) -> None:
        assert config.segments is not None
        self.batch, self.outputs = config.segments.per_step, DeepSupervisionOutputs(network)
        self._sampler = CropSampler.of(config.segments, config.augmentation, network.margin)
        self._loss = build_loss(config.run.loss, config.run.background_weight)
        self._cases, self._schedule, self._arithmetic = cases, schedule, arithmetic

    def learn(self, network: nn.Module, first: int, share: float) -> Learned:
        numbers = range(first, first + self.batch)
        images, labels, names = draw_batch(self._cases, self._sampler, self._schedule, numbers)
        device = self._arithmetic.device
        images, labels = images.to(device, memory_format=torch.channels_last_3d), labels.to(device)
        return Learned(add_gradients(network, images, labels, self._loss, self._arithmetic, share), names)

    def close(self) -> None:
        """There is no background work."""


class RowOutputs(nn.Module):
    """A network of the ROI domain, its `forward` from rows (N, C) to logits (N, classes) and attention."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor, voxels: ActiveVoxels) -> tuple[Tensor, list[Tensor]]:
        return self.network.forward_rows(rows, voxels)


class ScanTask:
    """Learning from whole scans: one at a time, all its active voxels supervised."""

    batch = 1

    def __init__(
        self,
        config: Config,
        network: nn.Module,
        cases: Sequence[Source],
        schedule: TrainingSchedule,
        arithmetic: Arithmetic,
        *,
        stride: int = 1,
    ) -> None:
        assert config.scans is not None
        scans = config.scans
        self.outputs = RowOutputs(network)
        spacing, normalization = config.model.spacing or (1.0, 1.0, 1.0), config.model.normalization
        bounds = (0.0, 1.0) if normalization.method == "window" else None
        changed = ScanSampler(config.augmentation, (spacing[2], spacing[1], spacing[0]), bounds, scans.most_voxels)
        unchanged = ScanSampler(Augmentation(), changed.spacing, bounds)
        self._decisive, self._first_decisive = scans.decisive, scans.decisive_after * schedule.batch
        first_unchanged = (scans.unchanged_after or schedule.steps) * schedule.batch

        def make(number: int) -> Scan:
            sampler = changed if number < first_unchanged else unchanged
            return draw_scan(cases, sampler, schedule, number, scans.draws)

        self._ahead = Prefetcher(
            make,
            scans.ahead,
            schedule.steps * schedule.batch,
            stride,
        )
        self._rates = tuple(config.model.architecture.get("dilation_rates", network.options["dilation_rates"]))
        self._loss, self._arithmetic = build_row_loss(config.run.loss, config.run.background_weight), arithmetic

    def learn(self, network: nn.Module, first: int, share: float) -> Learned:
        scan, device = self._ahead.get(first), self._arithmetic.device
        voxels = ActiveVoxels.from_mask(scan.mask[None].to(device))
        rows = voxels.gather(scan.image[None].to(device))
        with self._arithmetic.trusted():  # a baseline's convolutions; those of the ROI domain are the kernels' own
            logits, attention = network(rows.to(self._arithmetic.type) if self._arithmetic.low else rows, voxels)
            loss = self._loss(logits, scan.labels.to(device), scan.known)
            if attention and self._decisive and first >= self._first_decisive:
                loss = loss + self._decisive * indecision(attention)
            if torch.isfinite(loss):
                self._arithmetic.scaler.scale(loss * share).backward()
        facts: dict[str, Any] = {"voxels": voxels.count}
        if attention:
            facts["attention_sd"] = [round(spread(maps, self._rates), 3) for maps in attention]
        return Learned(loss.detach(), [scan.name], facts)

    def close(self) -> None:
        self._ahead.close()


def build_task(
    config: Config,
    network: nn.Module,
    cases: Sequence[Source],
    schedule: TrainingSchedule,
    arithmetic: Arithmetic,
    processes: int,
) -> Task:
    """The task of a configuration: segments or whole scans, whichever of the two tables it has."""
    if config.segments is not None:
        return SegmentTask(config, network, cases, schedule, arithmetic)
    return ScanTask(config, network, cases, schedule, arithmetic, stride=processes)


def spread(attention: Tensor, rates: Sequence[int]) -> float:
    """Standard deviation over the voxels of the effective dilation, sum over k of attention[k] · rate[k], in voxels.

    Near 0, the layer's attention has settled: it is the same everywhere.

    Args:
        attention: (N, K).
        rates: K dilation rates.
    """
    maps = attention.detach().float()
    return float((maps @ maps.new_tensor(list(rates), dtype=maps.dtype)).std())
