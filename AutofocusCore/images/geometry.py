"""Positions of voxels in millimetres of the patient, and the grid that a model needs.

Indices, sizes, spacings and points in this file are (x, y, z), as in SimpleITK, and the patient's axes are LPS: x grows
to the left, y to the back, z to the head. Arrays are (z, y, x); `Grid.crop` and `Grid.shape` are where the two meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.io.nrrd import grid_matrix

Region = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Voxels ((z0, z1), (y0, y1), (x0, x1)) of an array, ends exclusive."""

Floats = npt.NDArray[np.float64]

AXIS_OF_LETTER = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
ALIGNED = 0.01
"""Direction cosines this close to a signed permutation (0.6 degrees) count as the patient's own axes."""
SAME_SPACING = 0.05
"""Share of the model's spacing by which an axis may differ and still keep its voxels.

To interpolate from voxels of 3.9 to those of 4 mm blurs thin structures and gains nothing: networks are trained on
scans whose scale varies more than that."""
SMALLEST_COSINE = 1e-30
"""ITK's linear algebra fails for smaller values."""
ORTHOGONAL = 1e-3
"""Axes whose cosines are larger than this are sheared; half a voxel over a thousand voxels."""


@dataclass(frozen=True)
class Grid:
    """Size, spacing (mm), origin (mm) and direction cosines of an image: nine, row by row; the columns are the axes."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid of a 3-D image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_matrix(cls, size: Sequence[int], matrix: Floats, origin: Floats) -> Grid:
        """The grid whose index step along axis a is column a of the matrix, in mm."""
        spacing = np.linalg.norm(matrix, axis=0)
        if not np.all(np.isfinite(matrix)) or not np.all(spacing > 0) or abs(np.linalg.det(matrix / spacing)) < 1e-6:
            raise InputError(
                f"The axes of the image do not span a volume (voxel steps {_steps(matrix)} mm)",
                "export the image again from its source, or correct the directions in its header",
            )
        x, y, z = (int(n) for n in size)
        cosines = matrix / spacing
        cosines[np.abs(cosines) < SMALLEST_COSINE] = 0.0
        return cls((x, y, z), _three(spacing), _three(origin), tuple(cosines.ravel().tolist()))

    @classmethod
    def from_index_to_lps(cls, shape: Sequence[int], index_to_lps: npt.ArrayLike) -> Grid:
        """The inverse of `index_to_lps`, for an array of shape (z, y, x)."""
        matrix = np.asarray(index_to_lps, dtype=np.float64).reshape(4, 4)
        z, y, x = shape
        return cls.from_matrix((x, y, z), matrix[:3, :3], matrix[:3, 3])

    @property
    def index_to_lps(self) -> Floats:
        """The 4 × 4 matrix from voxel indices (i, j, k, 1) to mm (x, y, z, 1), LPS; an array's index is [k, j, i]."""
        return grid_matrix(self.spacing, self.origin, self.direction)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (z, y, x) of an array on this grid."""
        return (self.size[2], self.size[1], self.size[0])

    @property
    def matrix(self) -> Floats:
        """Columns: the step in mm (x, y, z) of one voxel along each index axis."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3) * np.asarray(self.spacing)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel in mm³, right for sheared axes as well."""
        return float(abs(np.linalg.det(self.matrix)))

    @property
    def sheared(self) -> bool:
        """Whether the axes are not perpendicular to each other."""
        direction = np.asarray(self.direction).reshape(3, 3)
        return bool(np.max(np.abs(direction.T @ direction - np.eye(3))) > ORTHOGONAL)

    def to_mm(self, index: npt.ArrayLike) -> Floats:
        """Points (..., 3) in mm of continuous indices (..., 3), both (x, y, z)."""
        return np.asarray(index, dtype=np.float64) @ self.matrix.T + np.asarray(self.origin)

    def to_index(self, points: npt.ArrayLike) -> Floats:
        """Continuous indices (..., 3) of points (..., 3) in mm, both (x, y, z)."""
        return (np.asarray(points, dtype=np.float64) - np.asarray(self.origin)) @ np.linalg.inv(self.matrix).T

    def outside(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of the points (n, 3), in mm (x, y, z), lie outside the outer faces of the voxels."""
        index = self.to_index(points)
        beyond = (index < -0.5 - 1e-3) | (index > np.asarray(self.size) - 0.5 + 1e-3)
        return np.asarray(beyond.any(axis=1))

    def corners(self, margin: float = 0.5) -> Floats:
        """The eight corners in mm; a margin of 0.5 voxel reaches the outer faces, 0 the centres of the end voxels."""
        ends = [(-margin, n - 1 + margin) for n in self.size]
        return self.to_mm(np.array(list(product(*ends))))

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether both have the same size and voxel positions, to a fraction of a voxel."""
        if self.size != other.size:
            return False
        offset = self.to_index(other.corners(0)) - self.to_index(self.corners(0))
        return bool(np.max(np.abs(offset)) <= tolerance)

    def crop(self, region: Region) -> Grid:
        """The grid of the voxels ((z0, z1), (y0, y1), (x0, x1))."""
        (z0, z1), (y0, y1), (x0, x1) = region
        if (z0, y0, x0) == (0, 0, 0):
            return Grid((x1, y1, z1), self.spacing, self.origin, self.direction)
        return Grid((x1 - x0, y1 - y0, z1 - z0), self.spacing, _three(self.to_mm((x0, y0, z0))), self.direction)

    def stamp(self, image: sitk.Image) -> None:
        """Set the image's origin, spacing and direction to exactly those of this grid."""
        image.SetOrigin(self.origin)
        image.SetSpacing(self.spacing)
        image.SetDirection(self.direction)


def model_grid(grid: Grid, orientation: str, spacing: Sequence[float] | None) -> Grid:
    """The grid for a model: the model's orientation and spacing over the whole extent of the image.

    An image along the patient's axes keeps them, flipped or swapped as the orientation requires. An axis that has about
    the right spacing (within 5 %) keeps it and its voxel positions, so that nothing is interpolated along it. An
    oblique image gets a grid along the patient's axes that encloses it.

    Args:
        grid: the image's grid.
        orientation: directions of increasing indices, such as "RAS" for right, anterior, superior.
        spacing: (x, y, z) in mm along the new axes; None keeps the image's.
    """
    wanted = np.array([AXIS_OF_LETTER[letter] for letter in orientation.upper()], dtype=np.float64).T
    own = np.asarray(grid.direction).reshape(3, 3)
    cosines = wanted.T @ own  # [new axis, old axis]
    order = max(permutations(range(3)), key=lambda p: sum(abs(cosines[a, p[a]]) for a in range(3)))
    signs = np.sign([cosines[a, order[a]] for a in range(3)])
    aligned = all(abs(own[:, order[a]] * signs[a] - wanted[:, a]).max() <= ALIGNED for a in range(3))
    axes = own[:, list(order)] * signs if aligned and not grid.sheared else wanted

    kept = [grid.spacing[order[a]] for a in range(3)]
    target = list(kept) if spacing is None else [float(s) for s in spacing]
    if aligned and not grid.sheared:
        extent = [grid.size[order[a]] * kept[a] for a in range(3)]
        centre = grid.to_mm([(n - 1) / 2 for n in grid.size])
        size = []
        for a in range(3):
            if abs(target[a] - kept[a]) <= (SAME_SPACING + 1e-6) * target[a]:  # 3.8 for 4 mm, too
                target[a] = kept[a]
                size.append(grid.size[order[a]])
            else:
                size.append(max(1, int(np.ceil(extent[a] / target[a] - 1e-6))))
    else:
        along = grid.corners() @ axes
        low, high = along.min(axis=0), along.max(axis=0)
        size = [max(1, int(np.ceil((high[a] - low[a]) / target[a] - 1e-6))) for a in range(3)]
        centre = axes @ ((low + high) / 2)
    matrix = axes * np.asarray(target)
    origin = centre - matrix @ ((np.asarray(size) - 1) / 2)
    x, y, z = size
    return Grid((x, y, z), _three(np.asarray(target)), _three(origin), tuple(axes.ravel().tolist()))


def rigid_grid(grid: Grid) -> Grid:
    """The grid with the nearest perpendicular axes, for one that is off by rounding only."""
    left, _, right = np.linalg.svd(np.asarray(grid.direction).reshape(3, 3))
    return Grid(grid.size, grid.spacing, grid.origin, tuple((left @ right).ravel().tolist()))


def _three(values: npt.ArrayLike) -> tuple[float, float, float]:
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return (x, y, z)


def _steps(matrix: Floats) -> str:
    return ", ".join("(" + ", ".join(f"{v:.3g}" for v in column) + ")" for column in matrix.T)
