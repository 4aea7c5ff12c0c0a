"""A region of interest: a mask image, or a box in millimetres with axes of its own."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.body import bounding_region
from AutofocusCore.images.checks import check_kind, name_of
from AutofocusCore.images.geometry import Floats, Grid, Region
from AutofocusCore.images.resampling import sample

Mask = npt.NDArray[np.bool_]

AROUND = 2
"""Voxels kept round the region on the model's grid, so that its border is interpolated from both sides."""


@dataclass(frozen=True)
class RoiBox:
    """A box in the patient.

    Args:
        center: its middle in mm, LPS (SimpleITK's axes, not Slicer's RAS).
        size: its edges in mm along its own axes.
        axes: nine direction cosines, row by row, as in SimpleITK; the columns are the box's axes.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    axes: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        try:
            parts = [np.asarray([float(number) for number in part]) for part in (self.center, self.size, self.axes)]
        except (TypeError, ValueError):
            parts = []
        if [len(part) for part in parts] != [3, 3, 9] or not np.all(np.isfinite(np.concatenate(parts))):
            raise InputError(
                "The region of interest is not a box of three coordinates, three sizes and nine direction cosines",
                "give finite numbers in millimetres",
            )
        if min(self.size) <= 0:
            shown = " × ".join(f"{s:g}" for s in self.size)
            raise InputError(f"The region of interest is {shown} mm large", "give a box with a volume")
        rotation = np.asarray(self.axes, dtype=np.float64).reshape(3, 3)
        if np.max(np.abs(rotation.T @ rotation - np.eye(3))) > 1e-3:
            raise InputError("The axes of the region of interest are not perpendicular unit vectors", "correct them")

    @classmethod
    def between(cls, first: tuple[float, float, float], second: tuple[float, float, float]) -> RoiBox:
        """The box along the patient's axes between two opposite corners, in mm, LPS."""
        low, high = np.minimum(first, second), np.maximum(first, second)
        x, y, z = ((low + high) / 2).tolist()
        a, b, c = (high - low).tolist()
        return cls((x, y, z), (a, b, c))

    def corners(self) -> Floats:
        """Its eight corners in mm."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        half = signs * np.asarray(self.size) / 2
        return half @ np.asarray(self.axes).reshape(3, 3).T + np.asarray(self.center)

    def mask_on(self, grid: Grid) -> Mask:
        """Which voxels (z, y, x) of a grid have their centres in the box."""
        rotation = np.asarray(self.axes, dtype=np.float64).reshape(3, 3)
        steps = rotation.T @ grid.matrix
        start = rotation.T @ (np.asarray(grid.origin) - np.asarray(self.center))
        x, y, z = (np.arange(n, dtype=np.float64) for n in grid.size)
        result = np.ones(grid.shape, dtype=bool)
        for axis in range(3):
            in_plane = start[axis] + steps[axis, 1] * y[:, None] + steps[axis, 0] * x[None, :]
            half = self.size[axis] / 2 + 1e-6
            for k in range(grid.size[2]):
                result[k] &= np.abs(in_plane + steps[axis, 2] * z[k]) <= half
        return result


Roi = sitk.Image | RoiBox


def check_roi(roi: object) -> None:
    """Refuse what is neither a mask image, nor a box, nor None.

    Raises:
        InputError: anything else.
    """
    if roi is not None and not isinstance(roi, (sitk.Image, RoiBox)):
        raise InputError(
            f"The region of interest is {reprlib.repr(roi)}", "give a SimpleITK image that marks it, or a RoiBox"
        )


def roi_mask(roi: Roi, grid: Grid) -> Mask:
    """Which voxels (z, y, x) of a grid belong to the region of interest."""
    if isinstance(roi, RoiBox):
        return roi.mask_on(grid)
    return sample(roi, grid, 0.0, nearest=True) != 0


def roi_region(roi: Roi, grid: Grid) -> Region:
    """The part of the model's grid that is predicted for the region of interest, with a small margin.

    Raises:
        InputError: the region is empty, or does not touch the grid.
    """
    if isinstance(roi, RoiBox):
        corners = roi.corners()
    else:
        name = name_of(roi, "The region of interest")
        check_kind(roi, name)
        own = Grid.of(roi)
        marked = np.asarray(sitk.GetArrayViewFromImage(roi)) != 0
        if not marked.any():
            raise InputError(f"{name} is empty: it marks no voxel", "mark the part to segment, or leave the region out")
        corners = own.crop(bounding_region(marked, (0, 0, 0))).corners()
    index = grid.to_index(corners)[:, ::-1]  # (z, y, x)
    ends = []
    for axis in range(3):
        low = max(0, int(np.floor(index[:, axis].min())) - AROUND)
        high = min(grid.shape[axis], int(np.ceil(index[:, axis].max())) + AROUND + 1)
        if low >= high or index[:, axis].max() < -0.5 or index[:, axis].min() > grid.shape[axis] - 0.5:
            raise InputError(
                "The region of interest does not touch the image",
                "check that it belongs to this image, and that it is given in millimetres",
            )
        ends.append((low, high))
    return (ends[0], ends[1], ends[2])


def common_region(region: Region, wanted: Region) -> Region:
    """The voxels that two regions share.

    Raises:
        InputError: there are none.
    """
    ends = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(region, wanted, strict=True)]
    if any(start >= stop for start, stop in ends):
        raise InputError("The region of interest lies outside the body", "put it where the structures are")
    return (ends[0], ends[1], ends[2])
