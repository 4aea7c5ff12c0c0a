"""The active voxels of a mask: a list in raster order, and the map from the box back to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from AutofocusCore.errors import SettingError

TAPS = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
"""Steps from a voxel to its 27 neighbours at rate 1, in the order of a flattened 3x3x3 kernel."""


@dataclass(frozen=True)
class NeighbourMap:
    """Where the neighbours of a voxel lie, up to ``reach`` voxels away: one addition and one look-up for each.

    The box is laid out in one line with ``reach`` empty voxels behind each line, ``reach`` empty lines behind each
    plane and ``reach`` empty planes behind each sample, and as much in front of the first. So a step across the border
    ends in an empty place, and never in another line or sample.

        x x x x . . x x x x . . . . .     two lines of four voxels, reach 2

    Args:
        reach: the largest dilation rate that this map serves.
        table: (places,) int32; the row of the voxel at a place, -1 where there is none.
        places: (N,) int32; the place of each active voxel.
        line: places from one line to the next.
        plane: places from one plane to the next.
    """

    reach: int
    table: Tensor
    places: Tensor
    line: int
    plane: int

    def steps(self, rates: Sequence[int]) -> list[int]:
        """27 K steps between places, tap by tap and within a tap rate by rate."""
        return [rate * (z * self.plane + y * self.line + x) for z, y, x in TAPS for rate in rates]


@dataclass(frozen=True)
class ActiveVoxels:
    """The active voxels of a mask, in raster order over all samples; the samples never see each other.

    Args:
        shape: (B, D, H, W) of the mask.
        flat: (N,) int64; the active voxels' positions in the flattened mask.
    """

    shape: tuple[int, int, int, int]
    flat: Tensor
    _maps: dict[int, NeighbourMap] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_mask(cls, mask: Tensor) -> ActiveVoxels:
        """The voxels where ``mask`` (B, D, H, W) or (D, H, W), boolean, is true.

        Raises:
            SettingError: for a mask of another type or number of axes.
        """
        if mask.dtype != torch.bool or mask.ndim not in (3, 4):
            raise SettingError(
                f"The mask is {mask.dtype} of shape {tuple(mask.shape)}",
                "give a boolean mask (B, D, H, W) or (D, H, W)",
            )
        batch, depth, height, width = mask.shape if mask.ndim == 4 else (1, *mask.shape)
        return cls((batch, depth, height, width), mask.reshape(-1).nonzero().squeeze(1))

    @property
    def count(self) -> int:
        """N, the number of active voxels over all samples."""
        return len(self.flat)

    @cached_property
    def index(self) -> Tensor:
        """(B, D, H, W) int32: the row of each voxel, -1 outside the mask."""
        return _table(self.shape, self.flat).view(self.shape)

    def gather(self, volume: Tensor) -> Tensor:
        """The rows (N, C) of ``volume`` (B, C, D, H, W); differentiable."""
        self._check(volume.shape[:1] + volume.shape[2:], "volume")
        return volume.movedim(1, -1).flatten(0, 3).index_select(0, self.flat)

    def scatter(self, rows: Tensor) -> Tensor:
        """``rows`` (N, C) as a volume (B, C, D, H, W), zero outside the mask; differentiable.

        The result is a view with the channels last in memory.
        """
        batch, depth, height, width = self.shape
        box = rows.new_zeros(batch * depth * height * width, rows.shape[1]).index_copy(0, self.flat, rows)
        return box.view(*self.shape, rows.shape[1]).movedim(-1, 1)

    def neighbours(self, reach: int) -> NeighbourMap:
        """A map for rates up to ``reach`` at the least; made once and kept."""
        for known in self._maps.values():
            if known.reach >= reach:
                return known
        self._maps.clear()  # the larger one serves for all
        self._maps[reach] = _neighbour_map(self.shape, self.flat, reach)
        return self._maps[reach]

    def _check(self, shape: Sequence[int], what: str) -> None:
        if tuple(shape) != self.shape:
            raise SettingError(
                f"The {what} has (B, D, H, W) = {tuple(shape)}, but the mask {self.shape}",
                "give both on the same grid",
            )


def _table(shape: Sequence[int], flat: Tensor) -> Tensor:
    batch, depth, height, width = shape
    table = flat.new_full((batch * depth * height * width,), -1, dtype=torch.int32)
    table[flat] = torch.arange(len(flat), dtype=torch.int32, device=flat.device)
    return table


def _neighbour_map(shape: Sequence[int], flat: Tensor, reach: int) -> NeighbourMap:
    batch, depth, height, width = shape
    line, lines, planes = width + reach, height + reach, depth + reach
    plane = line * lines
    front = reach * (plane + line + 1)
    x = flat % width
    rest = flat // width
    y = rest % height
    rest = rest // height
    z = rest % depth + (rest // depth) * planes
    places = front + z * plane + y * line + x
    size = front + batch * planes * plane + reach * (line + 1)
    if size > torch.iinfo(torch.int32).max:
        raise SettingError(f"A volume of {tuple(shape)} voxels is too large for the ROI domain", "give fewer at a time")
    table = flat.new_full((size,), -1, dtype=torch.int32)
    table[places] = torch.arange(len(flat), dtype=torch.int32, device=flat.device)
    return NeighbourMap(reach, table, places.to(torch.int32), line, plane)
