"""A case's labels on the model's grid, sampled once: at a training's start, when the case is checked."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.images import Grid
from AutofocusCore.images.label_sampling import sample_labels

FASTEST = 1
"""Level of compression. Label maps shrink about a hundredfold even so."""


@dataclass(frozen=True)
class SampledLabels:
    """Labels on the model's grid, compressed, so that those of all cases can be kept until a case is loaded.

    Args:
        grid: the model's grid for the whole scan.
        packed: its voxels (D, H, W) uint8, compressed by zlib.
        original: label values that occur in the label map that was sampled, without 0.
    """

    grid: Grid
    packed: bytes
    original: tuple[int, ...]

    @classmethod
    def of(cls, labels: sitk.Image, grid: Grid) -> SampledLabels:
        """Sample a label map on the model's grid."""
        values = np.unique(sitk.GetArrayViewFromImage(labels))
        packed = zlib.compress(sample_labels(labels, grid).tobytes(), FASTEST)
        return cls(grid, packed, tuple(int(value) for value in values if value))

    def whole(self) -> NDArray[np.uint8]:
        """The labels (D, H, W) on the whole grid."""
        return np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8).reshape(self.grid.shape).copy()

    def within(self, part: Grid) -> NDArray[np.uint8]:
        """The labels (d, h, w) on a part of the grid, as `Grid.crop` gives one."""
        x, y, z = (int(at) for at in np.rint(self.grid.to_index(part.origin)))
        d, h, w = part.shape
        return np.ascontiguousarray(self.whole()[z : z + d, y : y + h, x : x + w])

    def lost(self, there: NDArray[np.integer]) -> tuple[int, ...]:
        """The label values of the original label map that do not occur in `there`, its labels on another grid."""
        return tuple(value for value in self.original if value not in np.unique(there))
