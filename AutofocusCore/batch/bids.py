"""Folders laid out by the Brain Imaging Data Structure (https://bids.neuroimaging.io).

dataset_description.json
sub-01/[ses-1/]anat/sub-01_[ses-1_]T1w.nii.gz     one folder per kind of image; the last word names the modality
derivatives/, sourcedata/, code/                  no raw images
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from AutofocusCore.io.atomic import stem_of, suffix_of
from AutofocusCore.io.kinds import is_file, is_folder

SUBJECT = re.compile(r"sub-[0-9A-Za-z]+")
NAME = re.compile(r"(sub-[0-9A-Za-z]+)(_ses-[0-9A-Za-z]+)?((?:_[0-9a-z]+-[0-9A-Za-z]+)*)_([0-9A-Za-z]+)")
SESSION = re.compile(r"ses-[0-9A-Za-z]+")
SUFFIXES = {
    "T1w", "T2w", "T1rho", "T1map", "T2map", "T2star", "T2starw", "FLAIR", "PD", "PDw", "PDT2", "inplaneT1",
    "inplaneT2", "UNIT1", "MTR", "MTS", "MP2RAGE", "angio", "defacemask", "bold", "cbv", "sbref", "dwi", "asl", "pet",
    "epi", "fieldmap", "phase", "phase1", "phase2", "phasediff", "magnitude", "magnitude1", "magnitude2", "swi",
    "minIP", "ct",
}  # fmt: skip
"""Suffixes of BIDS names that are modalities."""
KINDS = {"anat", "ct", "dwi", "fmap", "func", "micr", "perf", "pet"}
DEEPEST = 3  # folders below a subject's: session, kind


def is_bids(folder: Path) -> bool:
    """Whether a folder holds (or is) folders of subjects, each with folders of sessions or kinds of images."""
    return any(_is_subject(entry) for entry in subjects_in(folder))


def subjects_in(folder: Path) -> list[Path]:
    """The folders sub-..., by name; the folder itself where it is one, or one of a subject's sessions."""
    if (SUBJECT.fullmatch(folder.name) or SESSION.fullmatch(folder.name)) and _is_subject(folder):
        return [folder]
    return sorted(entry for entry in _entries(folder) if SUBJECT.fullmatch(entry.name) and is_folder(entry))


def images_of(subject: Path, suffixes: Sequence[str]) -> list[Path]:
    """The images of a subject, of all sessions and kinds, by name."""
    found: list[Path] = []
    for place, folders, files in os.walk(subject):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(Path(place).relative_to(subject).parts) >= DEEPEST:
            folders.clear()
        found += [Path(place, name) for name in sorted(files) if suffix_of(name) in suffixes]
    return [file for file in found if is_file(file)]


def visit_of(image: Path) -> str:
    """Subject and session, `sub-01_ses-1`: images of one visit are channels of one case."""
    found = NAME.fullmatch(stem_of(image))
    return f"{found[1]}{found[2] or ''}" if found else image.parent.name


def case_of(image: Path) -> str:
    """The name without its modality: `sub-01_run-2` of sub-01_run-2_T1w.nii.gz."""
    found = NAME.fullmatch(stem_of(image))
    return f"{found[1]}{found[2] or ''}{found[3]}" if found else stem_of(image)


def modality_name(image: Path) -> str | None:
    """The part of a BIDS name with the modality: its suffix, and a contrast agent, `ce-gd_T1w.nii.gz`.

    None for other names. The other parts may contain the letters of a pattern without being the modality: the subject
    (sub-ct01_T1w), what it was aligned to (space-T1w_T2w), how it was made (rec-T1w_T2w).
    """
    found = NAME.fullmatch(stem_of(image))
    if found is None:
        return None
    agent = re.search(r"_(ce-[0-9A-Za-z]+)", found[3])
    return (f"{agent[1]}_" if agent else "") + found[4] + suffix_of(image)


def has_modality(image: Path) -> bool:
    """Whether the last word of its name is one of the modalities that BIDS knows."""
    found = NAME.fullmatch(stem_of(image))
    return found is not None and found[4] in SUFFIXES


def _is_subject(folder: Path) -> bool:
    entries = [entry.name for entry in _entries(folder)]
    sessions = [name for name in entries if name.startswith("ses-")]
    return any(name in KINDS for name in entries) or any(
        entry.name in KINDS for session in sessions for entry in _entries(folder / session)
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
