"""The active voxels of a mask: a list in raster order, the map from the box back to it, and the part to compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels.threads import in_torch_chunks, threads

TAPS = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
"""Steps from a voxel to its 27 neighbours at rate 1, in the order of a flattened 3x3x3 kernel."""
CHUNK_BYTES = 2 * 2**20
"""Size of a chunk's blended inputs on a CPU: enough for the matrix product, little enough for a cache."""
CHUNK_BYTES_OF_A_GPU = 256 * 2**20

Work = Callable[[int, slice, Tensor], None]
"""Computes a chunk, given the number of the thread, the chunk's rows of the result, and its neighbours (m, 27, K)."""


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
        batch, depth, height, width = self.shape
        line, lines, planes = width + reach, height + reach, depth + reach
        plane = line * lines
        front = reach * (plane + line + 1)
        rest, x = self.flat // width, self.flat % width
        rest, y = rest // height, rest % height
        z = rest % depth + (rest // depth) * planes
        places = front + z * plane + y * line + x
        size = front + batch * planes * plane + reach * (line + 1)
        if size > torch.iinfo(torch.int32).max:
            cause = f"A volume of {self.shape} voxels is too large for the ROI domain"
            raise SettingError(cause, "give fewer at a time")
        table = self.flat.new_full((size,), -1, dtype=torch.int32)
        table[places] = torch.arange(len(self.flat), dtype=torch.int32, device=self.flat.device)
        self._maps[reach] = NeighbourMap(reach, table, places.to(torch.int32), line, plane)
        return self._maps[reach]

    def _check(self, shape: Sequence[int], what: str) -> None:
        if tuple(shape) != self.shape:
            raise SettingError(
                f"The {what} has (B, D, H, W) = {tuple(shape)}, but the mask {self.shape}",
                "give both on the same grid",
            )


@dataclass(frozen=True)
class Domain:
    """Where a convolution reads and what it computes.

    Attributes:
        voxels: the active voxels.
        rates: dilation rates.
        part: the rows of the result; None for all.
        first_row: the voxel to which the first row of the features belongs.
        held: number of rows of the features; None: one for each active voxel.
    """

    voxels: ActiveVoxels
    rates: tuple[int, ...]
    part: slice | None = None
    first_row: int = 0
    held: int | None = None

    @property
    def count(self) -> int:
        """Rows of the result."""
        return self.voxels.count if self.part is None else self.part.stop - self.part.start

    def in_chunks(self, row_bytes: int, work: Work, *, fixed: bool = False) -> None:
        """Call ``work`` for chunks that cover the result, on a CPU from several threads at a time.

        The neighbours are rows of the features, int32; where there is no neighbour it is the row after the last one.

        Args:
            row_bytes: size of a voxel's blended inputs.
            work: computes a chunk.
            fixed: see :func:`AutofocusCore.kernels.threads.in_chunks`.
        """
        neighbours = self.voxels.neighbours(max(self.rates))
        wanted = neighbours.places if self.part is None else neighbours.places[self.part]
        empty = self.voxels.count if self.held is None else self.held
        steps = torch.tensor(neighbours.steps(self.rates), dtype=torch.int32, device=wanted.device)

        def find(worker: int, first: int, last: int) -> None:
            places = (wanted[first:last, None] + steps).view(-1)
            rows = neighbours.table.index_select(0, places) - self.first_row
            rows.masked_fill_(rows < 0, empty)
            work(worker, slice(first, last), rows.view(last - first, 27, len(self.rates)))

        if wanted.device.type == "cpu":
            in_torch_chunks(self.count, find, max(1, CHUNK_BYTES // row_bytes), fixed=fixed)
            return
        size = max(1, CHUNK_BYTES_OF_A_GPU // row_bytes)
        for start in range(0, self.count, size):
            find(0, start, min(start + size, self.count))

    @property
    def workers(self) -> int:
        """The most threads that :meth:`in_chunks` uses."""
        return threads() if self.voxels.flat.device.type == "cpu" else 1


def _table(shape: Sequence[int], flat: Tensor) -> Tensor:
    batch, depth, height, width = shape
    table = flat.new_full((batch * depth * height * width,), -1, dtype=torch.int32)
    table[flat] = torch.arange(len(flat), dtype=torch.int32, device=flat.device)
    return table
