"""Intersection over union and pixel accuracy, from counts that are summed over the whole data set.

As in the VOC and ADE20K benchmarks, a class's figure is computed over its pixels in all photographs; it is not a mean
over photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from Training.photographs.data import UNLABELLED


@dataclass(frozen=True)
class Figures:
    """Figures computed from the counts.

    Attributes:
        iou: IoU of each class; NaN if neither labels nor predictions contain the class.
        mean_iou: mean over the classes that occur.
        pixel_accuracy: share of the labelled pixels with the right class.
        absent: number of classes that do not occur and are not in the mean.
    """

    iou: tuple[float, ...]
    mean_iou: float
    pixel_accuracy: float
    absent: int


class Counts:
    """Confusion counts: rows are labels, columns are predictions."""

    def __init__(self, classes: int) -> None:
        self.table: NDArray[np.int64] = np.zeros((classes, classes), dtype=np.int64)

    def add(self, labels: NDArray[np.integer], found: NDArray[np.integer]) -> None:
        """Count a photograph's pixels; unlabelled ones (255) are left out.

        Args:
            labels, found: true and predicted classes, of equal shape.
        """
        known = labels != UNLABELLED
        classes = len(self.table)
        pairs = labels[known].astype(np.int64) * classes + found[known].astype(np.int64)
        self.table += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def figures(self) -> Figures:
        """The figures of all pixels counted so far."""
        right = np.diag(self.table).astype(np.float64)
        either = self.table.sum(axis=0) + self.table.sum(axis=1) - right
        iou = np.divide(right, either, out=np.full(len(right), np.nan), where=either > 0)
        there = np.isfinite(iou)
        total = self.table.sum()
        return Figures(
            tuple(float(value) for value in iou),
            float(iou[there].mean()) if there.any() else float("nan"),
            float(right.sum() / total) if total else float("nan"),
            int((~there).sum()),
        )
