"""Labels on the image's own grid from probabilities on the model's grid."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt

from AutofocusCore.images.geometry import Grid, Region
from AutofocusCore.images.resampling import sample, to_image

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

SLAB_VOXELS = 8_000_000
"""Voxels of the image that are resampled at a time: 32 MB for each array."""


def count_steps(classes: int, grid: Grid, target: Grid) -> int:
    """Number of calls of `step` by `label_image`."""
    box = touched(grid, target)
    return classes * len(_slabs(target.crop(box))) if box is not None else 0


def label_image(
    probabilities: Floats,
    grid: Grid,
    target: Grid,
    *,
    keep: bool = False,
    step: Callable[[], None] | None = None,
) -> tuple[Labels, Floats | None]:
    """The most probable class of each voxel of the image, from the probabilities, resampled one class at a time.

    Memory in addition to the input, for any number of classes: one byte and one float for each voxel of the part of the
    image that the grid touches, plus a slab. Outside the grid everything is background.

    Args:
        probabilities: (classes, D, H, W) on the grid; they sum to one.
        grid: their grid.
        target: the image's grid.
        keep: whether to return the resampled probabilities too, (D', H', W', classes) on the target.
        step: called after each slab of each class; an error that it raises ends the work.

    Returns:
        Labels (D', H', W') on the target, and the probabilities or None.
    """
    labels = np.zeros(target.shape, dtype=np.uint8)
    kept = None
    if keep:
        kept = np.zeros((*target.shape, len(probabilities)), dtype=np.float32)
        kept[..., 0] = 1
    box = touched(grid, target)
    if box is None:
        return labels, kept
    inner = target.crop(box)
    where = tuple(slice(start, stop) for start, stop in box)
    part, best = labels[where], np.empty(inner.shape, dtype=np.float32)
    for index, probability in enumerate(probabilities):
        image = to_image(probability, grid)
        outside = 1.0 if index == 0 else 0.0
        for start, stop in _slabs(inner):
            slab = inner.crop(((start, stop), (0, inner.shape[1]), (0, inner.shape[2])))
            values = sample(image, slab, outside, smooth=False)
            if kept is not None:
                kept[where][start:stop, ..., index] = values
            if index == 0:
                best[start:stop] = values
            else:
                better = values > best[start:stop]
                best[start:stop][better] = values[better]
                part[start:stop][better] = index
            if step is not None:
                step()
    return labels, kept


def touched(grid: Grid, target: Grid) -> Region | None:
    """The part of the target that can lie within the grid, or None."""
    ends = [(-0.5, n - 0.5) for n in grid.size]
    index = target.to_index(grid.to_mm(np.array(list(product(*ends)))))[:, ::-1]  # (z, y, x)
    box = []
    for axis in range(3):
        start = max(0, int(np.floor(index[:, axis].min())))
        stop = min(target.shape[axis], int(np.ceil(index[:, axis].max())) + 1)
        if start >= stop:
            return None
        box.append((start, stop))
    return (box[0], box[1], box[2])


def _slabs(grid: Grid) -> list[tuple[int, int]]:
    planes, height, width = grid.shape
    thick = max(1, SLAB_VOXELS // (height * width))
    return [(start, min(start + thick, planes)) for start in range(0, planes, thick)]
