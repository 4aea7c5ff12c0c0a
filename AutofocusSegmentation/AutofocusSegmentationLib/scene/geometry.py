"""Input for the engine from the scene: voxels with their geometry, and the region of interest.

All of it is in the *local* coordinates of one reference volume, that is, without its parent transform. The result is
put under that transform again, and so lies on the anatomy whatever the transform is. Only for the main thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid
from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS, as_array, is_rigid, local_to_local

HARDEN = "harden the transform of one of them: right-click it in the module Data, then Harden transform"


@dataclass(frozen=True)
class VolumeSnapshot:
    """A volume as it is now.

    Attributes:
        array: voxels (z, y, x); the node's own memory, which it keeps alive, not a copy. To be read only.
        index_to_lps: 4 × 4, from voxel indices (i, j, k, 1) to mm (x, y, z, 1), LPS; array index is [k, j, i].
        name: what the user calls it.
    """

    array: NDArray[Any]
    index_to_lps: NDArray[np.float64]
    name: str

    @property
    def grid(self) -> Grid:
        """Size, spacing, origin and direction."""
        return Grid.from_index_to_lps(self.array.shape, self.index_to_lps)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along i, j and k."""
        x, y, z = np.linalg.norm(self.index_to_lps[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def size(self) -> tuple[int, int, int]:
        """Number of voxels along i, j and k."""
        z, y, x = self.array.shape
        return x, y, z


def snapshot(node: Any, reference: Any = None) -> VolumeSnapshot:
    """The voxels of a scalar volume node and their geometry, without a copy.

    Args:
        node: a scalar volume or a labelmap.
        reference: the node in whose local coordinates the place is wanted; default: its own.

    Raises:
        InputError: there is no image, it is in colour or of several time points, or its place relative to the reference
            cannot be written in a file.
    """
    image = _scalar_image(node)
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    index_to_ras = as_array(matrix)
    first = np.array([*image.GetExtent()[::2], 1.0])  # the array begins there
    index_to_ras[:, 3] = index_to_ras @ first
    if abs(np.linalg.det(index_to_ras[:3, :3])) < 1e-12:
        raise InputError(f"{node.GetName()} has voxels without a volume", "correct its spacing in the module Volumes")
    if reference is not None and reference is not node:
        relative = local_to_local(node, reference)
        if not is_rigid(relative):
            raise InputError(
                f"The transforms of {node.GetName()} and {reference.GetName()} differ by a scale or shear", HARDEN
            )
        index_to_ras = relative @ index_to_ras
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return VolumeSnapshot(array, RAS_TO_LPS @ index_to_ras, node.GetName())


def roi_box(roi_node: Any, reference: Any) -> list[float]:
    """A markups ROI as the engine's settings want it: 15 numbers, in mm and LPS, in the reference's local coordinates.

    Returns:
        Centre (3), edge lengths (3), and row by row the matrix whose columns are the box's axes (9).

    Raises:
        InputError: it is empty, misses the volume, or lies under a transform that leaves no box of it.
    """
    name = roi_node.GetName()
    edges = roi_node.GetSize()
    if min(edges) <= 0 or roi_node.GetNumberOfControlPoints() == 0:
        raise InputError(f"The region {name} is empty", "draw its box in the views, or choose no region")
    try:
        relative = local_to_local(roi_node, reference)
    except InputError as error:
        raise InputError(error.cause, f"put {name} under the transform of {reference.GetName()}") from None
    box = relative @ as_array(roi_node.GetObjectToNodeMatrix())
    lengths = np.linalg.norm(box[:3, :3], axis=0)
    axes = box[:3, :3] / np.where(lengths > 0, lengths, 1.0)
    if not is_rigid(axes):
        raise InputError(
            f"The transforms leave {name} without right angles", f"put it under the transform of {reference.GetName()}"
        )
    size = np.asarray(edges) * lengths
    centre = box[:3, 3]
    _check_touching(centre, size, axes, roi_node, reference)
    _check_voxels(centre, size, axes, roi_node, reference)
    to_lps = RAS_TO_LPS[:3, :3]
    return [*(to_lps @ centre).tolist(), *size.tolist(), *(to_lps @ axes).ravel().tolist()]


def _check_touching(
    centre: NDArray[np.float64], size: NDArray[np.float64], axes: NDArray[np.float64], roi_node: Any, reference: Any
) -> None:
    """Refuse a box that a face of its own, or of the volume, separates from the volume."""
    volume = snapshot(reference)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    index_to_ras = RAS_TO_LPS @ volume.index_to_lps
    middle = (np.asarray(volume.size) - 1) / 2
    corners = (middle + signs * volume.size) @ index_to_ras[:3, :3].T + index_to_ras[:3, 3]
    box_corners = centre + (signs * size) @ axes.T
    in_volume = np.linalg.solve(index_to_ras[:3, :3], (box_corners - index_to_ras[:3, 3]).T).T - middle
    in_box = (corners - centre) @ axes
    for points, half in ((in_volume, np.asarray(volume.size) / 2), (in_box, size / 2)):
        if (points.min(0) > half).any() or (points.max(0) < -half).any():
            raise InputError(
                f"The region {roi_node.GetName()} does not touch {reference.GetName()}",
                "move it there, or choose no region",
            )


def _check_voxels(
    centre: NDArray[np.float64], size: NDArray[np.float64], axes: NDArray[np.float64], roi_node: Any, reference: Any
) -> None:
    """Refuse a box that is thinner than a voxel, or in which no voxel has its middle: its result would be empty."""
    volume = snapshot(reference)
    edges = " × ".join(f"{edge:.3g}" for edge in size)
    larger = "make it larger, or choose no region"
    if size.min() < 0.99 * min(volume.spacing):
        raise InputError(
            f"The region {roi_node.GetName()}, {edges} mm, is smaller than a voxel of {reference.GetName()}", larger
        )
    index_to_ras = RAS_TO_LPS @ volume.index_to_lps
    if size.min() > np.linalg.norm(volume.spacing):
        return  # such a box always holds a voxel centre
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    corners = (centre + (signs * size) @ axes.T - index_to_ras[:3, 3]).T
    indices = np.linalg.solve(index_to_ras[:3, :3], corners).T
    first = np.maximum(np.ceil(indices.min(0) - 1e-6), 0).astype(int)
    last = np.minimum(np.floor(indices.max(0) + 1e-6), np.asarray(volume.size) - 1).astype(int)
    ranges = [np.arange(start, stop + 1) for start, stop in zip(first, last, strict=True)]
    points = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3) @ index_to_ras[:3, :3].T
    inside = np.abs((points + index_to_ras[:3, 3] - centre) @ axes) <= size / 2 + 1e-6
    if not inside.all(axis=1).any():
        raise InputError(
            f"The region {roi_node.GetName()}, {edges} mm, holds no voxel of {reference.GetName()}", larger
        )


def _scalar_image(node: Any) -> Any:
    """The image data of a node that can be segmented; a sentence for the others."""
    if node is None:
        raise InputError("No volume is chosen", "choose one")
    name = node.GetName()
    if node.IsA("vtkMRMLSequenceNode"):
        raise InputError(f"{name} is a sequence of volumes", "choose one frame of it, or segment all its frames")
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"{name} is no volume", "choose a volume")
    image = node.GetImageData()
    scalars = None if image is None else image.GetPointData().GetScalars()
    if scalars is None or 0 in image.GetDimensions():
        raise InputError(f"{name} holds no image", "load it again")
    components = image.GetNumberOfScalarComponents()
    if node.IsA("vtkMRMLMultiVolumeNode"):
        raise InputError(f"{name} holds {components} time points", "load it as a sequence and choose one frame")
    if components > 1:
        what = "a colour image" if components in (3, 4) else "an image of vectors"
        raise InputError(
            f"{name} is {what} of {components} values a voxel",
            "take one value of it with the module Vector to Scalar Volume",
        )
    if scalars.GetDataTypeAsString() == "bit":
        raise InputError(f"{name} holds single bits", "convert it with the module Cast Scalar Volume")
    return image
