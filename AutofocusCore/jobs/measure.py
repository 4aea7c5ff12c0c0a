"""Measurements of a labelmap: volume and intensity of every structure, and their table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from AutofocusCore.io.atomic import Staging, joined
from AutofocusCore.io.texts import csv_cell

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.models.parts import Structure

COLUMNS = ("structure", "label", "voxels", "volume_ml", "mean_intensity", "std_intensity")


@dataclass(frozen=True)
class Measurement:
    """One structure: number of voxels, volume in millilitres, intensity (in the image's units; None without image)."""

    structure: str
    label: int
    voxels: int
    volume_ml: float
    mean_intensity: float | None = None
    std_intensity: float | None = None


def measure(labels: sitk.Image, structures: Sequence[Structure], image: sitk.Image | None = None) -> list[Measurement]:
    """Measure every structure in a labelmap, those without a voxel too, in the structures' order.

    Args:
        labels: integer labelmap, 3-D.
        structures: what to look for.
        image: scalar image on the same grid whose intensities are measured.
    """
    import SimpleITK as sitk

    found = sitk.GetArrayViewFromImage(labels).ravel()
    size = max([255, *(structure.label for structure in structures)]) + 1
    counts = np.bincount(found, minlength=size)
    axes = np.reshape(labels.GetDirection(), (3, 3)) * np.asarray(labels.GetSpacing())
    millilitres = abs(float(np.linalg.det(axes))) / 1000.0  # right for sheared axes, too
    means: list[float | None] = [None] * size
    deviations: list[float | None] = [None] * size
    if image is not None:
        values = sitk.GetArrayViewFromImage(image).ravel()
        for structure in structures:
            inside = values[found == structure.label]
            if inside.size:
                means[structure.label] = float(inside.mean(dtype=np.float64))
                deviations[structure.label] = float(inside.std(dtype=np.float64))
    return [
        Measurement(
            structure=structure.name,
            label=structure.label,
            voxels=int(counts[structure.label]),
            volume_ml=float(counts[structure.label] * millilitres),
            mean_intensity=means[structure.label],
            std_intensity=deviations[structure.label],
        )
        for structure in structures
    ]


def volumes_ml(labels: sitk.Image, structures: Sequence[Structure]) -> dict[str, float]:
    """Volume of every structure in millilitres."""
    return {m.structure: m.volume_ml for m in measure(labels, structures)}


def write_statistics(
    path: str | os.PathLike[str], measurements: Sequence[Measurement], *, staging: Staging | None = None
) -> None:
    """Write measurements as CSV, one row per structure."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for m in measurements:
        intensity = ["" if v is None else f"{v:.4f}" for v in (m.mean_intensity, m.std_intensity)]
        writer.writerow([csv_cell(m.structure, name=True), m.label, m.voxels, f"{m.volume_ml:.4f}", *intensity])
    with joined(staging) as group:
        group.aside(path).write_text(table.getvalue(), encoding="utf-8", newline="")
