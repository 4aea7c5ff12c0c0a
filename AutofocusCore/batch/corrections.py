"""Corrected cases of a folder or table: which segmentation belongs to which images.

    corrected/                 corrected/               corrected/
      anna/                      anna.nii.gz              images/ (or imagesTr/)
        CT.nii.gz                anna.seg.nrrd              anna.nii.gz
        CT.seg.nrrd              bert_ct.nrrd             labels/ (or labelsTr/)
      bert/                      bert_labels.nrrd           anna.nii.gz
        DICOM files
        RTSTRUCT, or Segmentation.seg.nrrd

Cases that were collected from the panel (collected.py) say themselves what belongs together, whatever their names are.

A table has the columns of a cohort's and `labels` (or `segmentation`), a file for each case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch.case import Case
from AutofocusCore.batch.case_folder import IMAGE_SUFFIXES, SEGMENTATION_SUFFIXES
from AutofocusCore.batch.case_table import column_of_table
from AutofocusCore.batch.cohort import read_cohort
from AutofocusCore.batch.collected import collected_cases
from AutofocusCore.batch.label_maps import LABEL_WORDS, patient_of, words_of
from AutofocusCore.batch.skipped import some
from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import stem_of, suffix_of
from AutofocusCore.io.kinds import is_file
from AutofocusCore.io.temporary import PREFIX
from AutofocusCore.io.texts import printable
from AutofocusCore.jobs.teach_cases import CorrectedCase

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

COLUMNS = ("labels", "segmentation")
PAIRED = (("images", "labels"), ("imagesTr", "labelsTr"))


def read_corrections(source: Path, channels: Sequence[Channel], say: Callable[[str], None]) -> list[CorrectedCase]:
    """The corrected cases of a folder or table, in its order.

    Args:
        source: the folder, or CSV file.
        channels: of the model.
        say: receives a line about files that belong to no case.

    Raises:
        InputError: there is none, or a case lacks an image or has no segmentation, or several.
    """
    if source.is_file():
        cases = read_cohort(source, channels, say=say)
        listed = []
        for case, labels in zip(cases, column_of_table(source, COLUMNS), strict=True):
            if labels is None:
                cause = f"The table names no segmentation for {case.name}"
                raise InputError(cause, f"fill in the column {COLUMNS[0]!r}")
            listed.append(_corrected(case, labels))
        return listed
    collected = {case.name: case for case in collected_cases(source) if len(case.images) == len(channels)}
    pair = next(((source / a, source / b) for a, b in PAIRED if (source / a).is_dir() and (source / b).is_dir()), None)
    if pair is not None:
        cases = read_cohort(pair[0], channels, say=say)
        files = _segmentations(pair[1], channels, named=True)
    else:
        cases = read_cohort(source, channels, say=lambda line: None)
        files = _segmentations(source, channels)
    found = [CorrectedCase(name, case.images, case.labels) for name, case in collected.items()]
    without = []
    for case in [case for case in cases if case.name not in collected]:
        own = source / case.name
        choices = _in_folder(own, channels) if pair is None and own.is_dir() else _of_case(case, files, channels)
        if len(choices) > 1:
            raise InputError(
                f"The case {case.name} has {len(choices)} segmentations: {some([path.name for path in choices])}",
                "leave one, or list the cases in a table with the column 'labels'",
            )
        if choices:
            found.append(_corrected(case, str(choices[0])))
        else:
            without.append(case.name)
    if without and found:
        are = "case has" if len(without) == 1 else "cases have"
        say(f"{len(without)} {are} no segmentation, and nothing is learned from them: {some(without)}.")
    if not found:
        raise InputError(
            f"{printable(str(source))} holds no corrected case: no image has a segmentation beside it",
            "put NAME.seg.nrrd beside NAME.nii.gz, or both into a folder for each case, or give a table",
        )
    return found


def _corrected(case: Case, labels: str) -> CorrectedCase:
    if case.problem is not None:
        raise InputError(f"{case.name}: {case.problem[0]}", case.problem[1])
    return CorrectedCase(case.name, case.images, labels)


def _segmentations(folder: Path, channels: Sequence[Channel], *, named: bool = False) -> list[Path]:
    """The files of a folder that are segmentations by their names; all images if their folder's name says so."""
    files = sorted(e for e in folder.iterdir() if is_file(e) and not e.name.startswith((".", PREFIX)))
    images = [file for file in files if suffix_of(file) in IMAGE_SUFFIXES]
    slicers = [file for file in files if file.name.lower().endswith(SEGMENTATION_SUFFIXES)]
    if named:
        return list(dict.fromkeys([*slicers, *images]))
    called = [file for file in images if file not in slicers and LABEL_WORDS & words_of(file, channels)]
    return [*slicers, *called]


def _in_folder(folder: Path, channels: Sequence[Channel]) -> list[Path]:
    """The segmentations of a case in its own folder; where it has none, the RTSTRUCT files among its DICOM files."""
    from AutofocusCore.images.structure_set import is_structure_set

    found = _segmentations(folder, channels)
    return found or [file for file in sorted(folder.rglob("*")) if is_file(file) and is_structure_set(file)]


def _of_case(case: Case, files: Sequence[Path], channels: Sequence[Channel]) -> list[Path]:
    """The segmentations of a case whose files lie among those of others: by the same name, else by the same words."""
    stems = {case.name, *(stem_of(image) for image in case.images)}
    same = [file for file in files if stem_of(file) in stems]
    if same:
        return same
    patients = {patient_of(Path(image), channels) for image in case.images}
    return [file for file in files if patient_of(file, channels) in patients]
