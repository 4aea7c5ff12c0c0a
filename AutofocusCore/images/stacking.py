"""How DICOM slices stack up into a volume, and what is wrong where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Floats, Grid
from AutofocusCore.images.slices import Slice

SAME_COSINE = 1e-3
"""Direction cosines of the slices of one volume differ by no more than this."""
SAME_POSITION_MM = 0.01
GAP = 0.1
"""A distance that differs from the usual one by more than this share of it is a gap."""
NOTICEABLE = 0.01
"""Smaller differences than this share are rounding; larger ones are worth a warning."""


@dataclass(frozen=True)
class Stack:
    """The slices of each frame, in the order of the grid's third axis, and the grid, sheared where they shift."""

    frames: tuple[tuple[Slice, ...], ...]
    grid: Grid
    warnings: tuple[str, ...]


def stack(slices: Sequence[Slice], name: str) -> Stack:
    """Put slices in order along their normal and find the grid they make.

    Raises:
        InputError: colour; mosaic; without positions; mixed sizes or orientations; gaps; unequal frames.
    """
    first = slices[0]
    if any(s.mosaic for s in slices):
        raise InputError(
            f"{name} is a Siemens mosaic, with all slices of a volume tiled over one picture",
            "convert it, for example with dcm2niix, and give the NIfTI file",
        )
    if any(s.samples != 1 for s in slices):
        raise InputError(
            f"{name} holds colour images ({first.samples} values per pixel)", "give the original grey-value series"
        )
    if any(s.position is None or s.cosines is None or s.spacing is None for s in slices) or first.spacing is None:
        raise InputError(f"{name} does not say where its slices lie", "export it again as an original CT or MR series")
    _check_alike(slices, name)
    cosines = np.array([s.cosines for s in slices], dtype=np.float64).mean(axis=0)
    along_row, along_column = cosines[:3], cosines[3:]
    normal = np.cross(along_row, along_column)
    spacing = np.asarray(first.spacing)  # between rows, between columns
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0) or np.linalg.norm(normal) < 0.5:
        raise InputError(
            f"{name} has the pixel spacing {spacing[0]:g} × {spacing[1]:g} mm or directions that make no plane",
            "export it again from its source",
        )
    places = np.array([np.dot(s.position, normal) for s in slices])  # type: ignore[arg-type]
    planes = _planes([slices[i] for i in np.argsort(places, kind="stable")], np.sort(places), name)
    if len(planes) < 2:
        raise InputError(f"{name} is a single 2-D slice", "give the folder of a whole series")
    positions = np.array([plane[0].position for plane in planes], dtype=np.float64)
    warnings = _check_distances(positions @ normal, planes, name)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    ideal = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - ideal, axis=1).max()
    if off > max(0.5 * spacing.min(), 0.25 * float(np.linalg.norm(step))):
        raise InputError(
            f"{name} has slices that are not stacked along a line (off by up to {off:.1f} mm)",
            "give a series whose slices lie above each other",
        )
    shift = step - (step @ normal) * normal
    if np.linalg.norm(shift) * (len(positions) - 1) < 0.25 * spacing.min():
        step = (step @ normal) * normal
    matrix = np.stack([along_row * spacing[1], along_column * spacing[0], step], axis=1)
    grid = Grid.from_matrix((first.columns, first.rows, len(planes)), matrix, positions[0])
    frames = tuple(tuple(plane[f] for plane in planes) for f in range(len(planes[0])))
    return Stack(frames, grid, warnings)


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
        shown = ", ".join(f"{len(m)} {_plane_name(c)} ({m[0].path.name} and so on)" for c, m in groups)
        raise InputError(
            f"{name} mixes slices of different orientation: {shown}",
            "export each orientation as a series of its own, and give one of them",
        )
    sizes = Counter((s.columns, s.rows) for s in slices)
    if len(sizes) > 1:
        shown = ", ".join(f"{n} of {c} × {r} pixels" for (c, r), n in sizes.most_common())
        raise InputError(f"{name} mixes slices of different size: {shown}", "give a series of one size")
    spacings = Counter(tuple(round(v, 3) for v in s.spacing or ()) for s in slices)
    if len(spacings) > 1:
        shown = ", ".join(f"{n} of {' × '.join(map(str, v))} mm" for v, n in spacings.most_common())
        raise InputError(f"{name} mixes slices of different pixel spacing: {shown}", "give a series of one spacing")


def _planes(slices: Sequence[Slice], places: Floats, name: str) -> list[list[Slice]]:
    """Slices gathered by place; those at one place are the frames of a 4-D series."""
    planes: list[list[Slice]] = []
    for i, one in enumerate(slices):
        if i and places[i] - places[i - 1] <= SAME_POSITION_MM:
            planes[-1].append(one)
        else:
            planes.append([one])
    counts = Counter(len(plane) for plane in planes)
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(plane for plane in planes if len(plane) != usual)
        raise InputError(
            f"{name} has {usual} slices at most positions, but {len(odd)} at that of {odd[0].path.name}",
            "complete the series, or give one that holds a single volume",
        )
    return [sorted(plane, key=lambda s: s.order) for plane in planes]


def _check_distances(places: Floats, planes: Sequence[Sequence[Slice]], name: str) -> tuple[str, ...]:
    distances = np.diff(places)
    usual = float(np.median(distances))
    odd = np.flatnonzero(np.abs(distances - usual) > GAP * usual)
    if not len(odd):
        worst = float(np.abs(distances - usual).max())
        if worst <= max(NOTICEABLE * usual, SAME_POSITION_MM):
            return ()
        return (f"{name} has slices {usual:.2f} mm apart, give or take {worst:.2f} mm: they were taken as even.",)
    gaps = []
    for i in odd[:4]:
        before, after = planes[i][0], planes[i + 1][0]
        ends = f"{places[i]:.1f} and {places[i + 1]:.1f} mm ({before.path.name}, {after.path.name})"
        gaps.append(f"{distances[i]:.1f} mm between the positions {ends}")
    more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
    kind = "slices missing" if np.all(distances[odd] > usual) else "slices at uneven distances"
    raise InputError(
        f"{name} has {kind}: they lie {usual:.1f} mm apart, but {'; '.join(gaps)}{more}",
        "export the complete series again",
    )


def _plane_name(cosines: Floats) -> str:
    normal = np.abs(np.cross(cosines[:3], cosines[3:]))
    return ("sagittal", "coronal", "axial")[int(np.argmax(normal))]
