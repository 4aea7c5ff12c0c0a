"""Writes the files of a case atomically; a case is not made again if its files are unchanged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore import __version__
from AutofocusCore.errors import AutofocusError, OutputError
from AutofocusCore.images import Grid
from AutofocusCore.images.resampling import to_image
from AutofocusCore.io.temporary import aside_name
from Training.preparing.data_list import sha256_of, write_json
from Training.preparing.found import Found, FoundCase, Problem, safe_name
from Training.preparing.reading import Settings, Volumes, read_case

CASES = "cases"
RECORD = "case.json"
FORM = 3
"""Version of the record; cases with another version are made again."""


@dataclass(frozen=True)
class Outcome:
    """Result of preparing one case: its entry in data.json or None, its problems, and whether it existed already."""

    case: str
    facts: dict[str, Any] | None
    problems: tuple[Problem, ...]
    kept: bool = False


def make_case(case: FoundCase, found: Found, settings: Settings, out: Path) -> Outcome:
    """Read, check and convert one case into `out/cases/NAME`, unless that was done before from the same files.

    Args:
        found: the collection, of which channels, structures and relabelling are used.

    Raises:
        OutputError: the disk is full, or nothing may be written there.
    """
    folder = out / CASES / case.name
    try:
        key = _fingerprint(case, found, settings)
    except OSError as error:
        return Outcome(case.name, None, (Problem(case.name, f"{error.filename} cannot be read ({error.strerror})"),))
    record = _record_of(folder, key, out)
    if record is not None:
        problems = tuple(Problem(case.name, text, left_out=False) for text in record["remarks"])
        return Outcome(case.name, record["facts"], problems, kept=True)
    try:
        volumes = read_case(case, found, settings)
    except AutofocusError as error:
        return Outcome(case.name, None, (Problem(case.name, str(error)),))
    except MemoryError:
        return Outcome(case.name, None, (Problem(case.name, "It is too large for the memory of this machine"),))
    partial = aside_name(folder)  # of this process alone, so that no other one writes into it
    try:
        partial.mkdir(parents=True)
        facts = _write(volumes, found, partial, f"{CASES}/{case.name}")
        write_json(partial / RECORD, {"key": key, "facts": facts, "remarks": volumes.remarks})
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        why = getattr(error, "strerror", None) or "the image could not be written"
        raise OutputError(f"{folder} cannot be written ({why})", "check space and rights there") from None
    return Outcome(case.name, facts, tuple(Problem(case.name, text, left_out=False) for text in volumes.remarks))


def _write(volumes: Volumes, found: Found, folder: Path, place: str) -> dict[str, Any]:
    """Write a case's files, and return what data.json says of it."""
    names = []
    for i, (channel, values) in enumerate(zip(found.channels, volumes.images, strict=True)):
        names.append(f"image{i}_{safe_name(channel)}.nii.gz")
        _save(values, volumes.grid, folder / names[-1])
    facts: dict[str, Any] = {"images": [f"{place}/{name}" for name in names], "labels": None, "roi": None}
    if volumes.labels is not None:
        facts |= _contours(volumes.labels, volumes.grid, volumes.roi, found.structures)
        facts["unknown"] = [found.structures[label] for label in volumes.unknown]
        facts["labels"] = f"{place}/labels.nii.gz"
        _save(volumes.labels, volumes.grid, folder / "labels.nii.gz")
    if volumes.roi is not None:
        facts["roi"] = f"{place}/roi.nii.gz"
        _save(volumes.roi.astype(np.uint8), volumes.grid, folder / "roi.nii.gz")
    if volumes.background is not None:
        facts["background"] = volumes.background
    files = [*facts["images"], *(facts[what] for what in ("labels", "roi") if facts[what])]
    facts["sha256"] = {path: sha256_of(folder / Path(path).name) for path in files}
    return facts


def _contours(
    labels: NDArray[np.uint8], grid: Grid, roi: NDArray[np.bool_] | None, structures: Mapping[int, str]
) -> dict[str, Any]:
    """Size and place of each structure: `CaseEntry`'s voxels, volumes_ml, centres_mm, outside."""
    counts = np.bincount(labels.ravel(), minlength=len(structures) + 1)
    centres = {}
    for label in structures:
        if counts[label]:
            middle = np.array([where.mean() for where in np.nonzero(labels == label)])
            centres[str(label)] = [round(float(mm), 2) for mm in grid.to_mm(middle[::-1])]
    return {
        "voxels": {str(label): int(counts[label]) for label in structures},
        "volumes_ml": {str(label): round(float(counts[label] * grid.voxel_mm3 / 1000), 4) for label in structures},
        "centres_mm": centres,
        "outside": {} if roi is None else _shares_outside(labels, roi, counts, structures),
    }


def _shares_outside(
    labels: NDArray[np.uint8], roi: NDArray[np.bool_], counts: NDArray[np.intp], structures: Mapping[int, str]
) -> dict[str, float]:
    beyond = np.bincount(labels[~roi], minlength=len(counts))
    return {str(label): round(float(beyond[label] / counts[label]), 3) for label in structures if counts[label]}


def _save(values: np.ndarray, grid: Grid, path: Path) -> None:
    sitk.WriteImage(to_image(values, grid), str(path), useCompression=True)


def _record_of(folder: Path, key: str, out: Path) -> dict[str, Any] | None:
    """The record of a case that is there, made in the same way from the same files, with all its files unchanged."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        sums: dict[str, str] = record["facts"]["sha256"]
        same = record["key"] == key and all(sha256_of(out / path) == value for path, value in sums.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if same else None


def _fingerprint(case: FoundCase, found: Found, settings: Settings) -> str:
    """Everything that a case's files depend on: sources (name, size, time of change), settings, version."""
    asked = {
        "version": __version__,
        "form": FORM,
        "sources": [_stamp(path, found.source) for path in case.sources],
        "which": [(image.frame, image.series) for image in case.images],
        "contours": repr(getattr(case.labels, "names", None)),
        "absent": list(getattr(case.labels, "absent", ())),
        "unknown": list(case.unknown),
        "channels": found.channels,
        "structures": len(found.structures),
        "relabelled": sorted(found.relabelled.items()),
        "settings": asdict(settings),
    }
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _stamp(path: Path, source: Path) -> Sequence[tuple[str, int, int]]:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [(f.relative_to(source).as_posix(), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
