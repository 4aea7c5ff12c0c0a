"""Outlines of a mask on one slice: closed polygons halfway between the voxels inside and those outside.

The outline runs through the middle between neighbouring voxel centres (marching squares at one half, by contourpy). A
program that fills it by testing voxel centres gets the mask back, voxel for voxel; no outline is off the mask's edge by
more than half a voxel. An outline through the centres of the outermost voxels, as OpenCV gives, loses half a voxel
on every side.

A hole is joined to its outer outline by a channel of no width, there and back ("keyhole", DICOM PS3.3 C.8.8.6.3): one
polygon then works for readers that combine contours by exclusive or and for readers that fill each contour.

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

CLEAR_OF_CENTRES = 0.25
"""Distance of channels from the rows of voxel centres, where readers would give different results."""


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
    """One polygon of an outer ring and its holes: each hole by a channel to what lies next to the right of it."""
    if len(rings) == 1:
        return rings[0]
    number = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    index = np.concatenate([np.arange(len(ring)) for ring in rings])
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    channels: dict[int, list[_Channel]] = {}
    for hole in range(1, len(rings)):
        ring = rings[hole]
        level = float(ring[int(ring[:, 0].argmax()), 1]) + CLEAR_OF_CENTRES
        crossed = np.flatnonzero((low <= level) & (level < high))
        share = (level - start[crossed, 1]) / (end[crossed, 1] - start[crossed, 1])
        x = start[crossed, 0] + share * (end[crossed, 0] - start[crossed, 0])
        own = number[crossed] == hole
        mine = int(np.flatnonzero(own)[x[own].argmax()])
        others = np.flatnonzero(~own & (x > x[mine]))
        next_ = int(others[x[others].argmin()])
        edge = int(crossed[next_])
        way = float(np.abs([x[next_], level] - start[edge]).sum())
        ends = np.array([[x[next_], level], [x[mine], level]])
        channel = _Channel(int(index[edge]), way, ends, hole, int(index[crossed[mine]]))
        channels.setdefault(int(number[edge]), []).append(channel)
    return np.asarray(_walk(0, 0, rings, channels), dtype=np.float64)


class _Channel(NamedTuple):
    """From an edge of a ring, `way` behind its start, to an edge of a hole; `ends` are the points on both."""

    edge: int
    way: float
    ends: Points
    hole: int
    hole_edge: int


def _walk(number: int, first: int, rings: list[Points], channels: dict[int, list[_Channel]]) -> list[Points]:
    """The points of a ring from one of its vertices round to the vertex before it, with the holes joined to it."""
    ring = rings[number]
    leaving: dict[int, list[_Channel]] = {}
    for channel in sorted(channels.get(number, []), key=lambda one: one.way):
        leaving.setdefault(channel.edge, []).append(channel)
    points: list[Points] = []
    for step in range(len(ring)):
        at = (first + step) % len(ring)
        points.append(ring[at])
        for channel in leaving.get(at, []):
            there = _walk(channel.hole, (channel.hole_edge + 1) % len(rings[channel.hole]), rings, channels)
            points += [channel.ends[0], channel.ends[1], *there, channel.ends[1], channel.ends[0]]
    return points


def _without_straight_points(points: Points) -> Points:
    """The polygon without vertices at which it goes straight on."""
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    (ax, ay), (bx, by) = (points - before).T, (after - points).T
    straight = (np.abs(ax * by - ay * bx) < 1e-9) & (ax * bx + ay * by > 0)
    return np.asarray(points[~straight], dtype=np.float64)
