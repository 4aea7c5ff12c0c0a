"""Spatial augmentation in one resampling: rotation, scaling, flips and a smooth displacement.

The map goes from each voxel of the changed scan to the place in the case where its value comes from::

    place = centre of the case + matrix · (voxel - centre of the changed scan) + displacement(voxel)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from AutofocusCore.teaching.augmentation import Augmentation

KNOT_MM = 40.0
"""Approximate distance of the control points of a displacement."""


@dataclass(frozen=True)
class Warp:
    """A change of shape.

    Args:
        matrix: 3×3 (z, y, x), from offsets in the changed scan to offsets in the case, in voxels.
        knots: displacement in voxels at control points, (3, k, l, m); None for none.
        mirrored: whether x is turned round, so that left and right change places.
    """

    matrix: NDArray[np.float64]
    knots: NDArray[np.float64] | None
    mirrored: bool

    def places(self, shape: tuple[int, int, int], extents: tuple[int, int, int]) -> Tensor:
        """Places (D, H, W, 3) of a changed scan's voxels, in grid_sample's coordinates.

        Args:
            shape: (D, H, W) of the changed scan.
            extents: of the case.
        """
        matrix = torch.from_numpy(self.matrix).float()
        axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
        result = torch.empty(*shape, 3)
        moved = None if self.knots is None else _displacement(self.knots, shape)
        for axis in range(3):
            z, y, x = (matrix[axis, other] * axes[other] for other in range(3))
            place = z[:, None, None] + y[None, :, None] + x[None, None, :]
            if moved is not None:
                place = place + moved[axis]
            # grid_sample's coordinates run from -1 to 1 between the centres of the outermost voxels, x first
            result[..., 2 - axis] = place * (2 / max(extents[axis] - 1, 1))
        return result


def rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 3×3 matrix of rotations about axis 0, then 1, then 2, by three angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def random_warp(
    augmentation: Augmentation,
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> Warp:
    """A random change of shape as the settings say: angles are true in millimetres, whatever the voxels.

    Args:
        spacing: (z, y, x) in mm.
        shape: (D, H, W) of the changed scan.
    """
    angles = np.radians(rng.uniform(-1, 1, 3) * augmentation.rotation)
    scales = 1 + rng.uniform(-1, 1, 3) * augmentation.scaling
    changed = rng.random() < augmentation.probability
    flips = rng.random(3) < 0.5
    bent = rng.random() < 0.5
    matrix, knots = np.eye(3), None
    if changed:
        size = np.array(spacing)
        matrix = (rotation(angles) @ np.diag(scales)) * size[None, :] / size[:, None]
        if augmentation.elastic and bent:
            counts = [max(2, round(n * s / KNOT_MM) + 1) + 2 for n, s in zip(shape, spacing, strict=True)]
            level = augmentation.elastic / size
            knots = rng.standard_normal((3, *counts)) * level[:, None, None, None]
    flipped = [axis in augmentation.flip and bool(flips[axis]) for axis in range(3)]
    return Warp(matrix @ np.diag([-1.0 if one else 1.0 for one in flipped]), knots, flipped[2])


def _displacement(knots: NDArray[np.float64], shape: tuple[int, int, int]) -> Tensor:
    """Displacement (3, D, H, W) of control points: cubic B-splines, so that it is smooth."""
    z, y, x = (_spline(n, count) for n, count in zip(shape, knots.shape[1:], strict=True))
    coarse = torch.from_numpy(knots).float()
    return torch.einsum("aklm,zk,yl,xm->azyx", coarse, z, y, x)


def _spline(length: int, count: int) -> Tensor:
    """Values (length, count) of `count` cubic B-splines whose knots reach one beyond both ends of an axis."""
    at = torch.linspace(1, count - 2, length)[:, None]
    distance = (at - torch.arange(count)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def sample_image(image: Tensor, places: Tensor, background: Tensor) -> Tensor:
    """The image (C, D, H, W) at places (d, h, w, 3), linearly; beyond its edge it is background (C, 1, 1, 1)."""
    within = grid_sample((image - background)[None], places[None], padding_mode="zeros", align_corners=True)
    return within[0] + background


def sample_mask(mask: Tensor, places: Tensor) -> Tensor:
    """The boolean mask (D, H, W) at places (d, h, w, 3): where more than half of what is interpolated is true."""
    return grid_sample(mask[None, None].float(), places[None], padding_mode="zeros", align_corners=True)[0, 0] > 0.5


def sample_labels(labels: NDArray[np.uint8], places: Tensor) -> Tensor:
    """The labels (D, H, W) at places (N, 3), (N,) long: each label's indicator is interpolated, the largest wins."""
    present = [int(v) for v in np.flatnonzero(np.bincount(labels.ravel())) if v]
    if not present:
        return torch.zeros(len(places), dtype=torch.long)
    indicators = torch.from_numpy(np.stack([labels == v for v in present])).float()[None]
    shares = grid_sample(indicators, places[None, None, None], padding_mode="zeros", align_corners=True)[0, :, 0, 0]
    shares = torch.cat([1 - shares.sum(0, keepdim=True), shares])  # the rest is background
    return torch.tensor([0, *present])[shares.argmax(0)]
