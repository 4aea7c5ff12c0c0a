"""Chooses the slice planes that show most of the segments, and the part of the scan around them.

Points and lengths are millimetres (x, y, z) in RAS: x grows to the patient's right, y to the front, z to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from Demo.scene import ijk_to_ras, segment_points

Point = tuple[float, float, float]
Points = NDArray[np.float64]  # (n, 3)

BIN = 2.0  # mm; planes closer to each other count as one
AROUND = 1.35  # the shown part is larger than all segments together by this factor
SMALLEST_SHOWN = 50.0


@dataclass(frozen=True)
class Planes:
    """The crossing of the three planes, and the (low, high) corners of the boxes around segments and scan."""

    crossing: Point
    segments: tuple[Point, Point]
    scan: tuple[Point, Point]

    def millimetres_per_pixel(self, size: tuple[int, int]) -> float:
        """The scale at which axial, sagittal and coronal pictures of one size (width, height) show all segments."""
        x, y, z = (max((high - low) * AROUND, SMALLEST_SHOWN) for low, high in zip(*self.segments, strict=True))
        width, height = size
        return max(max(x, y) / width, max(y, z) / height)

    def middle(self, shown: Point) -> Point:
        """The centre of a box of this size (mm) over the segments, moved so that little outside the scan is shown."""
        place = []
        for length, low, high, first, last in zip(shown, *self.segments, *self.scan, strict=True):
            roomy = last - first > length
            wanted = (low + high) / 2
            place.append(min(max(wanted, first + length / 2), last - length / 2) if roomy else (first + last) / 2)
        return (place[0], place[1], place[2])


def choose_planes(segmentation: Any, scan: Any) -> Planes:
    """The planes for a segmentation node on its scan; without segments, through the middle of the scan."""
    points = [found for found in segment_points(segmentation) if len(found)]
    whole = _box(scan_corners(scan))
    if not points:
        corners = np.array(whole)
        middle = corners.mean(0)
        x, y, z = middle.tolist()
        return Planes((x, y, z), _box(middle + (corners - middle) / AROUND), whole)
    x, y, z = (most_telling(points, axis) for axis in range(3))
    return Planes((x, y, z), _box(np.concatenate(points)), whole)


def _box(points: Points) -> tuple[Point, Point]:
    (x0, y0, z0), (x1, y1, z1) = points.min(0).tolist(), points.max(0).tolist()
    return (x0, y0, z0), (x1, y1, z1)


def most_telling(points: Sequence[Points], axis: int) -> float:
    """The position along an axis whose plane shows most of all segments.

    Each segment counts with the square root of its area in the plane relative to its largest area. So a small segment
    counts as much as a large one, and a plane near the middle of many is better than one through the middle of a single
    one.
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
