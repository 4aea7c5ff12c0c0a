"""Phantoms as the cases of a calibration: a folder of scans and labels, made from seeds that no training uses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.results import write_image
from AutofocusCore.phantom import PHANTOM_STRUCTURES, make_phantom
from Training.configuration.split_file import FILE_NAME
from Training.loop.data import FIRST_CALIBRATION_PHANTOM

COHORT = 40
"""Training phantoms whose volumes and places are measured: the first ones."""


def phantom_folder(folder: Path, count: int) -> Path:
    """A folder as `calibrate.py --data` takes it; phantoms that are there stay.

    Args:
        folder: to be made.
        count: phantoms to fit on, which no training has seen.
    """
    fitted = [FIRST_CALIBRATION_PHANTOM + i for i in range(count)]
    for seed in (*fitted, *range(COHORT)):
        _write(folder, seed)
    labels = {str(value): name.capitalize() for value, name in PHANTOM_STRUCTURES.items()}
    split = {"train": _names(range(COHORT)), "validation": _names(fitted)}
    with Staging() as staging:
        for name, content in (("labels.json", labels), (FILE_NAME, split)):
            staging.aside(folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return folder


def _names(seeds: Sequence[int]) -> list[str]:
    return [f"phantom-{seed}" for seed in seeds]


def _write(folder: Path, seed: int) -> None:
    name = f"phantom-{seed}.nii.gz"
    files = [folder / part / name for part in ("images", "labels")]
    if all(path.is_file() for path in files):
        return
    with Staging() as staging:
        for path, image in zip(files, make_phantom(seed), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(staging.aside(path), image)
