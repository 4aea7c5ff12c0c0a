"""Where to cut: the planes that show most of what was segmented, and how much of the scan to show around it.

Points and lengths are millimetres (x, y, z) in RAS: x grows to the patient's right, y to the front, z to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from Demo.scene import ijk_to_ras, segment_points

Points = NDArray[np.float64]  # (n, 3)

BIN = 2.0  # mm; planes closer than this count as one
AROUND = 1.3  # the field of view is this much larger than all segments together
SMALLEST_FIELD = 60.0


@dataclass(frozen=True)
class Planes:
    """Where the three planes cross, the middle of the view, and the height and width of what is shown."""

    crossing: tuple[float, float, float]
    middle: tuple[float, float, float]
    field_of_view: float


def choose_planes(segmentation: Any, scan: Any) -> Planes:
    """The planes for a segmentation node on its scan.

    Raises:
        InputError: nothing was segmented.
    """
    points = [found for found in segment_points(segmentation) if len(found)]
    if not points:
        raise InputError("Nothing was segmented, so there is nothing to cut through", "look at the scan and the model")
    corners = scan_corners(scan)
    low, high = np.min([p.min(0) for p in points], axis=0), np.max([p.max(0) for p in points], axis=0)
    field = max(float((high - low).max()) * AROUND, SMALLEST_FIELD)
    half = field / 2
    first, last = corners.min(0), corners.max(0)
    centre = (low + high) / 2
    # As near to the segments as possible without showing what lies beyond the scan.
    middle = np.where(last - first <= field, (first + last) / 2, np.clip(centre, first + half, last - half))
    crossing = [most_telling(points, axis) for axis in range(3)]
    return Planes((crossing[0], crossing[1], crossing[2]), (middle[0], middle[1], middle[2]), field)


def most_telling(points: Sequence[Points], axis: int) -> float:
    """The position along an axis whose plane shows most of every segment.

    Each segment counts by the square root of its area there over its largest: a small one counts as much as a large one,
    and cutting many a little off their middles is better than cutting one through its middle and missing the rest.
    """
    start = min(found[:, axis].min() for found in points)
    bins = int(max(found[:, axis].max() - start for found in points) / BIN) + 1
    worth = np.zeros(bins)
    for found in points:
        area = np.bincount(((found[:, axis] - start) / BIN).astype(int), minlength=bins)
        worth += np.sqrt(area / area.max())
    return float(start + (int(worth.argmax()) + 0.5) * BIN)


def scan_corners(scan: Any) -> Points:
    """The eight corners of a volume, (8, 3)."""
    size = np.array(scan.GetImageData().GetDimensions())
    corners = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in size], indexing="ij"), -1).reshape(-1, 3)
    matrix = ijk_to_ras(scan)
    return corners @ matrix[:3, :3].T + matrix[:3, 3]
