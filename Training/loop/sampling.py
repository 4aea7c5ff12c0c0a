"""Segments: training crops, cut, turned and scaled in one interpolation.

Outside the case a segment's input is background, as in the prediction of whole volumes::

    +---------------------------+
    |   input of the network    |
    |   +-------------------+   |
    |   | output and labels |   |   margin <-> on each side
    |   +-------------------+   |
    +---------------------------+
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from AutofocusCore.teaching.case import Case, HasCase
from AutofocusCore.teaching.scans import swap_labels
from AutofocusCore.teaching.schedule import TrainingSchedule
from Training.configuration.augmentation import Augmentation
from Training.configuration.settings import Segments
from Training.loop.augmenting import MonaiTransforms, change_intensity, random_map


def choose_centre(case: Case, segments: Segments, rng: np.random.Generator) -> tuple[int, int, int]:
    """A voxel (z, y, x) to centre a segment on, chosen as `segments` says.

    The centre is then moved so that the segment's output exceeds the case as little as possible.
    """
    voxels = np.flatnonzero(_wanted(case, segments, rng))
    if voxels.size == 0:
        voxels = np.flatnonzero(case.roi) if case.roi.any() else np.arange(case.labels.size)
    drawn = np.unravel_index(int(voxels[rng.integers(voxels.size)]), case.labels.shape)
    centre = []
    for at, extent, size in zip(drawn, case.labels.shape, segments.size, strict=True):
        low, high = size // 2, extent - (size + 1) // 2
        centre.append(int(np.clip(at, low, high)) if low <= high else (extent - 1) // 2)
    return centre[0], centre[1], centre[2]


def _wanted(case: Case, segments: Segments, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The voxels that may be a segment's centre: of one class, or background in the ROI."""
    counts = np.bincount(case.labels.ravel())
    if segments.centres == "classes":
        shares = np.array(segments.shares or [1.0] * len(counts))[: len(counts)]
        shares = shares * (counts[: len(shares)] > 0)
        if shares.sum() > 0:
            label = int(rng.choice(len(shares), p=shares / shares.sum()))
            return case.labels == label if label else case.roi & (case.labels == 0)
    present = np.flatnonzero(counts[1:]) + 1
    if rng.random() < segments.foreground and present.size:
        return case.labels > 0 if segments.centres == "voxels" else case.labels == present[rng.integers(present.size)]
    return case.roi & (case.labels == 0)


def cut_segment(
    case: Case,
    centre: tuple[int, int, int],
    size: tuple[int, int, int],
    margin: int,
    matrix: NDArray[np.float64],
    *,
    label_margin: int = 0,
) -> tuple[Tensor, Tensor]:
    """Input (C, *size + 2 margin) and labels (*size + 2 label_margin) of a segment.

    The image is interpolated linearly; so is each label's indicator, and the largest wins. With the identity as
    `matrix` the segment is an exact copy.
    """
    image_size, label_size = ([n + 2 * m for n in size] for m in (margin, label_margin))
    start, box = _reach(case, centre, image_size, margin, matrix)
    near = (centre[0] - start[0], centre[1] - start[1], centre[2] - start[2])
    background = torch.tensor(case.background, dtype=torch.float32).reshape(-1, 1, 1, 1)
    image = (torch.from_numpy(case.image[(slice(None), *box)]) - background)[None]
    cut = _resampled(image, near, image_size, margin, matrix)[0] + background
    labels = case.labels[box]
    present = [0, *(int(v) for v in np.unique(labels) if v)]
    indicators = torch.from_numpy(np.stack([labels == v for v in present])).float()[None]
    indicators[:, 0] -= 1  # what lies outside the case counts as background
    chosen = _resampled(indicators, near, label_size, label_margin, matrix)[0]
    chosen[0] += 1
    return cut, torch.tensor(present)[chosen.argmax(0)]


def _reach(
    case: Case, centre: tuple[int, int, int], size: list[int], margin: int, matrix: NDArray[np.float64]
) -> tuple[list[int], tuple[slice, ...]]:
    """First voxel and box of the part of the case that a segment is interpolated from: all others need no copy."""
    half = np.array([margin + (n - 2 * margin + 1) // 2 for n in size], dtype=float)
    reach = np.ceil(np.abs(matrix) @ half).astype(int) + 2
    start, box = [], []
    for at, width, extent in zip(centre, reach, case.labels.shape, strict=True):
        low = int(np.clip(at - width, 0, extent - 1))
        start.append(low)
        box.append(slice(low, int(np.clip(at + width + 1, low + 1, extent))))
    return start, tuple(box)


def _resampled(
    volume: Tensor, centre: tuple[int, int, int], size: list[int], margin: int, matrix: NDArray[np.float64]
) -> Tensor:
    offsets = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) - margin - (n - 2 * margin) // 2 for n in size), indexing="ij"
    )
    step = torch.as_tensor(matrix)
    extents = volume.shape[2:]
    grid = []
    for axis in (2, 1, 0):  # grid_sample wants x, y, z, each from -1 to 1 between the centres of the outermost voxels
        at = centre[axis] + sum(step[axis, other] * offsets[other] for other in range(3))
        grid.append(2 * at / max(extents[axis] - 1, 1) - 1)
    points = torch.stack(grid, dim=-1).to(volume.dtype)[None]
    return grid_sample(volume, points, mode="bilinear", padding_mode="zeros", align_corners=True)


@dataclass(frozen=True)
class CropSampler:
    """Draws random training crops (segments) from cases.

    Args:
        segments, augmentation: the settings.
        margin: the network's margin in voxels.
        monai: transforms built from the settings.
    """

    segments: Segments
    augmentation: Augmentation
    margin: int
    monai: MonaiTransforms | None = None

    @classmethod
    def of(cls, segments: Segments, augmentation: Augmentation, margin: int) -> CropSampler:
        """The sampler for these settings; raises SettingError for arguments that MONAI refuses."""
        return cls(segments, augmentation, margin, MonaiTransforms(augmentation.monai) if augmentation.monai else None)

    def segment(self, case: Case, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Input (C, *size + 2 margin) and labels (*size). The same state of `rng` draws the same segment."""
        centre = choose_centre(case, self.segments, rng)
        matrix, mirrored = random_map(self.augmentation, rng)
        wide = self.monai is not None and self.monai.spatial
        border = self.margin if wide else 0
        image, labels = cut_segment(case, centre, self.segments.size, self.margin, matrix, label_margin=border)
        if mirrored:
            labels = swap_labels(labels, self.augmentation.swap)
        image = change_intensity(image, self.augmentation, rng)
        if self.monai is not None:
            image, labels = self.monai(image, labels, rng)
        if border:
            labels = labels[tuple(slice(border, border + n) for n in self.segments.size)]
        return image, labels


def draw_batch(
    cases: Sequence[HasCase], sampler: CropSampler, schedule: TrainingSchedule, numbers: Sequence[int]
) -> tuple[Tensor, Tensor, list[str]]:
    """Inputs (B, C, ...), labels (B, ...) and case names of segments, by their numbers from the run's start.

    Each segment depends only on its number, so parts of a batch can be drawn in any process and order.
    """
    images, labels, names = [], [], []
    for number in numbers:
        rng = schedule.generator_of(number)
        case = cases[schedule.case_of(number, rng)].case
        image, label = sampler.segment(case, rng)
        images.append(image)
        labels.append(label)
        names.append(case.name)
    return torch.stack(images), torch.stack(labels), names
