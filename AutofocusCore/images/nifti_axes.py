"""Orientation of a NIfTI image: one rule for headers that give it twice, or not at all.

The rule is ITK's, and so what Slicer shows:

* The size of a voxel is `pixdim`, always.
* The sform gives directions and origin where its axes are perpendicular and it is the scanner's (code 1), or where
  there is no qform, or where the two agree. Else the qform gives them.
* With neither (both codes 0, or Analyze), indices grow along x, y and z of LPS from an origin of 0: a guess.

One case goes beyond ITK, which cannot show it: an sform whose axes are not perpendicular is taken as it is where there
is no qform, or where the qform is merely the sform's nearest perpendicular axes, which is all that it can hold.

A disagreement becomes a warning, in millimetres. The image is refused where it cannot be known which of the two is
right and the result depends on it: axes that run to different sides of the patient (the network would see it mirrored
or turned), and voxel sizes that differ by more than a tenth (volumes would be wrong by a third).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import direction_error
from AutofocusCore.images.geometry import Grid

Floats = npt.NDArray[np.float64]

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
PERPENDICULAR = 1e-4
"""ITK treats an sform as sheared if its cosines are off by more."""
SCANNER = 1
ALIKE = 1e-4
MOST_SPACING = 0.1
"""Share by which two sizes of a voxel may differ."""
ROUNDING_MM = 0.05
"""Smaller disagreements are rounding: quaternions are of single precision."""
ROUNDING_SPACING = 2e-3
LETTERS = ("LR", "PA", "SI")


@dataclass(frozen=True)
class Axes:
    """What a header says about its axes: lengths in mm, directions in RAS, as the format has them."""

    spacing: Floats
    qform_code: int
    quatern: Floats
    qoffset: Floats
    qfac: float
    sform_code: int
    sform: Floats | None
    """(3, 4): columns are the steps of the three axes and the origin."""
    unit: str = ""


def resolve_axes(axes: Axes, size: tuple[int, int, int], name: str) -> tuple[Grid, tuple[str, ...]]:
    """The grid by the rule above, and warnings.

    Raises:
        InputError: undefined directions; directions or spacings that contradict each other too much.
    """
    qform = _qform(axes, name)
    sform = axes.sform
    if qform is None and sform is None:
        grid = Grid.from_matrix(size, np.diag(axes.spacing), np.zeros(3))
        return grid, (no_orientation(name),)
    remarks: tuple[str, ...] = ()
    if sform is None:
        assert qform is not None
        chosen = qform
    else:
        sheared, lengths = is_sheared(sform[:, :3]), np.linalg.norm(sform[:, :3], axis=0)
        # The sform's directions and origin, with the size of a voxel that pixdim gives.
        rescaled = np.column_stack([sform[:, :3] / lengths * axes.spacing, sform[:, 3]])
        if qform is None:
            chosen, remarks = sform if sheared else rescaled, _check_spacing(sform, axes.spacing, name)
        else:
            chosen, remarks = _one_of_two(qform, sform, rescaled, axes, size, name)
    return Grid.from_matrix(size, RAS_TO_LPS @ chosen[:, :3], RAS_TO_LPS @ chosen[:, 3]), remarks


def _one_of_two(
    qform: Floats, sform: Floats, rescaled: Floats, axes: Axes, size: tuple[int, int, int], name: str
) -> tuple[Floats, tuple[str, ...]]:
    """The matrix to use where there are two, and warnings; `rescaled`: the sform with the spacing of pixdim."""
    sheared = is_sheared(sform[:, :3])
    _check_sides(qform, sform, name)
    if sheared and np.abs(_perpendicular(sform) - qform)[:, :3].max() < 1e-2 * axes.spacing.min():
        return sform, _disagreement(qform, _perpendicular(sform), size, name, "sform")
    by_sform = not sheared and (axes.sform_code == SCANNER or np.abs(qform - sform).max() <= ALIKE)
    spacing_remarks = _check_spacing(sform, axes.spacing, name)
    remarks = _disagreement(qform, sform, size, name, "sform" if by_sform else "qform")
    return rescaled if by_sform else qform, remarks or spacing_remarks


def no_orientation(name: str) -> str:
    """The warning for an image that does not say where its axes lie."""
    return (
        f"{name} does not give its orientation in the patient. Its axes were assumed to run to the left, the back and "
        "the head, as in Slicer: left and right are a guess, and may be exchanged in the result."
    )


def is_sheared(steps: Floats) -> bool:
    """Whether the columns of a 3×3 matrix are not perpendicular to each other."""
    unit = steps / np.linalg.norm(steps, axis=0)
    return bool(np.max(np.abs(unit.T @ unit - np.eye(3))) > PERPENDICULAR)


def sides_of(steps: Floats) -> str:
    """Where the three axes of steps in LPS run to, such as "LPS"."""
    unit = steps / np.linalg.norm(steps, axis=0)
    word = ""
    for axis in range(3):
        row = int(np.argmax(np.abs(unit[:, axis])))
        word += LETTERS[row][0 if unit[row, axis] > 0 else 1]
    return word


def _qform(axes: Axes, name: str) -> Floats | None:
    """The qform's matrix (3, 4): rotation of the quaternion, times spacing."""
    if axes.qform_code <= 0:
        return None
    if not np.all(np.isfinite(axes.quatern)) or not np.all(np.isfinite(axes.qoffset)):
        raise direction_error(name)
    b, c, d = axes.quatern
    rest = 1.0 - (b * b + c * c + d * d)
    if rest < -1e-3:
        raise direction_error(name)
    a = np.sqrt(rest) if rest > 1e-7 else 0.0
    length = np.sqrt(a * a + b * b + c * c + d * d)
    if length < 1e-6:
        raise direction_error(name)
    a, b, c, d = (v / length for v in (a, b, c, d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    steps = rotation * (axes.spacing * [1.0, 1.0, axes.qfac])
    return np.column_stack([steps, axes.qoffset])


def _perpendicular(sform: Floats) -> Floats:
    """The nearest matrix with perpendicular axes, of the same lengths and origin."""
    norms = np.linalg.norm(sform[:, :3], axis=0)
    left, _, right = np.linalg.svd(sform[:, :3] / norms)
    return np.column_stack([left @ right * norms, sform[:, 3]])


def _check_sides(qform: Floats, sform: Floats, name: str) -> None:
    sides = [sides_of(RAS_TO_LPS @ form[:, :3]) for form in (qform, sform)]
    if sides[0] != sides[1]:
        raise InputError(
            f"{name} gives two orientations that contradict each other: its axes run to {sides[0]} by its qform, to "
            f"{sides[1]} by its sform",
            "correct the header, or convert the image again from DICOM",
        )


def _check_spacing(sform: Floats, spacing: Floats, name: str) -> tuple[str, ...]:
    norms = np.linalg.norm(sform[:, :3], axis=0)
    off = float(np.abs(norms / spacing - 1).max())
    if off <= ROUNDING_SPACING:
        return ()
    shown = [" × ".join(f"{s:.4g}" for s in sizes) for sizes in (spacing, norms)]
    if off > MOST_SPACING:
        raise InputError(
            f"{name} contradicts itself: a voxel is {shown[0]} mm large by its pixdim, but {shown[1]} mm by its sform",
            "correct the header, or convert the image again from DICOM",
        )
    return (f"{name} says that a voxel is {shown[0]} mm large, but its sform says {shown[1]} mm: the former was used.",)


def _disagreement(qform: Floats, sform: Floats, size: tuple[int, int, int], name: str, used: str) -> tuple[str, ...]:
    """A warning that says how far apart the two put the corners of the image."""
    ends = np.array([[i, j, k, 1] for i in (0, size[0] - 1) for j in (0, size[1] - 1) for k in (0, size[2] - 1)])
    apart = np.linalg.norm(ends @ (qform - sform).T, axis=1)
    if apart.max() <= ROUNDING_MM:
        return ()
    shift = float(np.linalg.norm((ends.mean(axis=0)) @ (qform - sform).T))
    other = "qform" if used == "sform" else "sform"
    return (
        f"{name} gives two positions: its qform and sform are up to {apart.max():.1f} mm apart ({shift:.1f} mm in "
        f"the middle). The {used} was used, as Slicer does; by the {other} the result lies elsewhere.",
    )
