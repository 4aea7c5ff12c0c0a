"""Outlines of a mask on one slice: closed polygons halfway between the voxels inside and those outside.

The outline runs through the middle between neighbouring voxel centres (marching squares at one half, by contourpy), so
that whoever fills it by testing voxel centres gets the mask back, voxel for voxel; no outline is off the mask's edge
by more than half a voxel. An outline through the centres of the outermost voxels, as OpenCV gives, loses half a voxel
on every side.

A hole is joined to its outer outline by a channel of no width, there and back ("keyhole", DICOM PS3.3 C.8.8.6.3): one
polygon then says it all, to readers that combine contours by exclusive or and to readers that fill each of them.

    +-----------+
    |           |
    |   +---+   |
    |   |   +===+   <- the channel
    |   +---+   |
    +-----------+
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from AutofocusCore.io.dicom_objects import need

Points = npt.NDArray[np.float64]

ALONG_EDGE = 0.3719
"""Where on its edge a channel begins and ends."""
MOST_CHANNELS = 200
"""Channels that are tried, the shortest first, for one that passes no voxel centre."""


def outlines(mask: npt.NDArray[np.bool_]) -> list[Points]:
    """The polygons round every connected part of a mask (rows, columns), holes joined by keyholes.

    Returns:
        For each part the vertices (n, 2) as (column, row), not closed, none on the line between its neighbours. Voxel
        centres are whole numbers.

    Raises:
        OutputError: contourpy is not installed.
    """
    contourpy = need("contourpy", "An RTSTRUCT")
    if not mask.any():
        return []
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float64)
    generator = contourpy.contour_generator(z=part, fill_type="OuterOffset")
    polygons = []
    for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True):
        rings = [points[start : stop - 1] for start, stop in pairwise(offsets.tolist())]
        polygons.append(_without_straight_points(_joined(rings)) + np.array([left - 1, top - 1]))
    return polygons


def _joined(rings: list[Points]) -> Points:
    """One polygon of an outer ring and its holes. The nearest hole is joined first, so that channels do not cross."""
    merged, holes = rings[0], rings[1:]
    while holes:
        channels = [_channel(merged, hole) for hole in holes]
        index = min(range(len(holes)), key=lambda i: channels[i].length)
        channel, hole = channels[index], holes.pop(index)
        turned = np.concatenate([[channel.end], hole[channel.after_end :], hole[: channel.after_end], [channel.end]])
        start = [channel.start]
        merged = np.concatenate([merged[: channel.after_start], start, turned, start, merged[channel.after_start :]])
    return merged


class _Channel(NamedTuple):
    """From a point on one polygon's edge to one on another's, and the indices of the vertices after them."""

    length: float
    start: Points
    end: Points
    after_start: int
    after_end: int


def _channel(polygon: Points, hole: Points) -> _Channel:
    """The shortest channel that keeps clear of voxel centres, on which readers would differ."""
    starts, ends = _on_edges(polygon), _on_edges(hole)
    lengths = ((starts[:, None] - ends[None]) ** 2).sum(axis=2)
    order = np.argsort(lengths, axis=None)[:MOST_CHANNELS]
    pairs = [divmod(int(index), len(ends)) for index in order]
    i, j = next((pair for pair in pairs if _clear(starts[pair[0]], ends[pair[1]])), pairs[0])
    return _Channel(float(lengths[i, j]), starts[i], ends[j], i + 1, j + 1)


def _on_edges(polygon: Points) -> Points:
    """A point on every edge, not in its middle and not on the lines between voxel centres."""
    return np.asarray(polygon + ALONG_EDGE * (np.roll(polygon, -1, axis=0) - polygon), dtype=np.float64)


def _clear(start: Points, end: Points) -> bool:
    """Whether the line between two points passes no voxel centre."""
    steps = int(np.ceil(20 * float(np.abs(end - start).max()))) + 1
    line = start + np.linspace(0, 1, steps)[:, None] * (end - start)
    return bool((np.abs(line - np.rint(line)).max(axis=1) > 0.1).all())


def _without_straight_points(points: Points) -> Points:
    """The polygon without vertices at which it goes straight on."""
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    (ax, ay), (bx, by) = (points - before).T, (after - points).T
    straight = (np.abs(ax * by - ay * bx) < 1e-9) & (ax * bx + ay * by > 0)
    return np.asarray(points[~straight], dtype=np.float64)
