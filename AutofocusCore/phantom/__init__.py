"""Synthetic pelvic CT, made from a seed: data for demonstrations, tests and training without any patient.

Sizes and positions follow textbook anatomy of the male pelvis, supine. Prostate, seminal vesicles, bladder, rectum and
femurs are labelled; bones, muscles, vessels and bowel are there so that a network must tell them apart. Most patients
have findings beside their anatomy, from calcifications to an artificial hip with its streaks.
"""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import SettingError
from AutofocusCore.phantom.body import (
    iliac_vessel,
    paint_bowel,
    paint_muscles_and_vessels,
    paint_pelvis,
    paint_soft_tissue,
)
from AutofocusCore.phantom.canvas import Canvas
from AutofocusCore.phantom.findings import Findings, paint_phleboliths, paint_vessel_calcifications
from AutofocusCore.phantom.organs import PHANTOM_STRUCTURES, Rectum, paint_bladder_and_gland, paint_femurs, paint_rectum
from AutofocusCore.phantom.patient import Patient
from AutofocusCore.phantom.scanner import paint_table, scanned
from AutofocusCore.phantom.shapes import as_point

__all__ = ["PHANTOM_STRUCTURES", "make_phantom"]


def make_phantom(
    seed: int,
    *,
    size: tuple[int, int, int] = (144, 112, 80),
    spacing: tuple[float, float, float] = (3.0, 3.0, 3.0),
    dose: float | None = None,
    findings: bool = True,
) -> tuple[sitk.Image, sitk.Image]:
    """Make a synthetic CT of the pelvis, and its labels.

    The same seed gives the same patient on every machine and on every voxel grid; only noise depends on the grid.

    Args:
        seed: number of the patient; 0 or more.
        size: voxels along x, y, z.
        spacing: voxel size along x, y, z in mm; the scan is centred on the patient's hips.
        dose: dose relative to a planning CT of good quality, 0.05 to 10; None: random.
        findings: whether the patient may have implants, markers, calcifications, a catheter, a median lobe of the
            prostate or worn hip joints. Without, the same patient's anatomy alone.

    Returns:
        The scan (int16, HU) and the labels (uint8, `PHANTOM_STRUCTURES`) on one grid; axes along the patient's (LPS).

    Raises:
        SettingError: seed, size, spacing or dose is invalid.
    """
    _check(seed, size, spacing, dose)
    who, where, shape, noise = (np.random.default_rng([seed, stream]) for stream in range(4))
    beside = np.random.default_rng([seed, 4])
    found = Findings.drawn(beside) if findings else Findings()
    patient = Patient.drawn(who)
    tilt = np.radians(where.uniform((-3.0, -3.0, -5.0), (3.0, 3.0, 5.0)))
    canvas = Canvas(
        shape, size, spacing,
        rotation=_rotation(*tilt),
        shift=as_point(where.uniform((-10, -14, -22), (10, 4, 12))),
        scale=patient.scale,
        bend=float(where.uniform(2.0, 4.0)),
    )  # fmt: skip
    drawn_dose = float(2.0 ** where.uniform(-2.0, 1.5))

    skin, hollow = paint_soft_tissue(canvas, patient, shape)
    paint_muscles_and_vessels(canvas, patient)
    paint_bowel(canvas, patient, shape, hollow, floor=38.0)
    paint_pelvis(canvas, patient, found.joint_space)
    rectum = Rectum(patient)
    paint_rectum(canvas, patient, rectum)
    paint_bladder_and_gland(canvas, patient, rectum, hollow, found, beside)
    paint_femurs(canvas, patient, found)
    paint_vessel_calcifications(
        canvas, beside, found.vessel_calcifications, [iliac_vessel(side, 0.0) for side in (-1.0, 1.0)]
    )
    paint_phleboliths(canvas, beside, found.phleboliths)
    paint_table(canvas, where)
    hu = scanned(canvas, noise, drawn_dose if dose is None else dose, spacing, skin)

    image = sitk.GetImageFromArray(np.clip(np.rint(hu), -1024, 3071).astype(np.int16))
    labels = sitk.GetImageFromArray(canvas.labels)
    for volume in (image, labels):
        volume.SetSpacing(spacing)
        volume.SetOrigin([float(axis[0]) for axis in canvas.axes])
    return image, labels


def _rotation(about_x: float, about_y: float, about_z: float) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate((about_x, about_y, about_z)):
        step = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step[i, i] = step[j, j] = math.cos(angle)
        step[j, i], step[i, j] = math.sin(angle), -math.sin(angle)
        matrix = step @ matrix
    return matrix


def _check(seed: int, size: tuple[int, ...], spacing: tuple[float, ...], dose: float | None) -> None:
    if seed < 0:
        raise SettingError(f"A phantom's seed is {seed}", "use a whole number from 0 up")
    if len(size) != 3 or min(size) < 8:
        raise SettingError(f"A phantom's size is {size}", "give three numbers of voxels, each at least 8")
    if len(spacing) != 3 or not all(0.2 <= step <= 20 for step in spacing):
        raise SettingError(f"A phantom's spacing is {spacing} mm", "give three sizes between 0.2 and 20 mm")
    if dose is not None and not 0.05 <= dose <= 10:
        raise SettingError(f"A phantom's dose is {dose}", "use a number between 0.05 and 10, or None")
