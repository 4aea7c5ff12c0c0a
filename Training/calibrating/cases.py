"""The cases that a calibration is fitted on: the model's probabilities, kept on disk, and the reference contours.

Running the model takes minutes a case, fitting takes seconds; so every case's probabilities are kept, as half floats on
the model's grid, and a calibration that is fitted again reads them from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.io.atomic import Staging
from AutofocusCore.models import Model
from AutofocusCore.review.evidence import Evidence, evidence_of
from Training.configuration.config import Config

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Collection:
    """Images and reference contours in folders, a file each, by the same name.

    Attributes:
        images, labels: folders.
        contoured: by case the structures that were contoured; None: all of them in every case.
        values: the label value of each structure in the label maps.
        offset: added to the scans' values: -1024 for CT stored as HU + 1024.
        without: contours that count as unknown: (case, structure).
        volumes_ml: by structure the smallest and largest volume of the intended convention; others are unknown.
    """

    images: Path
    labels: Path
    contoured: dict[str, list[str]] | None
    values: dict[str, int]
    offset: float = 0.0
    without: frozenset[tuple[str, str]] = frozenset()
    volumes_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def scan(self, case: str) -> sitk.Image:
        """The scan of a case."""
        image = read_image(_file(self.images, case)).image
        if not self.offset:
            return image
        moved = sitk.Cast(image, sitk.sitkFloat32) + self.offset
        for key in image.GetMetaDataKeys():
            moved.SetMetaData(key, image.GetMetaData(key))
        return moved

    def truth(self, case: str) -> sitk.Image:
        """The label map of a case."""
        return read_image(_file(self.labels, case)).image

    def known(self, case: str) -> list[str]:
        """The structures that were contoured in a case; the others are unknown there, not absent."""
        names = [name for name in self.values if (case, name) not in self.without]
        if self.contoured is not None:
            names = [name for name in names if name in self.contoured.get(case, ())]
        return [name for name in names if name not in self.volumes_ml or self._of_the_convention(case, name)]

    def _of_the_convention(self, case: str, name: str) -> bool:
        truth = self.truth(case)
        voxels = int((sitk.GetArrayViewFromImage(truth) == self.values[name]).sum())
        low, high = self.volumes_ml[name]
        return low <= voxels * Grid.of(truth).voxel_mm3 / 1000 <= high


def collection(
    images: Path,
    labels: Path,
    structures: Sequence[str],
    *,
    contoured: Path | None = None,
    names: Path | None = None,
    offset: float = 0.0,
    config: Config | None = None,
) -> Collection:
    """A collection in folders.

    Args:
        images, labels: folders.
        structures: of the model; without `names` they have the label values 1, 2, 3, ...
        contoured: JSON, case → list of structures.
        names: JSON, label value → structure.
        offset: added to the scans' values.
        config: of the training, whose unknown contours, and those of other conventions, are unknown here too.

    Raises:
        InputError: a JSON file cannot be read, or is no table.
    """
    values = {name: value for value, name in enumerate(structures, start=1)}
    if names is not None:
        given = {str(name): int(value) for value, name in _table(names, "label value → structure").items()}
        values = {name: given[name] for name in structures if name in given}
    listed = None if contoured is None else _table(contoured, "case → list of structures")
    if config is None:
        return Collection(images, labels, listed, values, offset)
    unknown = frozenset((case, name) for case, named in config.data.unknown.items() for name in named)
    return Collection(images, labels, listed, values, offset, unknown, dict(config.data.volume_ml))


def _table(path: Path, what: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", f"make it a JSON object: {what}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is no JSON object", f"make it one: {what}")
    return found


def _file(folder: Path, case: str) -> Path:
    for suffix in SUFFIXES:
        if (folder / f"{case}{suffix}").is_file():
            return folder / f"{case}{suffix}"
    raise InputError(f"The folder {folder} has no image of case {case}", f"name it {case}{SUFFIXES[0]}")


@dataclass(frozen=True)
class CaseRun:
    """Run of a case: evidence for the review, and the delivered labels, (z, y, x) on the scan's grid."""

    evidence: Evidence
    labels: NDArray[np.uint8]


def run_case(model: Model, case: str, images: Collection, folder: Path, *, device: str = "auto") -> CaseRun:
    """The run of a case, from the folder of earlier runs or by running the model.

    Args:
        model: whose.
        case: its name.
        images: where the scan is.
        folder: where runs are kept, in a file each, named after the case and the weights' checksum.
        device: to run on.
    """
    kept = folder / f"{case}-{model.checksum[:12]}-labels.npz"
    if not kept.is_file():
        from AutofocusCore.segmentation import segment_image

        result = segment_image(model, [images.scan(case)], device=device, evidence=True)
        assert result.evidence is not None
        folder.mkdir(parents=True, exist_ok=True)
        with Staging() as staging:
            arrays = _arrays(result.evidence, sitk.GetArrayViewFromImage(result.labels))
            np.savez(staging.aside(kept), **arrays)  # type: ignore[arg-type]
    with np.load(kept) as found:
        grid, scan_grid = _grid(found, "grid"), _grid(found, "scan")
        intensities = tuple(tuple(row) for row in found["intensities"].tolist())
        scores, labels = found["probabilities"].astype(np.float32), found["labels"]
    return CaseRun(evidence_of(scores, grid, labels, scan_grid, intensities), labels)


def _arrays(evidence: Evidence, labels: NDArray[np.uint8]) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "labels": labels,
        "probabilities": evidence.probabilities.astype(np.float16),
        "intensities": np.asarray(evidence.intensities),
    }
    for name, grid in (("grid", evidence.grid), ("scan", evidence.scan)):
        arrays |= {f"{name}_{part}": np.asarray(getattr(grid, part)) for part in GRID_PARTS}
    return arrays


GRID_PARTS = ("size", "spacing", "origin", "direction")


def _grid(found: Any, name: str) -> Grid:
    return Grid(*(tuple(found[f"{name}_{part}"].tolist()) for part in GRID_PARTS))


def dice_of(
    labels: NDArray[np.uint8], truth: sitk.Image, values: dict[str, int], names: Sequence[str]
) -> dict[str, float]:
    """Dice of every known structure as it was delivered, on the scan's grid. NaN where both are empty."""
    reference = sitk.GetArrayViewFromImage(truth)
    found = {}
    for index, name in enumerate(names, start=1):
        if name in values:
            own, true = labels == index, reference == values[name]
            total = int(own.sum()) + int(true.sum())
            found[name] = 2 * int((own & true).sum()) / total if total else float("nan")
    return found


def volumes_of(
    labels: NDArray[np.uint8], truth: sitk.Image, values: dict[str, int], names: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """What was contoured and what was found of every known structure, in mL."""
    reference, voxel_ml = sitk.GetArrayViewFromImage(truth), Grid.of(truth).voxel_mm3 / 1000
    return {
        name: (float((reference == values[name]).sum()) * voxel_ml, float((labels == index).sum()) * voxel_ml)
        for index, name in enumerate(names, start=1)
        if name in values
    }
