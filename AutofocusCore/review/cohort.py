"""Statistics of the training cohort, and warnings about a scan or a contour that is unlike those in training.

A few numbers for each structure and pair, and of the scans, from the training cases. They show whether a
volume or a position is unusual, where a structure should be, and whether a scan is like those in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from AutofocusCore.images.geometry import Grid
from AutofocusCore.review.evidence import PERCENTILES, Evidence

Point = tuple[float, float, float]

FEWEST_CASES = 5
"""Statistics over fewer cases are not used."""
LEAST_SD_LOG = 0.05
AXES = ("from side to side", "from front to back", "from head to foot")
COARSER = 1.5
"""Ratio to the largest voxel size in training from which on there is a warning; smaller voxels are resampled."""
SMALLER, LARGER = 0.7, 1.5
BEYOND = 0.25
"""Intensities outside the cohort's range by more than this share of it give a warning."""
LEAST_RANGE = 0.05
ODD_VOLUME = 4.0
"""Standard deviations of the volume's logarithm from its mean, beyond which a contour is like none in training."""


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
            for key, sign in ((f"{other} > {name}", 1.0), (f"{name} > {other}", -1.0)):
                offset = self.offsets.get(key) if other != name else None
                if offset is not None and offset[6] >= FEWEST_CASES:
                    guesses.append(np.asarray(centre) + sign * np.asarray(offset[:3]))
                    break
        if not guesses:
            return None
        x, y, z = np.median(guesses, axis=0).tolist()
        return (x, y, z)


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


def unfamiliar(evidence: Evidence, cohort: Cohort, modalities: Sequence[str]) -> list[str]:
    """Sentences about the properties of a scan that are unlike those in training.

    Args:
        evidence: of the run.
        cohort: the model's training cases.
        modalities: names of the channels.
    """
    found = []
    for axis, (edge, seen) in enumerate(zip(voxel_along_patient(evidence.scan), cohort.spacing, strict=False)):
        if edge > COARSER * seen[1]:
            found.append(
                f"The scan's voxels measure {edge:.1f} mm {AXES[axis]}; in training they measured {_range(seen)} mm. "
                "Contours may be coarse or wrong."
            )
    for axis, (length, seen) in enumerate(zip(extent_mm(evidence.scan), cohort.extent, strict=False)):
        if length < SMALLER * seen[0] or length > LARGER * seen[1]:
            kind = "a smaller" if length < seen[0] else "a larger"
            found.append(
                f"The scan reaches over {length:.0f} mm {AXES[axis]}: {kind} part of the body than in training "
                f"({_range(seen, 0)} mm). Structures may be missing or found where there are none."
            )
    for channel, (values, seen_ones) in enumerate(zip(evidence.intensities, cohort.intensities, strict=False)):
        for percentile, value, seen in zip(PERCENTILES, values, seen_ones, strict=False):
            slack = BEYOND * max(seen[1] - seen[0], LEAST_RANGE)
            if not seen[0] - slack <= value <= seen[1] + slack:
                name = modalities[channel] if channel < len(modalities) else "image"
                found.append(
                    f"The intensities of the {name} are unlike those in training (percentile {percentile:.0f} within "
                    f"the patient: {value:.2f} after normalisation, {seen[0]:.2f} to {seen[1]:.2f} in training). "
                    "Check that it is the right kind of scan, in the right units."
                )
                break
    return found


def outside_the_scan(
    names: Sequence[str], centres: Mapping[str, Point], cohort: Cohort, evidence: Evidence
) -> tuple[list[str], list[str]]:
    """Structures whose usual place is outside the scan, and structures that were not found although it is inside.

    Structures outside the region of interest are not considered.

    Args:
        names: all structures.
        centres: of those that were found, in mm, LPS.
        cohort: the model's training cases.
        evidence: of the run.
    """
    outside, missed = [], []
    for name in names:
        place = cohort.expected_place(name, centres)
        if place is None:
            continue
        index = evidence.scan.to_index(place)
        if not bool(np.all(index >= -0.5) and np.all(index <= np.asarray(evidence.scan.size) - 0.5)):
            outside.append(name)
        elif name not in centres and evidence.holds(place):
            missed.append(name)
    return outside, missed


def unlike_any_volume(volumes: Mapping[str, float], cohort: Cohort) -> dict[str, str]:
    """Structures whose volume is far outside that of the training cases, each with how it differs, as a sentence.

    Args:
        volumes: in mL, by structure; 0 where it is empty.
        cohort: the model's training cases.
    """
    found = {}
    for name, volume in volumes.items():
        odd = cohort.odd_volume(name, volume)
        if abs(odd) > ODD_VOLUME:
            low, high = cohort.usual_volume(name)
            kind = "smaller" if odd < 0 else "larger"
            found[name] = (
                f"The contour of {listed([name])} is far {kind} than in training, where {low:.3g} to {high:.3g} mL are "
                "usual. Check whether the scan holds all of it."
            )
    return found


def listed(names: Sequence[str]) -> str:
    """Names of structures within a sentence."""
    return ", ".join(name[:1].lower() + name[1:] for name in names)


def _range(seen: tuple[float, float], digits: int = 1) -> str:
    low, high = (f"{value:.{digits}f}" for value in seen)
    return low if low == high else f"{low} to {high}"
