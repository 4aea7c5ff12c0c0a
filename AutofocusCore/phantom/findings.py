"""What many patients have beside their anatomy: implants, markers, calcifications, a catheter, worn hip joints.

Each is drawn for some of the phantoms, so that a network meets what real scans are full of. Labels follow clinical
contours: a prosthesis belongs to its femur, markers and calcifications to their organ, a catheter's balloon to the
bladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from AutofocusCore.phantom.canvas import Canvas
from AutofocusCore.phantom.patient import Patient
from AutofocusCore.phantom.shapes import (
    Field,
    Point,
    Points,
    as_point,
    capsule,
    ellipsoid,
    smooth_intersection,
    smooth_union,
)

METAL_HU = 6000.0  # before the scan is limited to what 12 bits hold; streaks come from voxels above half of it
GOLD_HU = 2400.0  # a marker of 1 mm in a voxel of 3 mm
CALCIUM_HU = (250.0, 900.0)


@dataclass(frozen=True)
class Findings:
    """Findings of a patient. Lengths in mm; the default is a patient without any."""

    prosthesis: float | None = None  # side of the hip prosthesis: 1 left, -1 right
    joint_space: tuple[float, float] = (3.0, 3.0)  # cartilage between the left and the right femoral head and its cup
    median_lobe: float = 0.0  # radius of the part of the prostate that bulges into the bladder
    markers: int = 0  # gold markers in the prostate
    gland_calcifications: int = 0
    vessel_calcifications: int = 0
    phleboliths: int = 0  # calcified veins beside the organs, round as a lymph node or a ureter's stone
    balloon: float = 0.0  # radius of a catheter's balloon in the bladder
    thick_wall: float = 0.0  # by how much the bladder's wall is thickened

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Findings:
        """Random findings; most phantoms have at least two kinds."""

        def sometimes(share: float, low: float, high: float) -> float:
            value = float(rng.uniform(low, high))
            return value if rng.random() < share else 0.0

        worn = [3.0 - sometimes(0.4, 0.6, 2.6) for _ in range(2)]
        return cls(
            prosthesis=float(rng.choice([-1.0, 1.0])) if rng.random() < 0.12 else None,
            joint_space=(worn[0], worn[1]),
            median_lobe=sometimes(0.3, 8.0, 13.0),
            markers=3 if rng.random() < 0.25 else 0,
            gland_calcifications=int(sometimes(0.35, 2.0, 9.0)),
            vessel_calcifications=int(sometimes(0.4, 2.0, 12.0)),
            phleboliths=int(sometimes(0.4, 1.0, 6.0)),
            balloon=sometimes(0.12, 10.0, 15.0),
            thick_wall=sometimes(0.25, 1.0, 4.0),
        )


def paint_prosthesis(canvas: Canvas, patient: Patient, side: float, hip: Point, stem_end: Point) -> None:
    """An artificial hip joint: cup, liner, head, neck and stem.

    Args:
        side: 1 left, -1 right.
        hip: where the neck meets the shaft.
        stem_end: a point on the shaft's axis far below.
    """
    centre = (side * 90.0, 0.0, 0.0)
    outer = patient.head_radius + 2.0
    axis = np.asarray(stem_end) - np.asarray(hip)
    tip = as_point(np.asarray(hip) + axis * (120.0 / float(np.linalg.norm(axis))))
    low, high = sorted((side * 50.0, side * 165.0))
    box = canvas.box((low, -45, -190), (high, 60, 45))

    def socket(p: Points) -> Field:
        shell = np.abs(ellipsoid(p, centre, (outer, outer, outer))) - np.float32(2.2)
        return smooth_intersection(1.0, shell, (p.x * np.float32(side) - 92) * np.float32(0.7) - p.z * np.float32(0.7))

    def implant(p: Points) -> Field:
        return smooth_union(
            3.0,
            ellipsoid(p, centre, (15.0, 15.0, 15.0)),
            capsule(p, centre, hip, 6.5),
            capsule(p, hip, tip, 9.0, 4.5),
        )

    canvas.paint(box, partial(ellipsoid, centre=centre, radii=(outer, outer, outer)), -60.0)  # the liner of plastic
    canvas.paint(box, socket, METAL_HU)
    canvas.paint(box, implant, METAL_HU)


def paint_markers(canvas: Canvas, rng: np.random.Generator, count: int, gland: Point, radii: Point) -> None:
    """Gold markers of 5 mm × 1 mm in the prostate, as needles leave them: along the patient's axis."""
    for _ in range(count):
        centre = np.asarray(gland) + rng.uniform(-0.5, 0.5, 3) * radii
        half = np.array([rng.uniform(-1, 1), rng.uniform(-1, 1), 2.5])
        start, end = as_point(centre - half), as_point(centre + half)
        canvas.paint(_around(canvas, centre, 6.0), partial(capsule, start=start, end=end, radius=0.8), GOLD_HU)


def paint_calcium(canvas: Canvas, rng: np.random.Generator, centre: Point, size: float) -> None:
    """One calcification: an irregular ellipsoid of about `size` mm."""
    radii = as_point(0.5 * size * rng.uniform(0.6, 1.4, 3))
    hu = float(rng.uniform(*CALCIUM_HU))
    canvas.paint(_around(canvas, np.asarray(centre), size), partial(ellipsoid, centre=centre, radii=radii), hu)


def paint_gland_calcifications(
    canvas: Canvas, rng: np.random.Generator, count: int, gland: Point, radii: Point
) -> None:
    """Calcifications between the inner and the outer part of the prostate."""
    for _ in range(count):
        angle, height = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
        offset = np.array([0.5 * np.cos(angle), 0.4 * np.sin(angle), height]) * radii
        paint_calcium(canvas, rng, as_point(np.asarray(gland) + offset), float(rng.uniform(2.0, 5.0)))


def paint_vessel_calcifications(
    canvas: Canvas, rng: np.random.Generator, count: int, lines: Sequence[Sequence[Point]]
) -> None:
    """Calcifications in the walls of arteries, 4 mm from their centrelines."""
    for _ in range(count):
        line = lines[int(rng.integers(len(lines)))]
        first = int(rng.integers(len(line) - 1))
        share = float(rng.uniform())
        angle = float(rng.uniform(0, 2 * np.pi))
        on_line = (1 - share) * np.asarray(line[first]) + share * np.asarray(line[first + 1])
        wall = np.array([4.0 * np.cos(angle), 4.0 * np.sin(angle), 0.0])
        paint_calcium(canvas, rng, as_point(on_line + wall), float(rng.uniform(2.0, 5.0)))


def paint_phleboliths(canvas: Canvas, rng: np.random.Generator, count: int) -> None:
    """Calcified veins of the pelvic floor, on both sides of the organs."""
    for _ in range(count):
        side = rng.choice([-1.0, 1.0])
        centre = (float(side * rng.uniform(38, 56)), float(rng.uniform(5, 35)), float(rng.uniform(-24, 20)))
        paint_calcium(canvas, rng, centre, float(rng.uniform(3.0, 6.0)))


def paint_balloon(canvas: Canvas, patient: Patient, radius: float, neck: Point, apex: Point) -> None:
    """A bladder catheter: its tube from the prostate's apex to the bladder's neck, and the balloon above the neck."""
    x, y, z = neck
    centre = (x, y, z + radius + 1.0)
    tube = partial(capsule, start=apex, end=centre, radius=3.0)
    box = canvas.box(
        as_point(min(a, c) - radius - 4 for a, c in zip(apex, centre, strict=True)),
        as_point(max(a, c) + radius + 4 for a, c in zip(apex, centre, strict=True)),
    )
    canvas.paint(box, tube, 160.0)
    canvas.paint(box, partial(ellipsoid, centre=centre, radii=(radius,) * 3), 110.0)
    canvas.paint(box, partial(ellipsoid, centre=centre, radii=(radius - 1.5,) * 3), patient.bladder_hu - 8.0)


def _around(canvas: Canvas, centre: np.ndarray, reach: float) -> tuple[slice, slice, slice]:
    return canvas.box(as_point(centre - reach), as_point(centre + reach))
