"""Reads corrected cases: images and a segmentation each, whose structures are matched with the model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.images import read_image
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import to_image
from AutofocusCore.io.atomic import suffix_of
from AutofocusCore.jobs.saved_result import read_result
from AutofocusCore.teaching.case import Case, case_of, with_known

if TYPE_CHECKING:
    from AutofocusCore.models.spec import ModelSpec

MOST_OUTSIDE = 0.01
"""Share of a structure's voxels that may lie outside the image, as a segmentation of the image never has."""
SHOWN_PROBLEMS = 8


@dataclass(frozen=True)
class CorrectedCase:
    """The files of a corrected case.

    Args:
        name: for messages alone; it goes into no model.
        images: file or DICOM folder for each channel, in the model's order.
        labels: `.seg.nrrd`, whose segments have the names of the model's structures; or a label map with the model's
            label values, or with a sidecar of this program.
    """

    name: str
    images: tuple[str, ...]
    labels: str


@dataclass(frozen=True)
class ReadCase:
    """A corrected case, read and checked.

    Args:
        case: on the model's grid; known are the structures to teach that it contours.
        channels: its images.
        truth: all contours, also those that are not taught, with the model's labels, on a grid of their own.
        contoured: labels of all structures that have contours.
        warnings: sentences for the user.
    """

    case: Case
    channels: tuple[sitk.Image, ...]
    truth: sitk.Image
    contoured: tuple[int, ...]
    warnings: tuple[str, ...]


def read_cases(
    cases: Sequence[CorrectedCase], spec: ModelSpec, taught: Sequence[int], step: Callable[[int], None]
) -> list[ReadCase]:
    """Read and check all cases.

    Args:
        cases: their files.
        spec: of the model.
        taught: labels of the structures to teach.
        step: called with the number of cases that are done; what it raises ends the work.

    Raises:
        InputError: all that is wrong with the cases, in one sentence each.
    """
    read: list[ReadCase] = []
    problems: list[str] = []
    for number, corrected in enumerate(cases):
        step(number)
        try:
            read.append(read_corrected(corrected, spec, taught))
        except AutofocusError as error:
            problems.append(f"{corrected.name}: {error}")
            if len(cases) == 1:
                raise InputError(f"{corrected.name}: {error.cause}", error.remedy) from None
    step(len(cases))
    if problems:
        _refuse(problems, len(cases))
    return read


def _refuse(problems: Sequence[str], count: int) -> None:
    more = f" (and {len(problems) - SHOWN_PROBLEMS} more)" if len(problems) > SHOWN_PROBLEMS else ""
    raise InputError(
        f"{len(problems)} of {count} corrected cases cannot be used: {' '.join(problems[:SHOWN_PROBLEMS])}{more}",
        "correct them or take them out",
    )


def read_corrected(corrected: CorrectedCase, spec: ModelSpec, taught: Sequence[int]) -> ReadCase:
    """Read one case.

    Raises:
        InputError: an image or the segmentation cannot be used; they do not lie in one place; no structure to teach is
            contoured, or none within the part of the scan that the model looks at.
    """
    scans = [read_image(path) for path in corrected.images]
    truth, warnings = _labels(corrected.labels, spec)
    _check_place(truth, Grid.of(scans[0].image), Path(corrected.labels).name)
    values = np.unique(sitk.GetArrayViewFromImage(truth))
    contoured = tuple(int(value) for value in values if value)
    known = tuple(label for label in contoured if label in taught)
    if not known:
        names = ", ".join(s.name for s in spec.structures if s.label in taught)
        raise InputError(f"The segmentation contours none of {names}", "contour one of them, or leave this case out")
    channels = [scan.image for scan in scans]
    case = with_known(case_of(corrected.name, channels, truth, spec), known)
    if spec.roi == "none":  # then the model computes all of the scan, whatever its normalisation looks at
        case = replace(case, roi=np.ones_like(case.roi))
    if not (case.labels[case.roi] > 0).any():
        where = "the model's grid" if not case.labels.any() else "the body that was found in the image"
        raise InputError(f"No contour lies within {where}", "check that segmentation and image belong together")
    warnings += [warning for scan in scans for warning in scan.warnings]
    return ReadCase(case, tuple(channels), truth, contoured, tuple(warnings))


def _labels(path: str, spec: ModelSpec) -> tuple[sitk.Image, list[str]]:
    """The segmentation with the model's label values, and warnings about segments that are not the model's."""
    result = read_result(path, spec.structures)
    given = sitk.GetArrayViewFromImage(result.labels)
    by_name = {plain_name(structure.name): structure.label for structure in spec.structures}
    there = {structure.label: structure.name for structure in result.structures}
    values = np.zeros(256, dtype=np.uint8)
    unknown = []
    for value in np.unique(given):
        name = there.get(int(value))
        label = by_name.get(plain_name(name)) if name is not None else None
        if label is not None:
            values[value] = label
        elif value:
            unknown.append(name or f"label {value}")
    names = ", ".join(structure.name for structure in spec.structures)
    if unknown and not values.any():
        raise InputError(
            f"{Path(path).name} has {', '.join(unknown)}, and the model has none of them",
            f"name the segments as the model does: {names}" if suffix_of(path) == ".seg.nrrd" else f"it has {names}",
        )
    warnings = []
    if unknown:
        they = "is not a structure" if len(unknown) == 1 else "are not structures"
        warnings = [f"{Path(path).name}: {', '.join(unknown)} {they} of the model ({names}), and is left out."]
    return to_image(values[given], Grid.of(result.labels)), warnings


def plain_name(name: str) -> str:
    """A name for comparing: letters and digits in lower case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _check_place(labels: sitk.Image, image: Grid, name: str) -> None:
    """Refuse a segmentation that is not empty where the image is not."""
    own = Grid.of(labels)
    z, y, x = np.nonzero(sitk.GetArrayViewFromImage(labels))
    if not len(z):
        raise InputError(f"{name} has no contour", "contour something, or leave this case out")
    index = image.to_index(own.to_mm(np.stack([x, y, z], axis=1).astype(np.float64)))
    size = np.asarray(image.size)
    outside = float(((index < -0.5 - 1e-3) | (index > size - 0.5 + 1e-3)).any(axis=1).mean())
    if outside > MOST_OUTSIDE:
        raise InputError(
            f"{100 * outside:.0f} % of what {name} contours lies outside the image",
            "give image and segmentation of one patient, on one grid",
        )
