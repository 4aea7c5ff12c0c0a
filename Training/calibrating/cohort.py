"""Statistics of the training cohort, from reference contours and scans: `AutofocusCore.review.cohort.Cohort`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.images import Grid
from AutofocusCore.images.body import bounding_region
from AutofocusCore.images.preparing import prepare
from AutofocusCore.models import ModelSpec
from AutofocusCore.review.cohort import FEWEST_CASES, Cohort, Point, extent_mm, voxel_along_patient
from AutofocusCore.review.evidence import summarise_intensities
from AutofocusCore.review.quality import volume_and_centre
from Training.calibrating.cases import Collection


def fit_cohort(cases: Sequence[str], data: Collection, spec: ModelSpec, *, scans: int = 16) -> Cohort:
    """Measure the training cases.

    Args:
        cases: their names.
        data: scans and contours.
        spec: the model's description.
        scans: intensities are measured in this many of the scans, evenly chosen; geometry and contours in all.
    """
    names = [structure.name for structure in spec.structures]
    volumes: dict[str, list[float]] = defaultdict(list)
    offsets: dict[str, list[np.ndarray]] = defaultdict(list)
    edges, extents, intensities = [], [], []
    chosen = {cases[i] for i in np.linspace(0, len(cases) - 1, min(scans, len(cases))).round().astype(int)}
    for case in cases:
        truth = data.truth(case)
        grid, known = Grid.of(truth), data.known(case)
        labels = np.zeros(grid.shape, dtype=np.uint8)
        found = sitk.GetArrayViewFromImage(truth)
        for index, name in enumerate(names, start=1):
            if name in known:
                labels[found == data.values[name]] = index
        own_volumes, centres = measure_places(labels, grid, names)
        for name, millilitres in own_volumes.items():
            volumes[name].append(float(np.log(millilitres)))
        for first, second in combinations(centres, 2):
            offsets[f"{first} > {second}"].append(np.subtract(centres[second], centres[first]))
        edges.append(voxel_along_patient(grid))
        extents.append(extent_mm(grid))
        if case in chosen:
            prepared = prepare([data.scan(case)], spec)
            intensities.append(summarise_intensities(prepared.volume, prepared.patient))
    return Cohort(
        cases=len(cases),
        volumes={name: _mean_and_spread(rows) for name, rows in volumes.items() if len(rows) >= FEWEST_CASES},
        offsets={pair: _robust(np.asarray(rows)) for pair, rows in offsets.items() if len(rows) >= FEWEST_CASES},
        spacing=_ranges(np.asarray(edges)),
        extent=_ranges(np.asarray(extents)),
        intensities=tuple(_ranges(channel) for channel in np.asarray(intensities).transpose(1, 0, 2)),
    )


def measure_places(
    labels: NDArray[np.integer], grid: Grid, names: Sequence[str]
) -> tuple[dict[str, float], dict[str, Point]]:
    """Volumes in mL and centroids (x, y, z) in mm, LPS, by name, of the structures that have a voxel.

    Args:
        labels: (D, H, W), with 1, 2, ... for the structures.
        grid: where the voxels are.
        names: of the structures, in the order of their labels.
    """
    volumes: dict[str, float] = {}
    centres: dict[str, Point] = {}
    for index, name in enumerate(names, start=1):
        contour = labels == index
        if contour.any():
            depth, height, width = (slice(*ends) for ends in bounding_region(contour, (0, 0, 0)))
            box = (depth, height, width)
            volumes[name], centres[name] = volume_and_centre(contour[box], box, grid)
    return volumes, centres


def _mean_and_spread(rows: Sequence[float]) -> tuple[float, float, float]:
    """Median, spread from the quartiles (clinical contours contain gross errors), number of cases."""
    low, middle, high = np.percentile(rows, (25, 50, 75))
    return round(float(middle), 4), round(float((high - low) / 1.349), 4), float(len(rows))


def _robust(rows: np.ndarray) -> tuple[float, ...]:
    low, middle, high = np.percentile(rows, (25, 50, 75), axis=0)
    spread = (high - low) / 1.349
    return (*(round(float(v), 1) for v in (*middle, *spread)), float(len(rows)))


def _ranges(rows: np.ndarray) -> tuple[tuple[float, float], ...]:
    low, high = rows.min(axis=0), rows.max(axis=0)
    return tuple((round(float(a), 3), round(float(b), 3)) for a, b in zip(low, high, strict=True))
