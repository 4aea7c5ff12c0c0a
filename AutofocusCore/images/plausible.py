"""Sizes that no patient has: spacings in metres or micrometres, an image of 3 mm or 3 m.

The bounds: a whole body is 2 m long, and the smallest region that anybody segments, a hippocampus or a mouse's brain,
is some 10 mm. Well beyond that an image is refused; near it, a warning says so before anything is computed.
"""

from __future__ import annotations

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid

LARGEST_MM, LARGE_MM = 3000.0, 2200.0
SMALLEST_MM = 5.0
THICKEST_MM, THICK_MM = 50.0, 20.0
THINNEST_MM = 0.005
FARTHEST_MM = 1e6
"""An origin further away is no place in a scanner, and costs the precision of the voxels' places."""
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
