"""The volume in which a phantom is drawn: voxel grid, patient coordinates of each voxel, radiodensity, labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.phantom.shapes import Field, Point, Points

_WARP_REACH = 16.0  # mm; the longest displacement, so that a box enlarged by it contains its displaced content


def smooth_noise(rng: np.random.Generator, axes: tuple[Field, Field, Field], wavelength: float) -> Field:
    """A smooth random field (z, y, x) with about unit variance.

    Random numbers on a lattice that is fixed in space are interpolated by quadratic B-splines, so that a seed gives the
    same field on every voxel grid.

    Args:
        axes: voxel centres along x, y and z in mm, within 400 mm of the origin.
        wavelength: spacing of the lattice in mm.
    """
    count = int(800 / wavelength) + 3
    lattice = rng.standard_normal((count, count, count))
    weights = []
    for axis in axes:
        position = (axis.astype(np.float64) + 400.0) / wavelength + 1.0
        offset = np.abs(position[:, None] - np.arange(count))
        core = 0.75 - offset**2
        tail = 0.5 * (1.5 - offset) ** 2
        weights.append(np.where(offset < 0.5, core, np.where(offset < 1.5, tail, 0.0)))
    x, y, z = weights
    field = np.tensordot(z, np.tensordot(y, np.tensordot(x, lattice, (1, 2)), (1, 2)), (1, 2))
    return (field / 0.55**1.5).astype(np.float32)


class Canvas:
    """A scan that is being drawn.

    Args:
        rng: the only source of random numbers.
        size: voxels along x, y, z.
        spacing: voxel size along x, y, z in mm.
        rotation: 3×3 matrix from the patient's axes to the scanner's.
        shift: position of the patient's origin (midway between the femoral heads) in the scanner, in mm.
        scale: size of the patient's skeleton, 1 for the average.
        bend: standard deviation in mm of the smooth displacement that makes every patient slightly irregular.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: tuple[int, int, int],
        spacing: Point,
        *,
        rotation: NDArray[np.float64],
        shift: Point,
        scale: float,
        bend: float,
    ) -> None:
        self.axes: tuple[Field, Field, Field] = tuple(  # type: ignore[assignment]
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32) for n, step in zip(size, spacing, strict=True)
        )
        self.edge = np.float32(np.prod(spacing) ** (1 / 3) / scale)
        self._rotation, self._shift, self._scale = rotation, np.asarray(shift), scale
        x, y, z = (a - np.float32(s) for a, s in zip(self.axes, shift, strict=True))
        grid = (x[None, None, :], y[None, :, None], z[:, None, None])
        back = (rotation.T / scale).astype(np.float32)
        coordinates = []
        for row in back:
            displacement = smooth_noise(rng, self.axes, 90.0) * np.float32(bend)
            displacement = np.clip(displacement, -_WARP_REACH, _WARP_REACH)
            coordinates.append(row[0] * grid[0] + row[1] * grid[1] + row[2] * grid[2] + displacement)
        self.points = Points(*coordinates)
        shape = (size[2], size[1], size[0])
        self.hu = np.full(shape, -1000.0, np.float32)
        self.labels = np.zeros(shape, np.uint8)
        self.wobble = smooth_noise(rng, self.axes, 28.0)  # dents and bulges of single organs
        self.grain = smooth_noise(rng, self.axes, 7.0)  # texture of tissue

    def box(self, low: Point, high: Point) -> tuple[slice, slice, slice]:
        """The voxels (z, y, x) that may contain parts of a box in the patient's coordinates (mm)."""
        corners = np.array([[(low, high)[i >> a & 1][a] for a in range(3)] for i in range(8)])
        placed = corners @ self._rotation.T * self._scale + self._shift
        reach = _WARP_REACH + 2 * float(self.edge)
        slices = []
        for axis, lowest, highest in zip(self.axes, placed.min(0) - reach, placed.max(0) + reach, strict=True):
            slices.append(slice(int(np.searchsorted(axis, lowest)), int(np.searchsorted(axis, highest, side="right"))))
        return slices[2], slices[1], slices[0]

    def paint(
        self,
        box: tuple[slice, slice, slice],
        shape: Callable[[Points], Field],
        hu: float,
        *,
        label: int | None = None,
        grain: float = 0.0,
        wobble: float = 0.0,
        within: Field | None = None,
    ) -> None:
        """Draw tissue over the present content, by the share of each voxel that it fills.

        Args:
            box: the voxels to look at, from `box`.
            shape: function that returns the signed distance of points.
            hu: radiodensity; `grain` is its standard deviation.
            label: label of voxels that are at least half filled; None: do not change the labels.
            wobble: depth of dents and bulges in mm.
            within: signed distance (of the whole volume) of a shape that limits the tissue.
        """
        distance = shape(Points(*(c[box] for c in self.points)))
        if wobble:
            distance = distance + np.float32(wobble) * self.wobble[box]
        if within is not None:
            distance = np.maximum(distance, within[box])
        self.lay(box, distance, hu, label=label, grain=grain)

    def lay(
        self,
        box: tuple[slice, slice, slice],
        distance: Field,
        hu: float,
        *,
        label: int | None = None,
        grain: float = 0.0,
    ) -> None:
        """As `paint`, with the signed distance of the voxels of the box."""
        filled = np.clip(np.float32(0.5) - distance / self.edge, 0, 1)
        self.hu[box] += filled * (np.float32(hu) + np.float32(grain) * self.grain[box] - self.hu[box])
        if label is not None:
            self.labels[box][filled >= 0.5] = label
