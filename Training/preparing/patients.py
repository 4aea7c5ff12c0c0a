"""DICOM folders, one for each patient: finds the series of the contours, and checks that they belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images.dicom import is_dicom
from Training.preparing.found import (
    Contours,
    Found,
    FoundCase,
    ImageFile,
    Problem,
    files_below,
    safe_name,
    without_duplicates,
)

STRUCTURES = "RTSTRUCT"
IMAGES = ("CT", "MR", "PT")
DAMAGED = (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, InvalidDicomError)
"""Errors that pydicom raises for damaged files."""
WANTED = ["Modality", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"]


class _Unusable(Exception):
    """The reason why a patient's files are not a case."""


@dataclass
class _Patient:
    """The series of images, by UID, and the structure sets in a folder."""

    series: dict[str, list[Path]] = field(default_factory=dict)
    modality: dict[str, str] = field(default_factory=dict)
    frame: dict[str, str] = field(default_factory=dict)
    structure_sets: dict[str, Path] = field(default_factory=dict)


def find_patients(
    source: Path,
    name: str,
    structures: Mapping[int, str],
    patterns: Mapping[int, tuple[str, ...]],
    absent: Sequence[str] = (),
) -> Found:
    """One case for each folder in the source that holds a structure set and the series that it was drawn on.

    Args:
        source: holds a folder for each patient, with subfolders or without; or one patient's files themselves.
        name: of the collection.
        structures: names by label.
        patterns: by label, what the structure is called in the files, with `*` and `?`; the first that fits counts.
        absent: names of structures that are absent where they have no contour, as a prostate that was taken out; all
            others are unknown there.

    Raises:
        InputError: no such folder, or no DICOM in it.
        SettingError: a name in `absent` that is no structure's.
    """
    strange = [given for given in absent if given not in structures.values()]
    if strange:
        raise SettingError(f"--absent names {strange[0]!r}", f"use {', '.join(structures.values())}")
    missing = tuple(label for label, given in structures.items() if given in absent)
    patients: dict[str, _Patient] = {}
    problems: list[Problem] = []
    for path in files_below(source):
        if not is_dicom(path):
            continue
        inside = path.relative_to(source).parts
        key = inside[0] if len(inside) > 1 else source.resolve().name
        try:
            _add(patients.setdefault(key, _Patient()), path)
        except DAMAGED as error:
            problems.append(Problem(key, f"{path} is a damaged DICOM file ({type(error).__name__})"))
    if not patients:
        raise InputError(f"{source} holds no DICOM file", "give the folder that holds the patients' folders")
    damaged = {problem.case for problem in problems}
    table = tuple((label, tuple(patterns[label])) for label in structures)
    cases, modalities = [], {}
    for key in sorted(set(patients) - damaged):
        try:
            case, modality = _case(key, patients[key], table, missing)
            modalities[key] = modality
            cases.append(case)
        except _Unusable as error:
            problems.append(Problem(key, str(error)))
    channel = next((m for m in IMAGES if m in modalities.values()), "CT")
    others = [case for case in cases if modalities[case.given] != channel]
    problems += [Problem(c.name, f"Its contours are drawn on {modalities[c.given]}, not on {channel}") for c in others]
    unique, doubles = without_duplicates(case for case in cases if case not in others)
    return Found(name, source, (channel,), structures, tuple(unique), (*problems, *doubles))


def _add(patient: _Patient, path: Path) -> None:
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=WANTED)
    modality = str(header.get("Modality") or "")
    if modality == STRUCTURES:
        patient.structure_sets.setdefault(str(header.get("SOPInstanceUID") or path), path)
    elif modality in IMAGES:
        uid = str(header.get("SeriesInstanceUID") or "")
        patient.series.setdefault(uid, []).append(path)
        patient.modality[uid] = modality
        patient.frame[uid] = str(header.get("FrameOfReferenceUID") or "")


def _case(
    key: str, patient: _Patient, table: tuple[tuple[int, tuple[str, ...]], ...], absent: tuple[int, ...]
) -> tuple[FoundCase, str]:
    if not patient.series:
        raise _Unusable("It has no image series (CT, MR or PT)")
    if not patient.structure_sets:
        raise _Unusable("It has no structure set (RTSTRUCT)")
    matching, why = [], []
    for path in patient.structure_sets.values():
        try:
            uid = _series_of(pydicom.dcmread(path, force=True), patient, path.name)
            matching.append((path, uid))
        except _Unusable as error:
            why.append(str(error))
        except DAMAGED as error:
            why.append(f"{path.name} is a damaged DICOM file ({type(error).__name__})")
    if not matching:
        raise _Unusable("; ".join(why))
    if len(matching) > 1:
        shown = ", ".join(path.name for path, _ in matching)
        raise _Unusable(f"It has {len(matching)} structure sets ({shown}): remove all but one")
    path, uid = matching[0]
    image = ImageFile(_folder_of(patient.series[uid]), series=uid or None)
    contours = Contours(path, table, patient.frame[uid], absent)
    name = safe_name(key)
    return FoundCase(name, (image,), contours, patient=name, given=key), patient.modality[uid]


def _series_of(header: Any, patient: _Patient, name: str) -> str:
    """The UID of the series that a structure set was drawn on."""
    referenced, frames = set(), set()
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in frame.get("RTReferencedStudySequence") or []:
            for series in study.get("RTReferencedSeriesSequence") or []:
                referenced.add(str(series.get("SeriesInstanceUID") or ""))
    regions = header.get("StructureSetROISequence") or []
    frames |= {str(region.get("ReferencedFrameOfReferenceUID") or "") for region in regions}
    frames.discard("")
    referenced.discard("")
    if list(patient.series) == [""]:
        return ""  # anonymised without references, but there is only this series
    there = [uid for uid in patient.series if uid in referenced]
    if not there:
        if referenced:
            raise _Unusable(f"{name} was drawn on a series that is missing ({', '.join(sorted(referenced))})")
        there = [uid for uid in patient.series if patient.frame[uid] in frames]
    if len(there) != 1:
        raise _Unusable(f"{name} was drawn on one of {len(there)} series, and does not say which")
    own = patient.frame[there[0]]
    if own and frames and own not in frames:
        raise _Unusable(f"{name} and the series it names have different frames of reference")
    return there[0]


def _folder_of(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files]))
