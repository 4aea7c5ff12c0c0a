"""Statistics of the training cohort: volumes, relative positions of structures, and properties of the scans.

A few numbers for each structure and pair, from the reference contours of the training cases. They show whether a
volume or a position is unusual, where a structure should be, and whether a scan is like those in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from AutofocusCore.images.geometry import Grid

Point = tuple[float, float, float]

FEWEST_CASES = 5
"""Statistics over fewer cases are not used."""
LEAST_SD_LOG = 0.05


@dataclass(frozen=True)
class Cohort:
    """Statistics of the training cases.

    Attributes:
        cases: how many.
        volumes: by structure: mean and standard deviation of log(mL), number of cases.
        offsets: by pair of structures "A > B", for the vector from A's centroid to B's in mm, LPS: mean (x, y, z),
            standard deviation (x, y, z), number of cases.
        spacing: smallest and largest voxel edge in mm along each image axis (x, y, z).
        extent: smallest and largest extent in mm along the patient's axes (x, y, z).
        intensities: for each channel and percentile of `Evidence.intensities` the smallest and the largest.
    """

    cases: int
    volumes: dict[str, tuple[float, ...]] = field(default_factory=dict)
    offsets: dict[str, tuple[float, ...]] = field(default_factory=dict)
    spacing: tuple[tuple[float, float], ...] = ()
    extent: tuple[tuple[float, float], ...] = ()
    intensities: tuple[tuple[tuple[float, float], ...], ...] = ()

    def odd_volume(self, name: str, volume_ml: float) -> float:
        """By how many standard deviations a volume exceeds the cohort's mean, in logarithms; 0 if unknown."""
        mean, deviation, cases = self.volumes.get(name, (0.0, 0.0, 0))
        if cases < FEWEST_CASES or volume_ml <= 0:
            return 0.0
        return float(np.clip((np.log(volume_ml) - mean) / max(deviation, LEAST_SD_LOG), -8, 8))

    def usual_volume(self, name: str) -> tuple[float, float]:
        """The range in mL in which about 95 of 100 volumes lie. Raises KeyError for a structure without statistics."""
        mean, deviation, _ = self.volumes[name]
        reach = 2 * max(deviation, LEAST_SD_LOG)
        return float(np.exp(mean - reach)), float(np.exp(mean + reach))

    def expected_place(self, name: str, centres: Mapping[str, Point]) -> Point | None:
        """The expected centroid of a structure in mm, LPS, from those that were found; None if unknown."""
        guesses = []
        for other, centre in centres.items():
            usual = self._offset(other, name) if other != name else None
            if usual is not None:
                guesses.append(np.asarray(centre) + usual[0])
        if not guesses:
            return None
        x, y, z = np.median(guesses, axis=0).tolist()
        return (x, y, z)

    def _offset(self, start: str, end: str) -> tuple[np.ndarray, np.ndarray] | None:
        for key, sign in ((f"{start} > {end}", 1.0), (f"{end} > {start}", -1.0)):
            values = self.offsets.get(key)
            if values is not None and values[6] >= FEWEST_CASES:
                return sign * np.asarray(values[:3]), np.asarray(values[3:6])
        return None


def extent_mm(grid: Grid) -> Point:
    """How far a grid reaches along the patient's axes (x, y, z), in mm."""
    corners = grid.corners()
    x, y, z = (corners.max(axis=0) - corners.min(axis=0)).tolist()
    return (x, y, z)


def voxel_along_patient(grid: Grid) -> Point:
    """The edges in mm of a voxel along the image axes nearest to the patient's x, y and z."""
    steps = np.abs(np.asarray(grid.direction).reshape(3, 3))
    x, y, z = (float(grid.spacing[int(np.argmax(steps[axis]))]) for axis in range(3))
    return (x, y, z)
