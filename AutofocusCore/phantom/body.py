"""Everything around the organs: skin, fat, muscles, pelvic cavity, bowel, vessels and bones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from AutofocusCore.phantom.canvas import Canvas, smooth_noise
from AutofocusCore.phantom.patient import Patient
from AutofocusCore.phantom.shapes import (
    Field,
    Point,
    Points,
    as_point,
    between,
    capsule,
    ellipsoid,
    smooth_intersection,
    smooth_union,
    swept_ellipse,
    swept_plate,
    tube,
)

_EVERYWHERE = (slice(None), slice(None), slice(None))
SACRUM_FRONT = ((-45.0, -20.0, 15.0, 50.0, 85.0, 120.0), (46.0, 62.0, 76.0, 70.0, 44.0, 30.0))  # heights, y (mm)
_CAVITY_KNOTS = (-55.0, -30.0, 0.0, 30.0, 65.0, 110.0, 160.0)
_CAVITY = (
    (0.0, 18.0, 30.0, 34.0),
    (0.0, 12.0, 46.0, 50.0),
    (0.0, 8.0, 58.0, 58.0),
    (0.0, 4.0, 66.0, 68.0),
    (0.0, -10.0, 88.0, 72.0),
    (0.0, -22.0, 106.0, 66.0),
    (0.0, -26.0, 112.0, 62.0),
)


def trunk(p: Points, patient: Patient, padding: float = 0.0) -> Field:
    """The trunk and both thighs: the outline of the muscles or, with `padding` 1, of the skin."""
    bulk = patient.bulk
    knots = (-110.0, -30.0, 20.0, 70.0, 125.0)
    half_x = [bulk * v + padding * patient.fat for v in (150, 163, 157, 146, 136)]
    half_y = [bulk * v + padding * 0.6 * patient.fat for v in (86, 92, 92, 90, 90)]
    belly = padding * 0.5 * (patient.belly - 0.6 * patient.fat)
    table = [(0.0, c - belly, hx, hy + belly) for c, hx, hy in zip((14, 12, 8, 2, -4), half_x, half_y, strict=True)]
    round_shape = swept_ellipse(p, knots, table)
    low = np.float32(-72 - 4 * padding) - p.z
    torso = smooth_intersection(30.0, round_shape, low)
    cheeks = [
        ellipsoid(
            p, (side * 68.0, 66.0, -28.0), as_point([r * bulk + padding * 0.7 * patient.fat for r in (76, 46, 66)])
        )
        for side in (-1, 1)
    ]
    thigh_radius = 72 * bulk + padding * 0.62 * patient.fat
    thighs = [
        capsule(p, (side * 92.0, 4.0, -40.0), (side * (92.0 + patient.spread), 4.0, -400.0), thigh_radius)
        for side in (-1, 1)
    ]
    return smooth_union(18.0, torso, *cheeks, *thighs)


def cavity(p: Points) -> Field:
    """The inside of the pelvis and, above it, of the abdomen."""
    return smooth_intersection(12.0, swept_ellipse(p, _CAVITY_KNOTS, _CAVITY), np.float32(-48) - p.z)


def paint_soft_tissue(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> tuple[Field, Field]:
    """Skin, fat, muscles with their septa, the cavity's fat. Returns the distances to the skin and to the cavity."""
    points = canvas.points
    skin = trunk(points, patient, 1.0) + np.float32(2.5) * canvas.wobble
    canvas.lay(_EVERYWHERE, skin, 10.0, grain=10.0)
    canvas.lay(_EVERYWHERE, skin + np.float32(2.2), patient.fat_hu, grain=5.0)
    muscle = smooth_intersection(8.0, trunk(points, patient) + np.float32(3.0) * canvas.wobble, skin + np.float32(7.0))
    canvas.lay(_EVERYWHERE, muscle, patient.muscle_hu, grain=4.0)
    for _ in range(2):  # there is fat between muscles where a smooth random field changes sign
        septa = np.abs(smooth_noise(rng, canvas.axes, 34.0)) * np.float32(34.0) - np.float32(2.4)
        septa = np.maximum(septa, muscle + np.float32(6.0))
        canvas.lay(_EVERYWHERE, septa, patient.fat_hu + 10)
    hollow = cavity(points) + np.float32(2.0) * canvas.wobble
    canvas.lay(_EVERYWHERE, hollow - np.float32(6.0), patient.muscle_hu, grain=4.0)
    canvas.lay(_EVERYWHERE, hollow, patient.fat_hu + 4, grain=7.0)
    return skin, hollow


def iliac_vessel(side: float, behind: float) -> list[Point]:
    """Centreline from the aorta's end to the thigh: the artery, and `behind` it by some mm the vein."""
    return [
        (side * 30, 8.0 + behind, 150.0),
        (side * 44, 2.0 + behind, 85.0),
        (side * 62, -36.0 + behind, 28.0),
        (side * (74 - behind), -54.0 + 0.6 * behind, -10.0),
        (side * (82 - behind), -50.0 + 0.6 * behind, -90.0),
        (side * 88, -40.0 + behind, -160.0),
    ]


def paint_muscles_and_vessels(canvas: Canvas, patient: Patient) -> None:
    """Iliopsoas, obturator internus and piriformis on both sides, the perineum, iliac and femoral vessels."""
    hu = patient.muscle_hu + 4
    for side in (-1.0, 1.0):
        psoas = [(side * 48, 18.0, 150.0), (side * 62, -8.0, 80.0), (side * 84, -40.0, 15.0), (side * 94, -26.0, -45.0)]
        canvas.paint(
            canvas.box((-125, -70, -70), (125, 50, 180)),
            partial(tube, centreline=psoas, radii=(21, 23, 19, 13)),
            hu, grain=4.0, wobble=2.0,
        )  # fmt: skip
        canvas.paint(
            canvas.box((-90, -50, -60), (90, 60, 50)),
            partial(capsule, start=(side * 58, -20.0, -12.0), end=(side * 58, 30.0, -2.0), radius=11.0),
            hu, grain=4.0, wobble=1.0,
        )  # fmt: skip
        canvas.paint(
            canvas.box((-120, 20, 0), (120, 90, 60)),
            partial(capsule, start=(side * 32, 62.0, 34.0), end=(side * 100, 42.0, 12.0), radius=10.0, end_radius=7.0),
            hu, grain=4.0,
        )  # fmt: skip
        for behind, radius in ((0.0, 5.2), (9.0, 6.2)):
            line = iliac_vessel(side, behind)
            canvas.paint(
                canvas.box((-110, -80, -180), (110, 40, 180)),
                partial(tube, centreline=line, radii=[radius] * len(line)),
                patient.vessel_hu - 0.3 * behind,
            )
    canvas.paint(  # levator ani, the funnel under the organs
        canvas.box((-50, -40, -65), (50, 65, -5)),
        lambda p: np.maximum(np.abs(ellipsoid(p, (0, 10, -6), (46, 44, 42))) - np.float32(1.8), p.z + 12),
        hu, grain=4.0, wobble=2.0,
    )  # fmt: skip
    canvas.paint(
        canvas.box((-60, -60, -140), (60, 70, -30)),
        lambda p: smooth_union(
            8.0, ellipsoid(p, (0, 22, -54), (34, 30, 14)), capsule(p, (0, -8, -62), (0, -50, -88), 13)
        ),
        patient.muscle_hu - 6, grain=6.0, wobble=2.0,
    )  # fmt: skip


def paint_bowel(canvas: Canvas, patient: Patient, rng: np.random.Generator, hollow: Field, floor: float) -> None:
    """Loops of bowel, filled with fluid or gas, in the cavity above `floor` (mm)."""
    count = 34
    centres = rng.uniform((-92, -80, floor), (92, 22, 165), (count, 3))
    lengths = rng.uniform(-26, 26, (count, 3))
    radii = rng.uniform(8, 17, count)
    contents = rng.choice([-850.0, 12.0, 32.0, 180.0], size=count, p=[0.22, 0.38, 0.33, 0.07])
    inside = hollow + np.float32(3.0)
    for centre, length, radius, content in zip(centres, lengths, radii, contents, strict=True):
        start, end = as_point(centre - length), as_point(centre + length)
        reach = np.abs(length) + radius
        box = canvas.box(as_point(centre - reach), as_point(centre + reach))
        for wall, hu in ((0.0, patient.muscle_hu - 12), (2.6, float(content))):
            canvas.paint(
                box,
                partial(capsule, start=start, end=end, radius=radius - wall),
                hu, grain=9.0, wobble=2.5, within=inside + np.float32(wall),
            )  # fmt: skip


def hip_bone(p: Points, side: float, patient: Patient) -> Field:
    """One half of the pelvic girdle, with the socket of its hip joint."""
    head = patient.head_radius
    wing = swept_plate(
        p,
        (8.0, 28.0, 60.0, 95.0, 122.0),
        [(side * x0, y0, side * x1, y1, half)
         for x0, y0, x1, y1, half in ((80, 24, 94, -16, 9), (76, 34, 108, -28, 6), (54, 54, 122, -40, 4.6),
                                      (48, 62, 128, -30, 4.4), (66, 52, 130, 0, 5.4))],
        bow=9.0 * side,
    )  # fmt: skip
    wing = smooth_intersection(6.0, wing, between(p, 6.0, 126.0))
    cup = np.abs(ellipsoid(p, (side * 90, 0, 0), (head + 7.5,) * 3)) - np.float32(4.0)
    opening = (p.x * np.float32(side) - 92) * np.float32(0.85) - p.z * np.float32(0.55) - np.float32(7.0)
    cup = smooth_intersection(3.0, cup, opening)
    front = tube(p, [(side * 70, -20, 2), (side * 40, -46, -4), (side * 14, -50, -18)], (9.5, 7.5, 9.0))
    body = capsule(p, (side * 10, -49, -16), (side * 10, -43, -36), 8.0, 7.0)
    below = tube(p, [(side * 12, -42, -36), (side * 34, -16, -56), (side * 54, 14, -62)], (6.0, 5.5, 8.0))
    seat = tube(p, [(side * 78, 24, 0), (side * 68, 32, -28), (side * 56, 22, -60)], (11.0, 10.0, 13.0))
    girdle = smooth_union(7.0, wing, cup, front, body, below, seat)
    return np.maximum(girdle, np.float32(2.0) - p.x * np.float32(side))


def sacrum(p: Points) -> Field:
    """Sacrum, coccyx and the last lumbar vertebra in one piece."""
    heights, front = SACRUM_FRONT
    halves = ((5.0, 5.0), (11.0, 6.0), (28.0, 10.0), (46.0, 14.0), (52.0, 18.0), (27.0, 19.0))
    column = swept_ellipse(p, heights, [(0.0, y + hy, hx, hy) for y, (hx, hy) in zip(front, halves, strict=True)])
    column = smooth_intersection(6.0, column, np.float32(-42) - p.z)
    arch = smooth_intersection(4.0, capsule(p, (0, 92, 150), (0, 104, 40), 9.0), np.float32(30) - p.z)
    return smooth_union(8.0, column, arch)


def paint_bone(canvas: Canvas, patient: Patient, box: tuple[slice, slice, slice], shape: Callable[[Points], Field],
               cortex: float, *, label: int | None = None, spongy: float | None = None) -> None:  # fmt: skip
    """A bone: a hard shell, `cortex` mm thick, around a spongy inside (HU)."""
    inside = patient.bone_hu if spongy is None else spongy
    canvas.paint(box, shape, patient.cortex_hu, label=label, grain=40.0, wobble=0.7)
    canvas.paint(box, lambda p: shape(p) + np.float32(cortex), inside, grain=45.0, wobble=0.7)


def paint_pelvis(canvas: Canvas, patient: Patient, joint_space: tuple[float, float]) -> None:
    """Hip bones, symphysis and sacrum; the sacral canal.

    Args:
        joint_space: thickness in mm of the cartilage in the left and in the right hip joint.
    """
    for side, cartilage in ((-1.0, joint_space[1]), (1.0, joint_space[0])):
        low, high = sorted((side * 0.0, side * 140.0))
        box = canvas.box((low, -70, -85), (high, 80, 135))
        paint_bone(canvas, patient, box, partial(hip_bone, side=side, patient=patient), 1.9)
        radius = patient.head_radius + cartilage
        canvas.paint(box, partial(ellipsoid, centre=(side * 90, 0, 0), radii=(radius, radius, radius)), 60.0)
    box = canvas.box((-6, -60, -40), (6, -36, -6))
    canvas.paint(box, lambda p: capsule(p, (0, -49, -16), (0, -43, -34), 5.0), 90.0)
    box = canvas.box((-60, 20, -50), (60, 125, 160))
    paint_bone(canvas, patient, box, sacrum, 1.8)
    canvas.paint(box, lambda p: capsule(p, (0, 74, 140), (0, 92, 35), 7.0, 3.0), 5.0)
