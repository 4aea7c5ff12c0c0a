"""Bring an image onto another grid, in millimetres, without interpolation where none is needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.images.geometry import Grid

Floats = npt.NDArray[np.float32]

ON_LATTICE = 0.01
"""Distance between voxels of two grids, in voxels, below which no interpolation is needed."""
SHRINKS_MUCH = 1.5
"""From this ratio of spacings on, an image is smoothed before it is sampled more coarsely.

Below it linear interpolation blurs enough; more would cost small structures their edge."""
VARIANCE_OF_FWHM = 1 / (8 * np.log(2))
"""Variance of a Gaussian whose full width at half maximum is 1."""


def sample(image: sitk.Image, grid: Grid, outside: float, *, nearest: bool = False, smooth: bool = True) -> Floats:
    """Values of a scalar image at the voxels of a grid.

    Args:
        image: any scalar 3-D image, of any direction.
        grid: where values are wanted.
        outside: value of voxels outside the image.
        nearest: take the nearest voxel (masks) instead of interpolating linearly.
        smooth: blur first along axes on which the grid is much coarser than the image, against aliasing.

    Returns:
        float32 array (z, y, x). Where the voxels of both coincide (flipped, permuted or shifted by whole voxels) the
        values are the image's own, uninterpolated.
    """
    source = Grid.of(image)
    steps = np.linalg.inv(source.matrix) @ grid.matrix  # [axis of the image, axis of the grid], in voxels
    start = source.to_index(grid.origin)
    match = _on_lattice(steps, start, grid)
    if match is not None:
        return _copy(image, grid, *match, outside)
    if not nearest:
        image = sitk.Cast(image, sitk.sitkFloat32)
        if smooth:
            image = _smoothed(image, np.abs(steps).max(axis=1))
    sampled = sitk.Resample(
        image,
        list(grid.size),
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        grid.origin,
        grid.spacing,
        grid.direction,
        outside,
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(sampled)


def inside(grid: Grid, image: Grid) -> npt.NDArray[np.bool_]:
    """Which voxels (z, y, x) of the grid lie within the image's field of view, its outer voxels' faces included."""
    steps = np.linalg.inv(image.matrix) @ grid.matrix
    start = image.to_index(grid.origin)
    result = np.ones(grid.shape, dtype=bool)
    x, y, z = (np.arange(n, dtype=np.float64) for n in grid.size)
    for axis in range(3):
        row = steps[axis]
        in_plane = start[axis] + row[1] * y[:, None] + row[0] * x[None, :]
        low, high = -0.5 - 1e-6, image.size[axis] - 0.5 + 1e-6
        for k in range(grid.size[2]):
            at = in_plane + row[2] * z[k]
            result[k] &= (at >= low) & (at <= high)
    return result


def to_image(array: npt.NDArray[np.generic], grid: Grid) -> sitk.Image:
    """An image of an array (z, y, x) on the grid."""
    image = sitk.GetImageFromArray(array)
    grid.stamp(image)
    return image


def to_vector_image(array: Floats, grid: Grid) -> sitk.Image:
    """An image of several values per voxel, of an array (z, y, x, values) on the grid."""
    image = sitk.GetImageFromArray(array, isVector=True)
    grid.stamp(image)
    return image


def _on_lattice(
    steps: npt.NDArray[np.float64], start: npt.NDArray[np.float64], grid: Grid
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Whole-number (steps, start) when the voxels of the grid fall on those of the image, or of its continuation."""
    whole, first = np.round(steps).astype(np.int64), np.round(start).astype(np.int64)
    if not np.array_equal(np.abs(whole).sum(axis=0), [1, 1, 1]) or not np.array_equal(
        np.abs(whole).sum(axis=1), [1, 1, 1]
    ):
        return None
    last = np.asarray(grid.size) - 1
    drift = np.abs(start - first) + np.abs(steps - whole) @ last
    return (whole, first) if drift.max() <= ON_LATTICE else None


def _copy(
    image: sitk.Image, grid: Grid, steps: npt.NDArray[np.int64], start: npt.NDArray[np.int64], outside: float
) -> Floats:
    """Flip, permute, crop and pad: `grid` voxel t takes the image's voxel steps @ t + start."""
    source = sitk.GetArrayViewFromImage(image).transpose(2, 1, 0)  # (x, y, z)
    result = np.full(grid.size, outside, dtype=np.float32)
    taken: list[slice] = [slice(None)] * 3  # of the image, in the image's order of axes
    placed: list[slice] = [slice(None)] * 3  # in the grid
    order = [0, 0, 0]
    for axis in range(3):
        own = int(np.argmax(np.abs(steps[:, axis])))  # the image's axis that this axis of the grid runs along
        sign, begin, n, m = int(steps[own, axis]), int(start[own]), grid.size[axis], source.shape[own]
        low, high = (-begin, m - begin) if sign > 0 else (begin - m + 1, begin + 1)
        low, high = max(0, low), min(n, high)
        if low >= high:
            return np.ascontiguousarray(result.transpose(2, 1, 0))
        ends = sorted((begin + sign * low, begin + sign * (high - 1)))
        whole = slice(ends[0], ends[1] + 1)
        taken[own], placed[axis], order[axis] = whole, slice(low, high), own
    part = source[tuple(taken)].transpose(order)
    flips = tuple(slice(None, None, -1) if steps[order[axis], axis] < 0 else slice(None) for axis in range(3))
    result[tuple(placed)] = part[flips]
    return np.ascontiguousarray(result.transpose(2, 1, 0))


def _smoothed(image: sitk.Image, ratio: npt.NDArray[np.float64]) -> sitk.Image:
    """Blur to the resolution of the coarser grid: widths add in squares (Cardoso et al. 2015, scale factor PSF)."""
    variance = np.where(ratio > SHRINKS_MUCH, (ratio**2 - 1) * VARIANCE_OF_FWHM, 0.0)
    if not variance.any():
        return image
    width = int(2 * np.ceil(4 * np.sqrt(variance.max())) + 1)
    return sitk.DiscreteGaussian(image, variance.tolist(), max(width, 3), 0.01, False)
