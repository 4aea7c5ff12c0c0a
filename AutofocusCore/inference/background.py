"""Exact mode leaves out voxels that see nothing but background: their features are one constant vector per layer.

A voxel *sees* the voxels in its receptive field. Each plane of each layer has a rectangle; all voxels outside it see
only background. The first rectangle is where the scan is not background. From layer to layer it grows by the layer's
reach:

    . . . . . . . . . .      .  sees only background: gets the constant features
    . . x x x x x . . .      x  in the rectangle of this plane: computed
    . . x x x x x . . .

The result is the same. Some layers read zeros beyond the border of a feature map (autofocus layers, ASPP heads). They
and all layers after them are computed everywhere: near the border their features are not constant, even in a scan of
air.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from AutofocusCore.inference.boxes import Box, Window, intersect, shape_of, voxels
from AutofocusCore.inference.graph import BoxGraph
from AutofocusCore.inference.stages import INPUT

PIECE = 16
"""Planes that share a rectangle."""
WORTH = 0.9
"""A slab is computed as a whole if its rectangles hold more than this share of its voxels."""

Rectangles = NDArray[np.int64]
"""(planes of the padded volume, 4): first row, -last row, first column, -last column.

The last row and column are negative, so that the minimum over several planes is the rectangle around all of them.
"""
FAR = 2**40
"""All four numbers of a plane without a rectangle."""


@dataclass(frozen=True)
class Foreground:
    """What has to be computed: rectangles and constant features (1, C, 1, 1, 1) of each stage that has them."""

    rectangles: dict[int, Rectangles]
    constants: dict[int, Tensor]

    def parts(self, stage: int, box: Box) -> list[Box]:
        """Boxes with all voxels of ``box`` that see more than background; ``[box]`` if it is computed whole."""
        if stage not in self.rectangles:
            return [box]
        parts = list(self._pieces(stage, box))
        return parts if sum(map(voxels, parts)) <= WORTH * voxels(box) else [box]

    def _pieces(self, stage: int, box: Box) -> Iterator[Box]:
        start, stop = box[0]
        for first in range(start, stop, PIECE):
            last = min(first + PIECE, stop)
            top, bottom, left, right = self.rectangles[stage][first:last].min(axis=0)
            if top == FAR:
                continue
            piece = intersect(box, ((first, last), (int(top), int(1 - bottom)), (int(left), int(1 - right))))
            if min(shape_of(piece)) > 0:
                yield piece


def find_foreground(graph: BoxGraph, volume: Tensor, background: Tensor, dtype: torch.dtype, device: str) -> Foreground:
    """The rectangles and constant features of a network's stages.

    Args:
        graph: the network, with its weights in ``dtype`` on ``device``.
        volume: (C, D, H, W) without the padding.
        background: (C,), the values of the padding.
        dtype, device: of the features.
    """
    rectangles = {INPUT: rectangles_of(volume, background, graph.margin)}
    constants = {INPUT: background.reshape(1, -1, 1, 1, 1).to(device, dtype)}
    for index, stage in enumerate(graph.stages):
        lost = [stage.margin - (0 if source == INPUT else graph.stages[source].margin) for source in stage.sources]
        beyond = any(reach > most for reach, most in zip(stage.reaches, lost, strict=True))
        if beyond or not stage.sources or any(source not in rectangles for source in stage.sources):
            continue
        read = [widened(rectangles[s], reach) for s, reach in zip(stage.sources, stage.reaches, strict=True)]
        rectangles[index] = np.minimum.reduce(read)
        windows = [_surroundings(constants[s], reach) for s, reach in zip(stage.sources, stage.reaches, strict=True)]
        exact = torch.float32 if index == len(graph.stages) - 1 else dtype
        constants[index] = torch.empty((1, stage.channels, 1, 1, 1), dtype=exact, device=device)
        stage.operation(windows, ((0, 1), (0, 1), (0, 1)), constants[index])
    return Foreground(rectangles, constants)


def rectangles_of(volume: Tensor, background: Tensor, margin: int) -> Rectangles:
    """The rectangle of each plane in which ``volume`` (C, D, H, W) is not ``background`` (C,), after padding."""
    values = background.reshape(-1, 1, 1).to(volume.device)
    found = np.full((volume.shape[1] + 2 * margin, 4), FAR, dtype=np.int64)
    for number, plane in enumerate(volume.unbind(1), start=margin):
        seen = (plane != values).any(0)
        rows, columns = (seen.any(axis).nonzero() + margin for axis in (1, 0))
        if len(rows):
            found[number] = (int(rows[0]), -int(rows[-1]), int(columns[0]), -int(columns[-1]))
    return found


def widened(rectangles: Rectangles, reach: int) -> Rectangles:
    """The rectangles one layer on: of all voxels with a voxel of ``rectangles`` up to ``reach`` voxels away."""
    padded = np.pad(rectangles, ((reach, reach), (0, 0)), constant_values=FAR)
    nearest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0).min(axis=-1)
    return np.where(nearest == FAR, FAR, nearest - reach)


def _surroundings(constant: Tensor, reach: int) -> Window:
    """A cube of constant features: voxel 0 and ``reach`` voxels on each side of it."""
    size = 2 * reach + 1
    around = (-reach, reach + 1)
    return Window(constant.expand(-1, -1, size, size, size), (around, around, around))
