"""Stacks DICOM slices into a volume, and says what is wrong if that is impossible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusCore.images.distances import EvenSpacing, even_out
from AutofocusCore.images.duplicates import Digests, without_duplicates
from AutofocusCore.images.geometry import Floats, Grid
from AutofocusCore.images.slices import Slice

SAME_COSINE = 1e-3
"""Direction cosines of the slices of one volume differ by no more than this."""
SAME_POSITION_MM = 0.01
PERPENDICULAR = 0.05
"""Rows and columns farther from perpendicular (3 degrees) are an error, not rounding."""


@dataclass(frozen=True)
class Stack:
    """The slices of each frame, in the order of the grid's third axis, and the grid, sheared where they shift.

    `even` says how to interpolate between slices that lie at more than one distance; None if they are evenly spaced.
    """

    frames: tuple[tuple[Slice, ...], ...]
    grid: Grid
    warnings: tuple[str, ...]
    even: EvenSpacing | None = None


def stack(slices: Sequence[Slice], name: str, digests: Digests) -> Stack:
    """Put slices in order along their normal and find the grid they make.

    Args:
        slices: of one series.
        name: its name in messages.
        digests: function for checksums of slices' pixels, to find duplicates.

    Raises:
        InputError: colour; mosaic; without positions; mixed sizes or orientations; gaps; unequal frames.
    """
    first = slices[0]
    _check_grey_and_placed(slices, name)
    _check_alike(slices, name)
    spacing = np.asarray(first.spacing)  # between rows, between columns
    along_row, along_column = _axes(np.array([s.cosines for s in slices], dtype=np.float64).mean(axis=0), name)
    normal = np.cross(along_row, along_column)
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise InputError(
            f"{name} has the pixel spacing {spacing[0]:g} × {spacing[1]:g} mm", "export it again from its source"
        )
    places = np.array([np.dot(s.position, normal) for s in slices])  # type: ignore[arg-type]
    order = np.argsort(places, kind="stable")
    planes, duplicates = _planes([slices[i] for i in order], places[order], name, digests)
    if len(planes) < 2:
        raise InputError(f"{name} is a single 2-D slice", "give the folder of a whole series")
    positions = np.array([plane[0].position for plane in planes], dtype=np.float64)
    even, warnings = even_out(positions @ normal, [plane[0].path.name for plane in planes], name)
    along = (positions @ normal - positions[0] @ normal) / ((positions[-1] - positions[0]) @ normal)
    span = positions[-1] - positions[0]
    off = np.linalg.norm(positions - positions[0] - along[:, None] * span, axis=1).max()
    count = len(planes) if even is None else even.count
    step = span / (count - 1)
    if off > max(0.5 * spacing.min(), 0.25 * float(np.linalg.norm(step))):
        raise InputError(
            f"{name} has slices that are not stacked along a line (off by up to {off:.1f} mm)",
            "give a series whose slices lie above each other",
        )
    along_row, along_column, step = _straight(along_row, along_column, step, slices, count, float(spacing.min()))
    matrix = np.stack([along_row * spacing[1], along_column * spacing[0], step], axis=1)
    grid = Grid.from_matrix((first.columns, first.rows, count), matrix, positions[0])
    frames = tuple(tuple(plane[f] for plane in planes) for f in range(len(planes[0])))
    return Stack(frames, grid, (*duplicates, *warnings, *_remarks(slices, name)), even)


def _check_grey_and_placed(slices: Sequence[Slice], name: str) -> None:
    if any(s.mosaic for s in slices):
        raise InputError(
            f"{name} is a Siemens mosaic, with all slices of a volume tiled over one picture",
            "convert it, for example with dcm2niix, and give the NIfTI file",
        )
    if not all(s.grey for s in slices):
        raise InputError(f"{name} holds colour images", "give the original grey-value series")
    if any(s.spacing is None and s.position is not None and s.cosines is not None for s in slices):
        raise InputError(f"{name} does not give its pixel size", "export it again as an original CT or MR series")
    if not all(s.placed for s in slices):
        raise InputError(
            f"{name} does not give the positions of its slices", "export it again as an original CT or MR series"
        )


def _axes(cosines: Floats, name: str) -> tuple[Floats, Floats]:
    """Unit vectors along rows and columns, perpendicular: cosines are rounded, which must not change the spacing."""
    row, column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.all(np.isfinite(cosines)) or min(lengths) < 0.9 or max(lengths) > 1.1:
        raise InputError(
            f"{name} has directions that do not span a plane (direction cosines of the lengths {lengths[0]:.3g} and "
            f"{lengths[1]:.3g})",
            "export it again from its source",
        )
    row, column = row / lengths[0], column / lengths[1]
    if abs(row @ column) > PERPENDICULAR:
        raise InputError(
            f"{name} has directions that do not span a plane (rows and columns "
            f"{np.degrees(np.arccos(row @ column)):.1f}° apart)",
            "export it again from its source",
        )
    left, _, right = np.linalg.svd(np.stack([row, column], axis=1), full_matrices=False)
    row, column = (left @ right).T
    return row, column


def _straight(
    row: Floats, column: Floats, step: Floats, slices: Sequence[Slice], count: int, pixel: float
) -> tuple[Floats, Floats, Floats]:
    """The axes without a shift between slices that is only rounding of positions or cosines."""
    normal = np.cross(row, column)
    shift = step - (step @ normal) * normal
    if np.linalg.norm(shift) * (count - 1) < 0.25 * pixel:
        return row, column, (step @ normal) * normal
    if np.linalg.norm(shift) <= 2 * _rounding(slices) * np.linalg.norm(step):  # the positions are the more exact
        normal = step / np.linalg.norm(step) * np.sign(step @ normal)
        row = row - (row @ normal) * normal
        row /= np.linalg.norm(row)
        return row, np.cross(normal, row), step
    return row, column, step


def _rounding(slices: Sequence[Slice]) -> float:
    """How far the direction cosines may be off, from the number of decimals that they are written with."""
    cosines = np.abs(np.array([s.cosines for s in slices], dtype=np.float64))
    for decimals in range(1, 6):
        scaled = cosines * 10**decimals
        if np.abs(scaled - np.rint(scaled)).max() < 1e-6 * 10**decimals:
            whole = np.abs(cosines - np.rint(cosines)).max() < 1e-9
            return 0.0 if whole else 0.5 * 10.0**-decimals
    return 0.0


def _remarks(slices: Sequence[Slice], name: str) -> tuple[str, ...]:
    remarks: tuple[str, ...] = ()
    if any(s.guessed for s in slices):
        remarks += (
            f"{name} gives the position of its first slice only: the others were assumed to follow along its normal "
            "at the distance in the header, and the order may be reversed.",
        )
    if any(s.inverted for s in slices):
        remarks += (
            f"{name} is MONOCHROME1 (shown with dark and bright exchanged): its stored values were used unchanged.",
        )
    return remarks


def _check_alike(slices: Sequence[Slice], name: str) -> None:
    groups: list[tuple[Floats, list[Slice]]] = []
    for one in slices:
        cosines = np.asarray(one.cosines, dtype=np.float64)
        for known, members in groups:
            if np.abs(known - cosines).max() <= SAME_COSINE:
                members.append(one)
                break
        else:
            groups.append((cosines, [one]))
    if len(groups) > 1:
        shown = ", ".join(f"{len(m)} {_plane_name(c)} ({m[0].path.name} and so on)" for c, m in groups[:6])
        raise InputError(
            f"{name} mixes slices of different orientation: {shown}",
            "export each orientation as a series of its own, and give one of them",
        )
    sizes = Counter((s.columns, s.rows) for s in slices)
    if len(sizes) > 1:
        shown = ", ".join(f"{n} of {c} × {r} pixels" for (c, r), n in sizes.most_common(6))
        raise InputError(f"{name} mixes slices of different size: {shown}", "give a series of one size")
    spacings = Counter(tuple(round(v, 3) for v in s.spacing or ()) for s in slices)
    if len(spacings) > 1:
        shown = ", ".join(f"{n} of {' × '.join(map(str, v))} mm" for v, n in spacings.most_common(6))
        raise InputError(f"{name} mixes slices of different pixel spacing: {shown}", "give a series of one spacing")


def _planes(
    slices: Sequence[Slice], places: Floats, name: str, digests: Digests
) -> tuple[list[list[Slice]], tuple[str, ...]]:
    """Slices grouped by position, and warnings; several at one position are frames of a 4-D series, or duplicates."""
    gathered: list[list[Slice]] = []
    for i, one in enumerate(slices):
        if i and places[i] - places[i - 1] <= SAME_POSITION_MM:
            gathered[-1].append(one)
        else:
            gathered.append([one])
    planes, dropped = without_duplicates(gathered, digests)
    usual = Counter(len(plane) for plane in planes).most_common(1)[0][0]
    odd = next((plane for plane in planes if len(plane) != usual), None)
    if odd is None:
        warnings = (_came_twice(dropped, name),) if dropped else ()
        return [sorted(plane, key=lambda s: s.order) for plane in planes], warnings
    if usual == 1:
        named = ", ".join(s.path.name for s in odd[:3])
        raise InputError(
            f"{name} has {len(odd)} different images at one position ({named}), and one at most of the others",
            "take out those that do not belong to the volume",
        )
    raise InputError(
        f"{name} has {usual} slices at most positions, but {len(odd)} at that of {odd[0].path.name}",
        "complete the series, or give one that holds a single volume",
    )


def _came_twice(dropped: Sequence[Slice], name: str) -> str:
    count = f"{len(dropped)} slice{'s' * (len(dropped) != 1)} twice"
    named = ", ".join(s.path.name for s in dropped[:3]) + (" and so on" if len(dropped) > 3 else "")
    return f"{name} contains {count}, with the same pixels at the same position; the second was left out ({named})."


def _plane_name(cosines: Floats) -> str:
    normal = np.abs(np.cross(cosines[:3], cosines[3:]))
    return ("sagittal", "coronal", "axial")[int(np.argmax(normal))]
