"""Segments: training crops, cut, turned and scaled in one interpolation.

What a segment's input reaches beyond the case is background, as it is when a whole volume is predicted::

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
from typing import Protocol

import numpy as np
import torch
from monai.networks.layers import GaussianFilter
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from .config import Augmentation, Segments


@dataclass(frozen=True)
class Case:
    """A case on the model's grid, ready for the network.

    Args:
        name: shown in messages.
        image: (C, D, H, W) float32, normalised.
        labels: (D, H, W) uint8.
        roi: (D, H, W) bool; background segments are centred in it.
        background: normalised value of what lies outside the image.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    roi: NDArray[np.bool_]
    background: float


def choose_centre(case: Case, segments: Segments, rng: np.random.Generator) -> tuple[int, int, int]:
    """A voxel (z, y, x) to centre a segment on: labelled with probability `foreground`, else background in the ROI.

    Each structure of the case is as likely as another, however small it is.
    The centre is then moved just so far that the segment does not stick out of the case more than it must.
    """
    present = np.flatnonzero(np.bincount(case.labels.ravel())[1:]) + 1
    if rng.random() < segments.foreground and present.size:
        wanted = case.labels == present[rng.integers(present.size)]
    else:
        wanted = case.roi & (case.labels == 0)
    voxels = np.flatnonzero(wanted)
    if voxels.size == 0:
        voxels = np.flatnonzero(case.roi) if case.roi.any() else np.arange(case.labels.size)
    drawn = np.unravel_index(int(voxels[rng.integers(voxels.size)]), case.labels.shape)
    centre = []
    for at, extent, size in zip(drawn, case.labels.shape, segments.size, strict=True):
        low, high = size // 2, extent - (size + 1) // 2
        centre.append(int(np.clip(at, low, high)) if low <= high else (extent - 1) // 2)
    return centre[0], centre[1], centre[2]


def random_map(augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float64]:
    """A 3×3 matrix (z, y, x) from offsets in the segment to offsets in the case: rotation, scaling, flips."""
    matrix = np.eye(3)
    angles = np.radians(rng.uniform(-1, 1, 3) * augmentation.rotation)
    scales = 1 + rng.uniform(-1, 1, 3) * augmentation.scaling
    changed = rng.random() < augmentation.probability
    flips = rng.random(3) < 0.5
    if changed:
        for axis, angle in enumerate(angles):
            turn = np.eye(3)
            i, j = (axis + 1) % 3, (axis + 2) % 3
            turn[i, i] = turn[j, j] = np.cos(angle)
            turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
            matrix = turn @ matrix
        matrix = matrix @ np.diag(scales)
    return matrix @ np.diag([-1.0 if axis in augmentation.flip and flips[axis] else 1.0 for axis in range(3)])


def cut_segment(
    case: Case, centre: tuple[int, int, int], size: tuple[int, int, int], margin: int, matrix: NDArray[np.float64]
) -> tuple[Tensor, Tensor]:
    """Input (C, *size + 2 margin) and labels (*size) of a segment.

    The image is interpolated linearly; so is each label's indicator, and the largest wins. With the identity as
    `matrix` the segment is an exact copy.
    """
    image_size = [n + 2 * margin for n in size]
    image = torch.from_numpy(case.image)[None] - case.background
    cut = _resampled(image, centre, image_size, margin, matrix)[0] + case.background
    present = [int(v) for v in np.unique(case.labels)]
    indicators = torch.from_numpy(np.stack([case.labels == v for v in present])).float()[None]
    indicators[:, 0] -= 1  # what lies outside the case counts as the first label present, the background
    chosen = _resampled(indicators, centre, list(size), 0, matrix)[0]
    chosen[0] += 1
    return cut, torch.tensor(present)[chosen.argmax(0)]


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


def smooth(image: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The image (C, D, H, W) smoothed by a Gaussian; `sigmas` along z, y, x in voxels. Its border is continued."""
    reach = [round(4 * sigma) + 1 for sigma in sigmas]
    border = [width for width in reversed(reach) for _ in range(2)]
    padded = pad(image[None], border, mode="replicate")
    smoothed = GaussianFilter(3, sigma=list(sigmas))(padded)[0]
    return smoothed[(slice(None), *(slice(width, -width) for width in reach))]


def change_intensity(image: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Smoothed or not; contrast and brightness of each channel changed at random; noise added."""
    if augmentation.blur and rng.random() < 0.5:
        image = smooth(image, augmentation.blur * rng.uniform(0.1, 1, 3))
    factors, offsets = rng.standard_normal((2, image.shape[0], 1, 1, 1)).astype(np.float32)
    image = image * torch.from_numpy(np.exp(augmentation.contrast * factors))
    image = image + augmentation.brightness * torch.from_numpy(offsets)
    if augmentation.noise:
        level = augmentation.noise * float(rng.random())
        image = image + level * torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return image


class HasCase(Protocol):
    """Anything that gives a case when it is asked to."""

    @property
    def case(self) -> Case:
        """The case."""


def draw_batch(
    cases: Sequence[HasCase],
    segments: Segments,
    augmentation: Augmentation,
    margin: int,
    seeds: Sequence[Sequence[int]],
) -> tuple[Tensor, Tensor, list[str]]:
    """Inputs (B, C, ...), labels (B, ...) and the cases' names, one segment for each of the B seeds.

    A segment follows from its own seed alone, so that a batch can be drawn in parts, by whom and whenever one likes.
    """
    images, labels, names = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(list(seed))
        case = cases[int(rng.integers(len(cases)))].case
        centre = choose_centre(case, segments, rng)
        image, label = cut_segment(case, centre, segments.size, margin, random_map(augmentation, rng))
        images.append(change_intensity(image, augmentation, rng))
        labels.append(label)
        names.append(case.name)
    return torch.stack(images), torch.stack(labels), names
