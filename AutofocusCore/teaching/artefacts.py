"""Random changes of a whole scan: contrast, detail, noise, streaks, and a smaller field of view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from AutofocusCore.teaching.augmentation import Augmentation
from AutofocusCore.teaching.smoothing import smooth

SHARE_COARSER = 1 / 3
SMALLEST_CUT, LARGEST_CUT = 0.1, 0.45
"""Range of the share of a scan's length that can be cut off."""
WIDEST_FIELD, NARROWEST_FIELD = 0.95, 0.6
"""Radius of a field of view that is cut off at the sides, as shares of half the patient's width."""
SHARE_NEAR = 0.75
"""Share of the parts that begin at a wanted slice."""
STREAK_MM = 150.0
"""Distance over which streaks fade."""


def cut_off(mask: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """The mask (D, H, W) of a scan that ends early, or, in a third of these cases, is cut off at its sides."""
    cut, sides, share, top = rng.random() < augmentation.cut, rng.random() < 1 / 3, rng.random(), rng.random() < 0.5
    centre = rng.uniform(-0.1, 0.1, 2)
    if not cut:
        return mask
    found = mask.nonzero()
    low, high = found.amin(0).tolist(), (found.amax(0) + 1).tolist()
    result = mask.clone()
    if not sides:
        away = round((SMALLEST_CUT + share * (LARGEST_CUT - SMALLEST_CUT)) * (high[0] - low[0]))
        if top:
            result[high[0] - away :] = False
        else:
            result[: low[0] + away] = False
        return result
    width = high[2] - low[2]
    radius = (NARROWEST_FIELD + share * (WIDEST_FIELD - NARROWEST_FIELD)) * width / 2
    y, x = (torch.arange(n, dtype=torch.float32) for n in mask.shape[1:])
    y = y - (low[1] + high[1] - 1) / 2 - float(centre[0]) * width
    x = x - (low[2] + high[2] - 1) / 2 - float(centre[1]) * width
    return result & (y[:, None] ** 2 + x[None] ** 2 < radius**2)


def part_of(mask: Tensor, most: int, rng: np.random.Generator, near: Sequence[int] = ()) -> Tensor:
    """The mask (D, H, W) cut to neighbouring slices with at most `most` active voxels, one slice at least; 0: uncut.

    The part grows from a random slice; with slices to be `near`, from one of these in most cases.
    """
    place = rng.random()
    if near and rng.random() < SHARE_NEAR:
        place = near[int(rng.integers(len(near)))] / mask.shape[0]
    counts = mask.sum((1, 2)).tolist()
    if not most or sum(counts) <= most:
        return mask
    length = len(counts)
    first = last = min(int(place * length), length - 1)
    total = counts[first]
    grown = True
    while grown:  # to both sides in turn, as long as there is room
        grown = False
        for step in (first - 1, last + 1):
            if 0 <= step < length and total + counts[step] <= most:
                total += counts[step]
                first, last, grown = min(first, step), max(last, step), True
    result = torch.zeros_like(mask)
    result[first : last + 1] = mask[first : last + 1]
    return result


def change_values(
    image: Tensor,
    mask: Tensor,
    augmentation: Augmentation,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
) -> Tensor:
    """The image (C, D, H, W) with other contrast, detail and noise, and perhaps with streaks.

    Args:
        image: normalised.
        mask: (D, H, W), where the patient is: streaks begin there.
        spacing: (z, y, x) in mm.
    """
    if rng.random() < SHARE_COARSER and augmentation.coarser > 1:
        image = _coarser(image, rng.uniform(1, augmentation.coarser, 3))
    elif augmentation.blur and rng.random() < 0.5:
        image = smooth(image, augmentation.blur * rng.uniform(0.1, 1, 3))
    factors, offsets, exponents = rng.standard_normal((3, image.shape[0], 1, 1, 1)).astype(np.float32)
    if augmentation.gamma:
        image = image.clamp(0, 1) ** torch.from_numpy(np.exp(augmentation.gamma * exponents))
    image = image * torch.from_numpy(np.exp(augmentation.contrast * factors))
    image = image + augmentation.brightness * torch.from_numpy(offsets)
    if rng.random() < augmentation.streaks and bool(mask.any()):
        image = image + _streaks(image, mask, spacing, rng)
    if augmentation.noise:
        level = augmentation.noise * float(rng.random())
        image = image + level * torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return image


def _coarser(image: Tensor, factors: NDArray[np.float64]) -> Tensor:
    """The image with the detail of voxels that are larger by these factors along z, y and x."""
    shape = tuple(image.shape[1:])
    size = [max(1, round(n / f)) for n, f in zip(shape, factors, strict=True)]
    small = interpolate(image[None], size=size, mode="trilinear", align_corners=False)
    return interpolate(small, size=shape, mode="trilinear", align_corners=False)[0]


def _streaks(image: Tensor, mask: Tensor, spacing: tuple[float, float, float], rng: np.random.Generator) -> Tensor:
    """The metal streaks to add to an image (C, D, H, W): rays from one bright point, in a few slices."""
    bright = float(np.quantile(image[0][mask].numpy(), 0.99))  # metal is in teeth and bones
    places = ((image[0] >= bright) & mask).nonzero()
    z0, y0, x0 = places[int(rng.integers(len(places)))].tolist()
    half = max(1, round(rng.uniform(2, 10) / spacing[0]))  # slices
    first, last = max(0, z0 - half), min(image.shape[1], z0 + half + 1)
    y = (torch.arange(image.shape[2], dtype=torch.float32) - y0) * spacing[1]
    x = (torch.arange(image.shape[3], dtype=torch.float32) - x0) * spacing[2]
    distance = (y[:, None] ** 2 + x[None] ** 2).sqrt()
    angle = torch.atan2(y[:, None], x[None].expand(len(y), -1))
    rays = torch.from_numpy(rng.standard_normal(180).astype(np.float32))
    rays = rays.roll(90) + rays  # a ray goes both ways
    ray = rays[((angle + np.pi) / (2 * np.pi) * 180).long().clamp(max=179)]
    fading = torch.exp(-distance / STREAK_MM) * (distance > 0)
    level = rng.uniform(0.1, 0.4)
    height = 1 - ((torch.arange(first, last, dtype=torch.float32) - z0).abs() / (half + 1))
    result = torch.zeros_like(image)
    result[:, first:last] = level * height[None, :, None, None] * (ray * fading)[None, None]
    return result
