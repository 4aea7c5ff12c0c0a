"""BRATS: the trees of 2015, and the NIfTI releases of 2017 to 2023, as cases of four channels and one labelling.

In every one of them the labels are BRATS 2015's, so that a model of the paper trains on any of them: 1 necrosis,
2 oedema, 3 non-enhancing tumour, 4 enhancing tumour. From 2017 on necrosis and non-enhancing tumour share the label 1,
and 3 is not used; 2023 calls enhancing tumour 3, which becomes 4. The regions of the evaluation (whole: all; core: all
but oedema; enhancing: 4) therefore mean the same throughout.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from AutofocusCore.errors import InputError
from Training.preparing.found import (
    Found,
    FoundCase,
    ImageFile,
    Problem,
    files_below,
    safe_name,
    stem_of,
    without_duplicates,
)

CHANNELS = ("FLAIR", "T1", "T1c", "T2")
"""In the order of the authors' datalist/train_list.txt."""
STRUCTURES = {1: "Necrosis", 2: "Oedema", 3: "Non-enhancing tumour", 4: "Enhancing tumour"}
THREE_STRUCTURES = {1: "Necrosis", 2: "Oedema", 3: "Enhancing tumour"}
LABELS = "labels"
OUT_OF_RANGE = 255

VSD = re.compile(r"VSD\..*\.(?P<what>MR_Flair|MR_T1|MR_T1c|MR_T2|OT)\.(?P<id>\d+)", re.IGNORECASE)
VSD_PARTS = {"mr_flair": "FLAIR", "mr_t1": "T1", "mr_t1c": "T1c", "mr_t2": "T2", "ot": LABELS}
TCIA_VISIT = re.compile(r"(?P<patient>brats_\w+?_pat\w+?)_\d+", re.IGNORECASE)
"""brats_tcia_pat484_0093: several visits of one patient."""

LATER = re.compile(r"(?P<case>.+)[_-](?P<what>t1|t1ce|t2|flair|seg|t1n|t1c|t2w|t2f)", re.IGNORECASE)
LATER_PARTS = {
    **{"flair": "FLAIR", "t1": "T1", "t1ce": "T1c", "t2": "T2", "seg": LABELS},
    **{"t2f": "FLAIR", "t1n": "T1", "t1c": "T1c", "t2w": "T2"},
}
NAMES_OF_2023 = {"t2f", "t1n", "t1c", "t2w"}
VISIT = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d+)-\d+")
GRADES = ("HGG", "LGG")
"""Folders of high and of low grade, which number some patients alike: those of 2013 in BRATS 2015."""


@dataclass(frozen=True)
class _File:
    """A file with its patient, its part of the case, and its number on the server."""

    path: Path
    case: str
    part: str
    number: str = ""


def find_brats2015(source: Path, name: str) -> Found:
    """BRATS 2015's cases: PATIENT/VSD.Brain.XX.O.MR_Flair.54512/VSD.Brain.XX.O.MR_Flair.54512.mha, and so on.

    A case's submission name is `VSD.{name}.54512`, 54512 being the number of its FLAIR image, by which the server tells
    the cases; what is put for {name} is free. (The authors' test_online.py takes the number of the last channel, T2.)

    Raises:
        InputError: no such folder, or no such file in it.
    """
    files = []
    for path in files_below(source):
        stem = stem_of(path)
        match = VSD.fullmatch(stem) if stem else None
        if match:
            # A file lies in a folder of its own name, or, as some have unpacked it, in the patient's at once.
            folder = next(p for p in path.parents if p == source or not p.name.upper().startswith("VSD."))
            files.append(_File(path, str(folder), VSD_PARTS[match["what"].lower()], match["id"]))
    if not files:
        raise InputError(f"{source} holds no VSD.*.MR_Flair.*.mha", "give the unpacked folder of BRATS 2015")
    return _collected(source, name, files, TCIA_VISIT)


def find_brats(source: Path, name: str, three_structures: bool = False) -> Found:
    """The cases of BraTS 2017 to 2023: *_t1, *_t1ce, *_t2, *_flair, *_seg, or *-t1n, *-t1c, *-t2w, *-t2f, *-seg.

    Args:
        source: the folder.
        name: of the collection.
        three_structures: whether the labels are to be 1 necrosis (and non-enhancing tumour), 2 oedema, 3 enhancing
            tumour, without a gap, in place of 2015's.

    Raises:
        InputError: no such folder, or no such file in it.
    """
    files, newer, older = [], 0, 0
    for path in files_below(source):
        stem = stem_of(path)
        match = LATER.fullmatch(stem) if stem else None
        if match:
            what = match["what"].lower()
            newer, older = newer + (what in NAMES_OF_2023), older + (what in {"t1", "t1ce", "t2", "flair"})
            files.append(_File(path, f"{path.parent}/{match['case']}", LATER_PARTS[what]))
    if not files:
        raise InputError(f"{source} holds no *_flair.nii.gz and no *-t2f.nii.gz", "give the unpacked folder of BraTS")
    if newer and older:
        raise InputError(f"{source} holds files named as before 2023 and as of 2023", "prepare them separately")
    structures = THREE_STRUCTURES if three_structures else STRUCTURES
    # A label that the release does not have is put out of range, and so named, rather than taken for another.
    older_labels = {4: 3, 3: OUT_OF_RANGE} if three_structures else {}
    relabelled = {3: max(structures), 4: OUT_OF_RANGE} if newer else older_labels
    # Its servers know necrosis and non-enhancing tumour as 1, and enhancing tumour as 4, that of 2023 as 3.
    submitted = {max(structures): 3 if newer else 4} if three_structures else {3: 1, **({4: 3} if newer else {})}
    return _collected(source, name, files, VISIT, structures, relabelled, submitted)


def _collected(
    source: Path,
    name: str,
    files: Sequence[_File],
    visit: re.Pattern[str],
    structures: dict[int, str] | None = None,
    relabelled: dict[int, int] | None = None,
    submitted: dict[int, int] | None = None,
) -> Found:
    by_case: dict[str, dict[str, list[_File]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        by_case[file.case][file.part].append(file)
    labelled = any(parts[LABELS] for parts in by_case.values())
    named = _named(by_case, source, visit)
    cases, problems = [], []
    for key, parts in sorted(by_case.items()):
        case, patient = named[key]
        place = Path(key).relative_to(source).as_posix().lower() if Path(key) != source else ""
        testing = not labelled or re.search(r"(^|/)[^/]*(test|valid)", place) is not None
        missing = [part for part in CHANNELS if not parts[part]]
        twice = [part for part, there in parts.items() if len(there) > 1]
        if not parts[LABELS] and not testing:
            missing.append(LABELS)
        if missing:
            problems.append(Problem(case, f"It has no {' and no '.join(missing)}"))
        elif twice:
            shown = " and ".join(str(file.path) for file in parts[twice[0]])
            problems.append(Problem(case, f"Its {twice[0]} is given twice: {shown}"))
        else:
            number = parts["FLAIR"][0].number
            cases.append(
                FoundCase(
                    case,
                    tuple(ImageFile(parts[channel][0].path) for channel in CHANNELS),
                    ImageFile(parts[LABELS][0].path) if parts[LABELS] else None,
                    "train" if parts[LABELS] else "test",
                    patient,
                    f"VSD.{{name}}.{number}" if number else (Path(key).name if submitted is not None else None),
                    Path(key).name,
                )
            )
    unique, doubles = without_duplicates(cases)
    structures = structures or STRUCTURES
    return Found(name, source, CHANNELS, structures, tuple(unique), (*problems, *doubles), relabelled or {}, submitted)


def _named(keys: Iterable[str], source: Path, visit: re.Pattern[str]) -> dict[str, tuple[str, str]]:
    """The names of each case and its patient, with the grade in front if both grades have a case of that name."""

    def patient_of(name: str) -> str:
        match = visit.fullmatch(name)
        return match["patient"] if match else name

    names = {key: safe_name(Path(key).name) for key in keys}
    grades = {key: _grade(Path(key).relative_to(source)) for key in names}
    of_grade = {(grade, names[key].casefold()) for key, grade in grades.items()}
    both = {name for _, name in of_grade if all((grade, name) in of_grade for grade in GRADES)}
    patients = {patient_of(name) for name in names.values() if name.casefold() in both}
    named = {}
    for key, name in names.items():
        patient = patient_of(name)
        before = f"{grades[key]}_" if grades[key] else ""
        named[key] = (
            before + name if name.casefold() in both else name,
            before + patient if patient in patients else patient,
        )
    return named


def _grade(place: Path) -> str:
    """HGG or LGG, by the folder of a case; empty for neither."""
    return next((part.upper() for part in reversed(place.parts[:-1]) if part.upper() in GRADES), "")
