"""Distances between the slices of a volume: even, even up to rounding, in two or three sections, or with a gap.

Head CTs are often taken with thin slices through the base of the skull and thick ones above. Such a volume is
resampled to the thinnest of its distances, with a warning. A single odd distance is a missing slice, and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Floats

GAP = 0.1
"""A distance that differs from the usual one by more than this share of it is no rounding: a step or a gap."""
NOTICEABLE = 0.01
"""Smaller differences than this share are rounding; larger ones are worth a warning."""
ROUNDING_MM = 0.01
SHORTEST_STRETCH = 3
MOST_STRETCHES = 4
MOST_SLICES = 4000


@dataclass(frozen=True)
class EvenSpacing:
    """How to interpolate evenly spaced slices: new slice k lies between old slices `below[k]` and `below[k] + 1`."""

    below: npt.NDArray[np.int64]
    share: Floats

    @property
    def count(self) -> int:
        """Number of slices after interpolation."""
        return len(self.below)

    def apply(self, planes: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Interpolated planes, of the type of the given ones."""
        result = []
        for below, share in zip(self.below, self.share, strict=True):
            first = planes[below]
            if share == 0:
                result.append(first)
                continue
            mixed = first * (1 - share) + planes[below + 1] * share
            result.append((np.rint(mixed) if np.issubdtype(first.dtype, np.integer) else mixed).astype(first.dtype))
        return result


def even_out(places: Floats, files: Sequence[str], name: str) -> tuple[EvenSpacing | None, tuple[str, ...]]:
    """The interpolation that gives evenly spaced slices (None: they are even already), and warnings.

    Args:
        places: of the slices along their normal, in mm, ascending.
        files: names of their files.
        name: of the series.

    Raises:
        InputError: slices are missing, or their distances are irregular.
    """
    distances = np.diff(places)
    usual = float(np.median(distances))
    odd = np.flatnonzero(np.abs(distances - usual) > GAP * usual)
    if not len(odd):
        worst = float(np.abs(distances - usual).max())
        if worst <= max(NOTICEABLE * usual, ROUNDING_MM):
            return None, ()
        return None, (
            f"{name} has slices {usual:.2f} mm apart, give or take {worst:.2f} mm: they were treated as evenly spaced.",
        )
    stretches = _stretches(distances)
    if stretches is None:
        raise _gaps(places, distances, usual, odd, files, name)
    thinnest = min(distance for _, distance in stretches)
    count = round(float(places[-1] - places[0]) / thinnest) + 1
    if count > MOST_SLICES:
        raise _gaps(places, distances, usual, odd, files, name)
    wanted = np.linspace(places[0], places[-1], count)
    below = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 2)
    share = (wanted - places[below]) / distances[below]
    share = np.where(share < 1e-3, 0.0, np.minimum(share, 1.0))
    shown = ", ".join(f"{n} of {distance:.2f} mm" for n, distance in stretches)
    return EvenSpacing(below, share), (
        f"{name} has slices at several distances ({shown}): it was resampled to {count} slices "
        f"{(places[-1] - places[0]) / (count - 1):.2f} mm apart, and the result lies on these.",
    )


def _stretches(distances: Floats) -> list[tuple[int, float]] | None:
    """Number and size of equal distances in a row, for each section; None if there are more than a few sections."""
    found: list[list[float]] = []
    for distance in distances.tolist():
        if found and abs(distance - float(np.mean(found[-1]))) <= GAP * distance:
            found[-1].append(distance)
        else:
            found.append([distance])
    joints = [one for one in found if len(one) < SHORTEST_STRETCH]
    stretches = [one for one in found if len(one) >= SHORTEST_STRETCH]
    if not 2 <= len(stretches) <= MOST_STRETCHES or len(found) > 2 * MOST_STRETCHES:
        return None
    thickest, thinnest = (f(float(np.mean(one)) for one in stretches) for f in (max, min))
    # Where two sections meet, one distance may lie between theirs; a wider one is a missing slice.
    if any(len(one) > 1 or not thinnest * (1 - GAP) <= one[0] <= thickest * (1 + GAP) for one in joints):
        return None
    return [(len(one), float(np.mean(one))) for one in stretches]


def _gaps(
    places: Floats, distances: Floats, usual: float, odd: npt.NDArray[Any], files: Sequence[str], name: str
) -> InputError:
    gaps = []
    for i in odd[:4]:
        ends = f"{places[i]:.1f} and {places[i + 1]:.1f} mm ({files[i]}, {files[i + 1]})"
        gaps.append(f"{distances[i]:.1f} mm between the positions {ends}")
    more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
    kind = "slices missing" if np.all(distances[odd] > usual) else "slices at uneven distances"
    return InputError(
        f"{name} has {kind}: they lie {usual:.1f} mm apart, but {'; '.join(gaps)}{more}",
        "export the complete series again",
    )
