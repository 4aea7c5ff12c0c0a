"""Warnings about a scan that is unlike those in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from AutofocusCore.images.evidence import PERCENTILES, Evidence
from AutofocusCore.review.cohort import Cohort, Point, extent_mm, voxel_along_patient

AXES = ("from side to side", "from front to back", "from head to foot")
COARSER = 1.5
"""Ratio to the largest voxel size in training from which on there is a warning; smaller voxels are resampled."""
SMALLER, LARGER = 0.7, 1.5
BEYOND = 0.25
"""Intensities outside the cohort's range by more than this share of it give a warning."""
LEAST_RANGE = 0.05
ODD_VOLUME = 4.0
"""Standard deviations of the volume's logarithm from its mean, beyond which a contour is like none in training."""


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
