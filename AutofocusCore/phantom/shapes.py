"""Solid shapes as signed distances: millimetres to the surface, negative inside.

Only additions, products, quotients, square roots, minima and maxima are used, which all processors round in the same
way: a phantom is the same on every machine. Far from the surface, distances are approximate, and nothing depends on
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Point = tuple[float, float, float]


def as_point(values: Iterable[float]) -> Point:
    """Three numbers as a point."""
    x, y, z = (float(value) for value in values)
    return x, y, z


class Points(NamedTuple):
    """Coordinates in the patient (x to the left, y to the back, z to the head; mm), three arrays of one shape."""

    x: Field
    y: Field
    z: Field


def ellipsoid(p: Points, centre: Point, radii: Point) -> Field:
    """An ellipsoid with its axes along the patient's."""
    u, v, w = ((c - m) / np.float32(r) for c, m, r in zip(p, np.asarray(centre, np.float32), radii, strict=True))
    scale = [np.float32(1 / r) for r in radii]
    near = np.sqrt(u * u + v * v + w * w + np.float32(1e-6))
    slope = np.sqrt(
        (u * scale[0]) ** 2 + (v * scale[1]) ** 2 + (w * scale[2]) ** 2 + np.float32(1e-6 / max(radii) ** 2)
    )
    return near * (near - 1) / slope


def capsule(p: Points, start: Point, end: Point, radius: float, end_radius: float | None = None) -> Field:
    """A round rod from `start` to `end`, whose radius may change along its length."""
    a = np.asarray(start, np.float32)
    along = np.asarray(end, np.float32) - a
    dx, dy, dz = p.x - a[0], p.y - a[1], p.z - a[2]
    t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / np.float32(max(float(along @ along), 1e-6)), 0, 1)
    distance = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2)
    return distance - np.float32(radius) - t * np.float32((radius if end_radius is None else end_radius) - radius)


def tube(p: Points, centreline: Sequence[Point], radii: Sequence[float]) -> Field:
    """A rod bent through the points of `centreline`, with a radius at each point."""
    last = len(centreline) - 1
    parts = [capsule(p, centreline[i], centreline[i + 1], radii[i], radii[i + 1]) for i in range(last)]
    return smooth_union(4.0, *parts)


def along_z(z: Field, knots: Sequence[float], values: Sequence[float]) -> Field:
    """A quantity as a function of height: linear between the knots (mm, ascending), constant beyond them."""
    return np.interp(z, knots, values).astype(np.float32)


def swept_ellipse(p: Points, knots: Sequence[float], table: Sequence[tuple[float, float, float, float]]) -> Field:
    """A column of ellipses: at each knot (height in mm) centre x, centre y, half width and half depth; open ended."""
    centre_x, centre_y, half_x, half_y = (along_z(p.z, knots, column) for column in zip(*table, strict=True))
    u, v = (p.x - centre_x) / half_x, (p.y - centre_y) / half_y
    near = np.sqrt(u * u + v * v + np.float32(1e-6))
    return near * (near - 1) / np.sqrt((u / half_x) ** 2 + (v / half_y) ** 2 + np.float32(1e-9))


def swept_plate(
    p: Points, knots: Sequence[float], table: Sequence[tuple[float, float, float, float, float]], bow: float = 0.0
) -> Field:
    """A standing plate: at each knot (height in mm) the axial line from (x0, y0) to (x1, y1), half as thick as given.

    The middle of the line bulges by `bow` mm to its right, seen from the first end.
    """
    x0, y0, x1, y1, half = (along_z(p.z, knots, column) for column in zip(*table, strict=True))
    dx, dy = x1 - x0, y1 - y0
    t = np.clip(((p.x - x0) * dx + (p.y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    bulge = np.float32(4 * bow) * t * (1 - t) / np.sqrt(dx * dx + dy * dy)
    return np.sqrt((p.x - x0 - t * dx + bulge * dy) ** 2 + (p.y - y0 - t * dy - bulge * dx) ** 2) - half


def between(p: Points, low: float, high: float) -> Field:
    """The layer between two heights (mm)."""
    return np.maximum(np.float32(low) - p.z, p.z - np.float32(high))


def smooth_union(blend: float, first: Field, *others: Field) -> Field:
    """The union of shapes, with seams rounded over `blend` mm."""
    union = first
    for other in others:
        overlap = np.maximum(np.float32(blend) - np.abs(union - other), 0)
        union = np.minimum(union, other) - overlap * overlap / np.float32(4 * blend)
    return union


def smooth_intersection(blend: float, first: Field, *others: Field) -> Field:
    """The intersection of shapes, with edges rounded over `blend` mm."""
    return -smooth_union(blend, -first, *(-other for other in others))
