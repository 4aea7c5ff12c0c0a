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
from AutofocusCore.images.series import list_series
from AutofocusCore.images.structure_set import StructureSet, is_structure_set, read_structure_set, series_drawn_on
from AutofocusCore.io.kinds import is_file, is_folder
from AutofocusCore.jobs.teach_contours import Named, labels_of_result, labels_of_structure_set
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
        labels: `.seg.nrrd` or RTSTRUCT, whose segments have the names of the model's structures; or a label map with
            the model's label values, or with a sidecar of this program.
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
    cases: Sequence[CorrectedCase],
    spec: ModelSpec,
    taught: Sequence[int],
    step: Callable[[int], None],
    named: Named = (),
) -> list[ReadCase]:
    """Read and check all cases.

    Args:
        cases: their files.
        spec: of the model.
        taught: labels of the structures to teach.
        step: called with the number of cases that are done; what it raises ends the work.
        named: other names of structures in the cases, each with the model's.

    Raises:
        InputError: all that is wrong with the cases, in one sentence each.
    """
    read: list[ReadCase] = []
    problems: list[str] = []
    for number, corrected in enumerate(cases):
        step(number)
        try:
            read.append(read_corrected(corrected, spec, taught, named))
        except AutofocusError as error:
            problems.append(f"{corrected.name}: {error}")
            if len(cases) == 1:
                raise InputError(f"{corrected.name}: {error.cause}", error.remedy) from None
    step(len(cases))
    if problems:
        _refuse(problems, len(cases))
    return read


def _refuse(problems: Sequence[str], count: int) -> None:
    listed = " ".join(problems[:SHOWN_PROBLEMS]).removesuffix(".")
    more = f" (and {len(problems) - SHOWN_PROBLEMS} more)" if len(problems) > SHOWN_PROBLEMS else ""
    raise InputError(
        f"{len(problems)} of {count} corrected cases cannot be used: {listed}{more}",
        "correct them or take them out",
    )


def _series_of(corrected: CorrectedCase, drawn: StructureSet) -> tuple[int, str | None]:
    """The number of the channel that was contoured, and the UID of its series if that is a DICOM folder."""
    folders = {number: Path(path) for number, path in enumerate(corrected.images) if is_folder(path)}
    holding = (n for n, path in folders.items() if any(s.uid in drawn.series for s in list_series(path)))
    number = next(holding, next(iter(folders), 0))
    if number not in folders:
        return number, None
    return number, series_drawn_on(drawn, folders[number], Path(corrected.labels).name)


def read_corrected(corrected: CorrectedCase, spec: ModelSpec, taught: Sequence[int], named: Named = ()) -> ReadCase:
    """Read one case; arguments as for `read_cases`.

    Raises:
        InputError: an image or the segmentation cannot be used; they do not lie in one place; no structure to teach is
            contoured, or none within the part of the scan that the model looks at.
    """
    path = Path(corrected.labels)
    drawn = read_structure_set(path) if is_file(path) and is_structure_set(path) else None
    on, series = (0, None) if drawn is None else _series_of(corrected, drawn)
    scans = [read_image(file, series=series if number == on else None) for number, file in enumerate(corrected.images)]
    if drawn is None:
        truth, warnings = labels_of_result(path, spec, named)
    else:
        truth, warnings = labels_of_structure_set(drawn, path, Grid.of(scans[on].image), spec, named)
    _check_place(truth, Grid.of(scans[0].image), path.name)
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


def _check_place(labels: sitk.Image, image: Grid, name: str) -> None:
    """Refuse a segmentation that is not empty where the image is not."""
    own = Grid.of(labels)
    z, y, x = np.nonzero(sitk.GetArrayViewFromImage(labels))
    if not len(z):
        raise InputError(f"{name} has no contour", "contour something, or leave this case out")
    outside = float(image.outside(own.to_mm(np.stack([x, y, z], axis=1).astype(np.float64))).mean())
    if outside > MOST_OUTSIDE:
        raise InputError(
            f"{100 * outside:.0f} % of what {name} contours lies outside the image",
            "give image and segmentation of one patient, on one grid",
        )
