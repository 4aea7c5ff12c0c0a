"""Input and output tensors of one prediction: the volume, the region to segment, and the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from AutofocusCore.inference.boxes import Box, intersect, place, shape_of, shift
from AutofocusCore.inference.plan import streamed_first
from AutofocusCore.inference.stream import Store
from AutofocusCore.networks.build import Network
from AutofocusCore.networks.scale_streams import ScaleStreams


@dataclass(frozen=True)
class Task:
    """A volume, the region to segment, and the tensors for the results."""

    volume: Tensor
    background: Tensor  # (C,)
    target: Box  # the region in the frame of the padded volume
    margin: int
    logits: Tensor
    attention: dict[int, Tensor]
    recalibration: Tensor | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        volume: Tensor,
        background: Tensor,
        region: Box,
        layers: Sequence[int] | None,
        device: str = "cpu",
    ) -> Task:
        """The task with empty results.

        Args:
            network: what computes it.
            volume: (C, D, H, W) float32.
            background: (C,) float32.
            region: what is wanted of the volume.
            layers: whose attention maps are wanted; None: neither these nor recalibration.
            device: where the results are.
        """
        extent = shape_of(region)
        rates = len(network.dilation_rates)
        recalibrates = layers is not None and isinstance(network, ScaleStreams) and network.recalibrates
        return cls(
            volume,
            background,
            shift(region, network.margin),
            network.margin,
            torch.empty((network.num_classes, *extent), device=device),
            {index: torch.empty((rates, *extent), device=device) for index in layers or ()},
            torch.empty((network.num_classes, *extent), device=device) if recalibrates else None,
        )

    def is_finite(self) -> bool:
        """Whether all results are numbers."""
        maps = [self.logits, *self.attention.values()]
        maps += [] if self.recalibration is None else [self.recalibration]
        return all(bool(part.isfinite().all()) for tensor in maps for part in tensor)

    @property
    def padded_size(self) -> tuple[int, int, int]:
        depth, height, width = self.volume.shape[1:]
        return depth + 2 * self.margin, height + 2 * self.margin, width + 2 * self.margin

    @property
    def result_bytes(self) -> int:
        maps = (
            [*self.attention.values()] if self.recalibration is None else [*self.attention.values(), self.recalibration]
        )
        return sum(tensor.numel() * 4 for tensor in (self.logits, *maps))

    def streamed(self, axis: int) -> Task:
        """This task with ``axis`` moved to the front; the tensors are views of the same memory."""
        order = (0, *(1 + index for index in streamed_first((0, 1, 2), axis)))
        return replace(
            self,
            volume=self.volume.permute(order),
            target=streamed_first(self.target, axis),
            logits=self.logits.permute(order),
            attention={index: tensor.permute(order) for index, tensor in self.attention.items()},
            recalibration=None if self.recalibration is None else self.recalibration.permute(order),
        )

    def load(self, box: Box, dtype: torch.dtype, device: str) -> Tensor:
        """The voxels of ``box`` in the padded volume, (1, C, d, h, w)."""
        depth, height, width = self.volume.shape[1:]
        planes = self.background.to(dtype).reshape(1, -1, 1, 1, 1).repeat(1, 1, *shape_of(box))
        inside = intersect(box, shift(((0, depth), (0, height), (0, width)), self.margin))
        if min(shape_of(inside)) > 0:
            place(inside, planes[0], box).copy_(place(shift(inside, -self.margin), self.volume))
        return planes.to(device)

    def store(self, result: Tensor, target: Tensor, box: Box) -> None:
        """Copy ``result`` (1, N, d, h, w) of ``box`` into ``target``; voxels outside the region are skipped."""
        inside = intersect(box, self.target)
        if min(shape_of(inside)) > 0:
            place(inside, target, self.target).copy_(place(inside, result[0], box))

    def part(self, tile: Box) -> Task:
        """The task of ``tile``, a part of the target; its results are views of the same memory."""
        return replace(
            self,
            target=tile,
            logits=place(tile, self.logits, self.target),
            attention={index: place(tile, tensor, self.target) for index, tensor in self.attention.items()},
            recalibration=None if self.recalibration is None else place(tile, self.recalibration, self.target),
        )

    def storers(self) -> tuple[Store, dict[int, Store]]:
        """Functions that store logits, and attention maps of the selected layers."""

        def storer(target: Tensor) -> Store:
            return lambda result, box: self.store(result, target, box)

        return storer(self.logits), {index: storer(tensor) for index, tensor in self.attention.items()}
