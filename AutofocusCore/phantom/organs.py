"""The six labelled structures and their content."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from AutofocusCore.phantom.body import SACRUM_FRONT, paint_bone
from AutofocusCore.phantom.canvas import Canvas
from AutofocusCore.phantom.findings import (
    Findings,
    paint_balloon,
    paint_gland_calcifications,
    paint_markers,
    paint_prosthesis,
)
from AutofocusCore.phantom.patient import Patient
from AutofocusCore.phantom.shapes import (
    Field,
    Point,
    Points,
    along_z,
    as_point,
    between,
    capsule,
    ellipsoid,
    smooth_intersection,
    smooth_union,
    tube,
)

PHANTOM_STRUCTURES: Mapping[int, str] = MappingProxyType(
    {1: "prostate", 2: "seminal vesicles", 3: "bladder", 4: "rectum", 5: "left femur", 6: "right femur"}
)

_RECTUM_KNOTS = (-66.0, -46.0, -22.0, 2.0, 26.0, 50.0, 72.0)


class Rectum:
    """The rectum's course in front of the sacrum, from the anus to where the sigmoid colon begins."""

    def __init__(self, patient: Patient) -> None:
        self.radii = patient.rectum_radii
        anal = [34.0 - self.radii[0], 40.0 - self.radii[1]]
        behind = np.interp(_RECTUM_KNOTS, *SACRUM_FRONT) - 9.0
        self.centre_y = anal + [float(b) - 0.92 * r for b, r in zip(behind[2:], self.radii[2:], strict=True)]
        sway = (0.0, 0.0, 0.2, 0.6, 1.0, 0.4, -0.8)
        self.centre_x = [s * patient.rectum_side for s in sway]

    def front(self, height: float) -> float:
        """Y of the front wall at a height (mm)."""
        walls = [y - r for y, r in zip(self.centre_y, self.radii, strict=True)]
        return float(np.interp(height, _RECTUM_KNOTS, walls))

    def distance(self, p: Points) -> Field:
        centre_x, centre_y, radius = (
            along_z(p.z, _RECTUM_KNOTS, values) for values in (self.centre_x, self.centre_y, self.radii)
        )
        u, v = (p.x - centre_x) / np.float32(1.12), p.y - centre_y
        round_tube = np.sqrt(u * u + v * v + np.float32(1e-6)) - radius
        return smooth_intersection(6.0, round_tube, between(p, _RECTUM_KNOTS[0], _RECTUM_KNOTS[-1]))

    def sigmoid(self, p: Points) -> Field:
        """The sigmoid colon, which continues from the end of the rectum to the left and forwards."""
        x, y, z = self.centre_x[-1], self.centre_y[-1], _RECTUM_KNOTS[-1]
        line = [(x, y, z - 6), (x - 12, y - 26, z + 12), (x + 22, y - 48, z + 6), (x + 66, y - 40, z + 30)]
        return tube(p, line, (self.radii[-1], self.radii[-1] + 1, 12.0, 13.0))


def paint_rectum(canvas: Canvas, patient: Patient, rectum: Rectum) -> None:
    """Sigmoid and rectum with wall and content."""
    box = canvas.box((-60, -60, -70), (110, 85, 120))
    wall_hu, stool = patient.muscle_hu - 10, 20.0
    canvas.paint(box, rectum.sigmoid, wall_hu, grain=6.0, wobble=1.5)
    canvas.paint(box, lambda p: rectum.sigmoid(p) + np.float32(3.5), stool, grain=45.0, wobble=1.5)
    canvas.paint(box, rectum.distance, wall_hu, label=4, grain=6.0, wobble=1.6)

    def lumen(p: Points) -> Field:
        return np.maximum(rectum.distance(p) + np.float32(3.6), np.float32(-44) - p.z)

    if patient.rectum_content == "collapsed":
        canvas.paint(box, lambda p: rectum.distance(p) + np.float32(5.0), wall_hu - 25, grain=12.0, wobble=1.6)
        return
    crumbly = 190.0 if patient.rectum_content == "stool" else 30.0
    canvas.paint(box, lumen, stool - 0.5 * crumbly if crumbly > 100 else stool, grain=0.6 * crumbly, wobble=1.6)
    if patient.rectum_content in ("gas", "mixed"):  # gas rises to the front of a supine patient
        level = 0.3 if patient.rectum_content == "gas" else -0.25

        def gas(p: Points) -> Field:
            centre, radius = (along_z(p.z, _RECTUM_KNOTS, v) for v in (rectum.centre_y, rectum.radii))
            return np.maximum(lumen(p), p.y - centre - np.float32(level) * radius)

        canvas.paint(box, gas, -930.0, wobble=1.6)


def paint_bladder_and_gland(
    canvas: Canvas,
    patient: Patient,
    rectum: Rectum,
    hollow: Field,
    findings: Findings,
    rng: np.random.Generator,
) -> None:
    """Prostate, seminal vesicles and bladder: stacked, in front of the rectum, with what is found in them."""
    rx, ry, rz = patient.prostate_radii
    height = patient.prostate_height
    gland = (0.15 * patient.rectum_side, rectum.front(height) - 2.0 - ry, height)
    top = height + 0.8 * rz

    size = (patient.bladder_volume * 1000 / 4.19) ** (1 / 3)
    full = min(max((patient.bladder_volume - 40) / 460, 0.0), 1.0)
    flat = 0.55 + 0.42 * full
    bx, bz = size * 1.14 / flat**0.4, size * flat
    by = size**3 / (bx * bz)
    behind = min(rectum.front(top + 0.5 * bz), rectum.front(top + 4)) - 1.6 * patient.vesicle_radius - 1.0
    bladder = (patient.bladder_side, max(behind - 0.93 * by, -52.0 + 0.6 * by), top + 0.93 * bz)

    def bladder_shape(p: Points) -> Field:
        dome = ellipsoid(p, bladder, (bx, by, bz))
        neck = capsule(p, (gland[0], gland[1] - 2, top - 2), bladder, 6.0, 0.5 * min(by, bz))
        return smooth_union(6.0, dome, neck)

    reach = (bx + 8, by + 8, bz + 8)
    box = canvas.box(
        as_point(min(a - r, g - 12) for a, r, g in zip(bladder, reach, gland, strict=True)),
        as_point(max(a + r, g + 12) for a, r, g in zip(bladder, reach, gland, strict=True)),
    )
    inside = hollow + np.float32(1.5)
    dent = 1.5 + 2.5 * full
    canvas.paint(box, bladder_shape, patient.muscle_hu - 14, label=3, grain=4.0, wobble=dent, within=inside)
    wall = np.float32(4.6 - 2.4 * full + findings.thick_wall)
    urine = inside + wall
    canvas.paint(box, lambda p: bladder_shape(p) + wall, patient.bladder_hu, wobble=dent, within=urine)
    if patient.bladder_layer:
        line = np.float32(bladder[1] + by * (1 - 2 * patient.bladder_layer))
        canvas.paint(box, lambda p: np.maximum(bladder_shape(p) + wall, line - p.y), 260.0, wobble=dent, within=urine)

    for side, rise in zip((1.0, -1.0), patient.vesicle_rise, strict=True):
        root_y = rectum.front(top + 2) - 0.9 * patient.vesicle_radius
        middle_y = min(root_y, rectum.front(top + 0.5 * rise) - 6)
        tip_z = top + 3 + rise
        line = [
            (gland[0] + side * 3, root_y, top),
            (gland[0] + side * 0.45 * patient.vesicle_length, middle_y, top + 4 + 0.4 * rise),
            (gland[0] + side * patient.vesicle_length, root_y + 8.0, tip_z),
        ]
        radii = (0.75 * patient.vesicle_radius, patient.vesicle_radius, 0.7 * patient.vesicle_radius)
        box = canvas.box((-60, root_y - 30, top - 15), (60, root_y + 30, tip_z + 15))
        vesicle = partial(tube, centreline=line, radii=radii)
        canvas.paint(box, vesicle, patient.muscle_hu - 18, label=2, grain=9.0, wobble=1.3)

    box = canvas.box(
        as_point(c - r - 6 for c, r in zip(gland, (rx, ry, rz), strict=True)),
        as_point(c + r + 6 + findings.median_lobe for c, r in zip(gland, (rx, ry, rz), strict=True)),
    )
    tip = (gland[0], gland[1] - 2.0, height - rz)
    neck = (gland[0], gland[1] - 2.0, top + 0.6 * findings.median_lobe)

    def gland_shape(p: Points) -> Field:
        shape = smooth_union(8.0, ellipsoid(p, gland, (rx, ry, rz)), capsule(p, gland, tip, 0.62 * ry, 0.3 * ry))
        if not findings.median_lobe:
            return shape
        lobe = findings.median_lobe
        return smooth_union(6.0, shape, ellipsoid(p, neck, (1.1 * lobe, lobe, lobe)))

    canvas.paint(box, gland_shape, patient.muscle_hu - 10, label=1, grain=7.0, wobble=1.8)
    centre = (gland[0], gland[1] - 0.25 * ry, height + 0.2 * rz)
    canvas.paint(box, lambda p: ellipsoid(p, centre, (0.55 * rx, 0.5 * ry, 0.6 * rz)), patient.muscle_hu - 3, grain=9.0)
    paint_gland_calcifications(canvas, rng, findings.gland_calcifications, gland, (rx, ry, rz))
    paint_markers(canvas, rng, findings.markers, gland, (rx, ry, rz))
    if findings.balloon:
        above = (gland[0], neck[1] - findings.median_lobe, top + findings.median_lobe)
        paint_balloon(canvas, patient, min(findings.balloon, 0.6 * bz), above, tip)


def paint_femurs(canvas: Canvas, patient: Patient, findings: Findings) -> None:
    """Both femurs with the part of their shafts inside the scan; a prosthesis in place of a head. Left is +x."""
    for label, side, turn in ((5, 1.0, patient.leg_turn[0]), (6, -1.0, patient.leg_turn[1])):
        top = (side * 124.0, turn - 2, -52.0)
        end = (side * (112.0 + patient.spread), 2.0, -400.0)
        low, high = sorted((side * 55.0, side * 165.0))
        box = canvas.box((low, -45, -190), (high, 60, 40))
        shape = partial(_femur, patient=patient, side=side, turn=turn, top=top, end=end)
        paint_bone(canvas, patient, box, shape, 2.2, label=label, spongy=patient.bone_hu + 60)
        for paint_shaft, hu, grain in ((_marrow, -30.0, 25.0), (_cortex, patient.cortex_hu + 250, 0.0)):
            canvas.paint(box, partial(paint_shaft, top=top, end=end), hu, grain=grain)
        if findings.prosthesis == side:
            paint_prosthesis(canvas, patient, side, (side * 127.0, turn, -patient.neck_drop - 8), end)


def _femur(p: Points, patient: Patient, side: float, turn: float, top: Point, end: Point) -> Field:
    radius = patient.head_radius
    hip = (side * 127.0, turn, -patient.neck_drop - 8)
    head = ellipsoid(p, (side * 90, 0, 0), (radius, radius, radius))
    neck = capsule(p, (side * 92, 0, -1), hip, 14.5, 15.5)
    greater = ellipsoid(p, (side * 133, hip[1] + 5, hip[2] + 5), (14, 19, 26))
    lesser = ellipsoid(p, (side * 108, hip[1] + 12, -58), (10, 10, 13))
    shaft = capsule(p, top, end, 17.0, 13.5)
    return smooth_union(8.0, head, neck, greater, lesser, capsule(p, hip, top, 17.0), shaft)


def _marrow(p: Points, top: Point, end: Point) -> Field:
    return np.maximum(capsule(p, top, end, 9.0, 6.5), p.z + 62)


def _cortex(p: Points, top: Point, end: Point) -> Field:
    return np.maximum(np.abs(capsule(p, top, end, 14.5, 11.0)) - np.float32(3.0), p.z + 66)
