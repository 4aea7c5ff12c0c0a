"""Checks for impossible sizes, such as spacings in metres or micrometres, or an image of 3 mm or 3 m.

The bounds: a whole body is 2 m long, and the smallest region that is segmented, a hippocampus or a mouse's brain,
is some 10 mm. Far outside these bounds an image is refused; near them there is a warning before the computation.
"""

from __future__ import annotations

import numpy as np

from AutofocusCore.errors import InputError, MemoryLimitError
from AutofocusCore.images.files import MEMORY_ASKED_FROM, size_text
from AutofocusCore.images.geometry import Grid

LARGEST_MM, LARGE_MM = 3000.0, 2200.0
SMALLEST_MM = 5.0
THICKEST_MM, THICK_MM = 50.0, 20.0
THINNEST_MM = 0.005
FARTHEST_MM = 1e6
"""Largest plausible distance of the origin; beyond it, positions of voxels also lose precision."""
MOST_SPLIT = 500.0
"""Largest number of voxels of the model's grid for one voxel of the image; 10 mm slices for a 1 mm model give 10."""
LARGE_GRID = 1 << 24
COARSE = 8.0
"""Multiple of the model's spacing from which on its structures can hardly be seen."""
GRID_COPIES, IMAGE_COPIES = 5, 3
"""Arrays of 4 bytes a voxel, on the model's grid and on an image's own, that exist at the same time while a channel is
prepared, besides the images and the channels."""
PREPARING_OVERHEAD = 16 * 1024**2
CHECK = "check its unit of length, which must be millimetres, or correct the spacing in its header"


def check_size(grid: Grid, name: str) -> tuple[str, ...]:
    """Warnings about a size that is unlikely.

    Raises:
        InputError: a size or spacing that no image of a patient has.
    """
    spacing = np.asarray(grid.spacing)
    extent = spacing * np.asarray(grid.size)
    shown = " × ".join(f"{e:.3g}" for e in extent)
    voxel = " × ".join(f"{s:.3g}" for s in spacing)
    size = f"{name} is {shown} mm large (voxels of {voxel} mm)"
    if not np.all(np.isfinite(extent)) or extent.max() > LARGEST_MM or spacing.max() > THICKEST_MM:
        raise InputError(f"{size}, larger than any patient", CHECK)
    if extent.max() < SMALLEST_MM or spacing.min() < THINNEST_MM:
        raise InputError(f"{size}, smaller than anything that is segmented", CHECK)
    if np.abs(grid.origin).max() > FARTHEST_MM:
        far = np.abs(grid.origin).max() / 1e6
        raise InputError(f"{name} lies {far:.3g} km from the origin of its space", "correct the origin in its header")
    if extent.max() > LARGE_MM or spacing.max() > THICK_MM:
        return (f"{size}, which is more than a patient has: check that its spacing is in millimetres.",)
    return ()


def check_model_grid(own: Grid, model: Grid, channels: int, name: str) -> list[str]:
    """Warnings about an image that is much coarser than what a model was trained on.

    Args:
        own: the image's grid.
        model: what it is resampled to for the model.
        channels: how many images there are.
        name: the image's name.

    Raises:
        InputError: each voxel would become hundreds.
        MemoryLimitError: the resampled images do not fit into this machine's memory.
    """
    count = int(np.prod(model.size, dtype=np.float64))
    split = count / float(np.prod(own.size, dtype=np.float64))
    voxel, wanted = (" × ".join(f"{s:.3g}" for s in grid.spacing) for grid in (own, model))
    if split > MOST_SPLIT and count > LARGE_GRID:
        raise InputError(
            f"{name} has voxels of {voxel} mm, far larger than the model's {wanted} mm: each would become {split:.0f}",
            "give an image of a finer resolution, or check its spacing",
        )
    nbytes = preparing_bytes(own, model, channels)
    if nbytes > MEMORY_ASKED_FROM:
        from AutofocusCore.inference.computer import memory

        available, _ = memory()
        if nbytes > available:
            raise MemoryLimitError(
                f"{name} would have {' × '.join(map(str, model.size))} voxels at the model's spacing of {wanted} mm, "
                f"and take {size_text(nbytes)} to prepare, where {size_text(available)} are free",
                "crop the image, or use a machine with more memory",
            )
    if max(own.spacing) > COARSE * max(model.spacing):
        return [
            f"{name} has voxels of {voxel} mm, far larger than the {wanted} mm that the model was trained on: "
            "its structures can hardly be seen. Check the result with care."
        ]
    return []


def preparing_bytes(own: Grid, model: Grid, channels: int) -> int:
    """The most memory that preparing takes, without the images themselves.

    Args:
        own: the first image's grid.
        model: what all images are resampled to.
        channels: how many images there are.
    """
    on_model, on_image = (int(np.prod(grid.size, dtype=np.float64)) for grid in (model, own))
    return 4 * (on_model * (channels + GRID_COPIES) + on_image * IMAGE_COPIES) + PREPARING_OVERHEAD


def nothing_found(name: str, in_region: bool) -> str:
    """The warning for a result without any structure."""
    where = " in the region of interest" if in_region else ""
    return (
        f"{name}: none of the model's structures was found{where}, every voxel is background. Check that the image "
        "shows these structures, and that its values and its spacing are right."
    )
