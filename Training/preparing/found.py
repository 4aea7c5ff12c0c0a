"""Result of a format's finder: the cases, not yet read, and the problems of those that cannot be used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import read_image
from AutofocusCore.images.reading import Scan
from AutofocusCore.models.parts import DEVICE_NAMES

MOST_STRUCTURES = 255
PARTS = ("train", "test")


@dataclass(frozen=True)
class Problem:
    """A fault of a case.

    Args:
        case: its name, or the file's where there is no case.
        problem: one sentence or more.
        left_out: whether the case cannot be used; otherwise it is only a warning.
    """

    case: str
    problem: str
    left_out: bool = True


@dataclass(frozen=True)
class ImageFile:
    """One channel's image: a file, one frame of a 4-D file, or one series of a DICOM folder."""

    path: Path
    frame: int | None = None
    series: str | None = None

    def read(self) -> Scan:
        """The image.

        Raises:
            InputError: it cannot be read, and why.
        """
        return read_image(self.path, frame=self.frame, series=self.series)


@dataclass(frozen=True)
class Contours:
    """An RTSTRUCT file.

    Args:
        path: of the file.
        names: for each label the patterns of its structure's names.
        frame: UID of the frame of reference of the series that it was drawn on; empty where that does not say.
        absent: labels of the structures that are absent where they have no contour; all others are unknown there.
    """

    path: Path
    names: tuple[tuple[int, tuple[str, ...]], ...]
    frame: str
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class FoundCase:
    """A case to prepare.

    Args:
        name: unique in the collection, and valid as a folder name.
        images: one for each channel.
        labels: a label map, contours, or None for a test case without.
        part: "train" or "test".
        patient: whose scans are kept together in a fold; the case's name where nothing is known.
        submission_name: under which BRATS's server takes the case's segmentation: "VSD.{name}.54512" that of 2015, the
            case's own name those of later years.
        given: its name in the data, if that differs.
        unknown: labels of the structures that are known not to have been contoured; of contours this shows when they
            are read.
    """

    name: str
    images: tuple[ImageFile, ...]
    labels: ImageFile | Contours | None
    part: str = "train"
    patient: str = ""
    submission_name: str | None = None
    given: str = ""
    unknown: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "given", self.given or self.name)

    @property
    def sources(self) -> list[Path]:
        """All files and folders that the case is made of."""
        return [image.path for image in self.images] + ([self.labels.path] if self.labels is not None else [])


@dataclass(frozen=True)
class Found:
    """A collection of cases in its original form.

    Args:
        name: of the collection.
        source: the folder that all its files are in.
        channels: names, in the order of each case's images.
        structures: names by label value, 1, 2, 3 ...
        cases: those that have all their files.
        problems: of the others.
        relabelled: new values of those label values that change.
        submitted: label values that differ on the server of a challenge; None without a server or difference.
    """

    name: str
    source: Path
    channels: tuple[str, ...]
    structures: Mapping[int, str]
    cases: tuple[FoundCase, ...]
    problems: tuple[Problem, ...] = ()
    relabelled: Mapping[int, int] = field(default_factory=dict)
    submitted: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        labels = list(self.structures)
        if not labels or labels != list(range(1, len(labels) + 1)) or len(labels) > MOST_STRUCTURES:
            raise SettingError(
                f"The structures have the labels {labels[:10]}", "give 1 to 255 structures, labelled 1, 2, 3 ..."
            )


def safe_name(text: str) -> str:
    """A valid folder name on every system: letters, digits, `_`, `-` and `.` in the middle."""
    name = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._") or "case"
    return f"case_{name}" if DEVICE_NAMES.fullmatch(name) else name


def without_duplicates(cases: Iterable[FoundCase]) -> tuple[list[FoundCase], list[Problem]]:
    """The cases with unique names, and the problems of the others and the changed names.

    Names are compared without upper and lower case, as on Windows and macOS. Cases with the same name in the data are
    left out.
    Those that have become the same because characters were replaced are numbered, in the order of their given names;
    one that had that name from the start keeps it.
    """
    named: dict[str, dict[str, list[FoundCase]]] = {}
    for case in cases:
        named.setdefault(case.name.casefold(), {}).setdefault(case.given.casefold(), []).append(case)
    taken = set(named)
    unique, problems = [], []
    for same in named.values():
        for alike in sorted(same.values(), key=lambda alike: alike[0].given):
            case = alike[0]
            if len(alike) > 1:
                shown = " and ".join(str(one.images[0].path) for one in alike)
                problems.append(Problem(case.name, f"Its name is given twice: {shown}"))
            elif len(same) == 1 or case.given == case.name:
                unique.append(case)
            else:
                name = next(n for n in (f"{case.name}_{i}" for i in count(1)) if n.casefold() not in taken)
                taken.add(name.casefold())
                told = (
                    f"It is {case.given!r} in the data, numbered because {case.name} would stand for {len(same)} cases"
                )
                problems.append(Problem(name, told, left_out=False))
                unique.append(replace(case, name=name, patient=name if case.patient == case.name else case.patient))
    return sorted(unique, key=lambda case: case.name), problems


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders, sorted; those whose names begin with a dot are ignored.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}", "check its name and place")
    found = [
        Path(parent, name)
        for parent, folders, names in os.walk(folder)
        for name in names
        if not name.startswith(".")  # such as the ._ files that macOS leaves beside each file on other disks
    ]
    if not found:
        raise InputError(f"The folder {folder} is empty", "unpack the data into it")
    return sorted(found)


def stem_of(path: Path, endings: tuple[str, ...] = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")) -> str | None:
    """An image file's name without its ending; None where it is no image."""
    return next((path.name[: -len(end)] for end in endings if path.name.lower().endswith(end)), None)
