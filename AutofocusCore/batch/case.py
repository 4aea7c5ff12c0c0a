"""One case of a cohort, and file names that work on every system."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from AutofocusCore.errors import InputError
from AutofocusCore.io.texts import printable

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LONGEST_NAME = 150  # bytes, which leaves room for endings


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        name: name of the case in tables and results.
        images: file or DICOM folder per channel, in the model's order; empty if one is missing.
        problem: why the case cannot be computed (cause, remedy), if that is already known.
        roi, series, frame: as in `Settings`, for this case only.
    """

    name: str
    images: tuple[str, ...]
    problem: tuple[str, str] | None = None
    roi: str | None = None
    series: str | None = None
    frame: int | None = None

    @property
    def stem(self) -> str:
        """The name as part of file names, on every system."""
        name = unicodedata.normalize("NFC", printable(self.name))
        stem = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip().rstrip(".")
        stem = f"_{stem}" if RESERVED.fullmatch(stem) or stem.startswith(".") else stem
        return stem or "_"


def with_readable_names(case: Case) -> Case:
    """The case with a problem if a path is not Unicode, because image libraries crash on it.

    The name of the case becomes one that can be written into tables.
    """
    for path in (*case.images, *([case.roi] if case.roi else [])):
        part = next((part for part in Path(path).parts if printable(part) != part), None)
        if part is not None:
            problem = (f"The name {printable(part)} has characters that are not valid Unicode (UTF-8)", "rename it")
            return dataclasses.replace(case, name=printable(case.name), images=(), roi=None, problem=problem)
    return dataclasses.replace(case, name=printable(case.name))


def check_names(cases: Iterable[Case]) -> None:
    """Refuse cases whose results would have the same file name on some system."""
    seen: dict[str, str] = {}
    for case in cases:
        if len(case.stem.encode()) > LONGEST_NAME:
            raise InputError(f"The case name {case.name[:40]}… is too long", f"use at most {LONGEST_NAME} letters")
        key = case.stem.casefold()
        other = seen.get(key)
        if other == case.name:
            raise InputError(f"Two cases are named {case.name}", "give each a name of its own")
        if other is not None:
            raise InputError(
                f"The cases {other} and {case.name} would write the same files", "give one of them another name"
            )
        seen[key] = case.name
