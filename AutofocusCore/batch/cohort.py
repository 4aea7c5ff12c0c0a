"""Which patients there are, and which file is which channel: from a table, or from the names in a folder.

A table is a CSV with a header: `case`, one column per channel of the model (a model with one channel also takes
`image`), and, where wanted, `roi` (mask), `series` and `frame`. Paths are relative to the table.

A folder holds either one folder per case, with a file (or a DICOM folder) per channel in it, or the files of all cases.
The model's file-name patterns tell the channels apart, and what the pattern leaves of the name is the case.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.errors import InputError
from AutofocusCore.staging import PREFIX, stem_of, suffix_of

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
OPTIONAL_COLUMNS = ("roi", "series", "frame")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LONGEST_NAME = 150  # bytes, so that endings can be added


@dataclass(frozen=True)
class Case:
    """One patient.

    Args:
        name: as in the table; names the case in results.
        images: file or DICOM folder per channel, in the model's order; empty where one is missing.
        problem: why the case cannot be computed (cause, remedy), where that is known already.
        roi, series, frame: as in `Settings`, for this case alone.
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
        stem = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", unicodedata.normalize("NFC", self.name)).strip().rstrip(".")
        stem = f"_{stem}" if RESERVED.fullmatch(stem) or stem.startswith(".") else stem
        return stem or "_"


def read_cohort(source: Path, channels: Sequence[Channel], *, leave_out: Path | None = None) -> list[Case]:
    """All cases of a table or folder, in its order (folders: by name).

    Args:
        source: CSV file or folder.
        channels: the model's.
        leave_out: folder whose content is no input (the output folder).

    Raises:
        InputError: nothing there, no cases, missing columns, or two cases with the same name.
    """
    if source.is_dir():
        cases = _from_folder(source, channels, leave_out)
    elif source.is_file():
        cases = _from_table(source, channels)
    else:
        raise InputError(f"There is no table or folder {source}", "check the path")
    if not cases:
        raise InputError(f"{source} holds no case", "give a table with rows, or a folder with images")
    check_names(cases)
    return cases


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


def _from_table(table: Path, channels: Sequence[Channel]) -> list[Case]:
    rows = _rows(table)
    if not rows:
        raise InputError(f"The table {table} is empty", "give it a header and a row per case")
    header = [_plain(name) for name in rows[0]]
    columns = {}
    for wanted in ("case", *(channel.name for channel in channels)):
        names = [_plain(wanted)]
        if len(channels) == 1 and wanted != "case":
            names.append("image")
        found = next((name for name in names if name in header), None)
        if found is None:
            there = ", ".join(rows[0])
            raise InputError(f"The table {table} has no column {wanted!r}", f"add it; there are {there}")
        columns[wanted] = header.index(found)
    cases = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue

        def cell(index: int, row: list[str] = row) -> str:
            return row[index].strip() if index < len(row) else ""

        name = cell(columns["case"])
        if not name:
            raise InputError(f"Row {number} of {table} has no case name", "fill in the column 'case'")
        paths = [cell(columns[channel.name]) for channel in channels]
        missing = [channel.name for channel, path in zip(channels, paths, strict=True) if not path]
        more = {key: cell(header.index(key)) or None for key in OPTIONAL_COLUMNS if key in header}
        problem = (f"The table names no file for {missing[0]}", f"fill it in, in row {number}") if missing else None
        frame = more.get("frame")
        if frame is not None and not frame.isdigit():
            problem = (f"The frame is {frame!r}", f"give a whole number from 0 up, in row {number}")
        roi = more.get("roi")
        cases.append(
            Case(
                name=name,
                images=() if missing else tuple(_resolve(table, path) for path in paths),
                problem=problem,
                roi=None if roi is None else _resolve(table, roi),
                series=more.get("series"),
                frame=int(frame) if frame is not None and frame.isdigit() else None,
            )
        )
    return cases


def _rows(table: Path) -> list[list[str]]:
    try:
        data = table.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise InputError(f"The table {table} cannot be read: {error.strerror}", "check the file") from None
    except UnicodeDecodeError:
        raise InputError(f"The table {table} is not UTF-8 text", "save it as 'CSV UTF-8'") from None
    first = next(iter(text.splitlines()), "")
    delimiter = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"The table {table} is no CSV ({error})", "check its quotation marks") from None


def _plain(name: str) -> str:
    """Column and channel names match whatever their case, blanks, dashes and underscores."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFC", name)).casefold()


def _resolve(table: Path, path: str) -> str:
    return str(table.absolute().parent / Path(path).expanduser())


def _from_folder(folder: Path, channels: Sequence[Channel], leave_out: Path | None) -> list[Case]:
    away = None if leave_out is None else leave_out.resolve()
    entries = sorted(
        (e for e in folder.iterdir() if not e.name.startswith((".", PREFIX)) and e.resolve() != away),
        key=lambda entry: entry.name,
    )
    folders = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if entry.is_file() and _is_image(entry)]
    if files:
        return _from_files(files, channels)
    return [_from_case_folder(entry, channels) for entry in folders]


def _from_files(files: Sequence[Path], channels: Sequence[Channel]) -> list[Case]:
    if len(channels) == 1:
        chosen = [file for file in files if _matches(file, channels[0])] or list(files)
        return [Case(stem_of(file), (str(file),)) for file in chosen]
    groups: dict[str, list[list[Path]]] = {}
    for file in files:
        number, pattern = _channel_of(file, channels)
        if number is not None:
            rest = _without(pattern, file)
            groups.setdefault(rest, [[] for _ in channels])[number].append(file)
    return [_assigned(name, found, channels) for name, found in sorted(groups.items())]


def _from_case_folder(folder: Path, channels: Sequence[Channel]) -> Case:
    entries = sorted(e for e in folder.iterdir() if not e.name.startswith("."))
    choices = [e for e in entries if e.is_dir() or _is_image(e)]
    if len(channels) == 1:
        fitting = [e for e in choices if _matches(e, channels[0])] or choices
        # No image and no folder in it: then its files are the slices of a DICOM series.
        return _assigned(folder.name, [fitting if choices else [folder]], channels)
    found: list[list[Path]] = [[] for _ in channels]
    for entry in choices:
        number, _ = _channel_of(entry, channels)
        if number is not None:
            found[number].append(entry)
    return _assigned(folder.name, found, channels)


def _assigned(name: str, found: Sequence[Sequence[Path]], channels: Sequence[Channel]) -> Case:
    for files, channel in zip(found, channels, strict=True):
        if len(files) != 1:
            patterns = ", ".join(channel.patterns) or "any image"
            names = "none" if not files else ", ".join(file.name for file in files)
            problem = (
                f"{len(files)} files fit the channel {channel.name} ({patterns}): {names}",
                "rename them, or list the files in a table",
            )
            return Case(name, (), problem)
    return Case(name, tuple(str(files[0]) for files in found))


def _is_image(path: Path) -> bool:
    suffix = suffix_of(path)
    return suffix in IMAGE_SUFFIXES and not path.name.lower().endswith((".seg.nrrd", ".seg.nhdr"))


def _matches(path: Path, channel: Channel) -> bool:
    return _channel_of(path, [channel])[0] is not None


def _channel_of(path: Path, channels: Sequence[Channel]) -> tuple[int | None, str]:
    """Number of the channel with the longest pattern that fits, and the pattern: `*t1ce*` goes before `*t1*`."""
    names = (path.name.casefold(), stem_of(path).casefold())
    fitting = [
        (len(pattern), -number, pattern)
        for number, channel in enumerate(channels)
        for pattern in channel.patterns
        if any(fnmatch.fnmatchcase(name, pattern.casefold()) for name in names)
    ]
    if not fitting:
        return None, ""
    _, number, pattern = max(fitting)
    return -number, pattern


def _without(pattern: str, path: Path) -> str:
    """The stem without the channel's own word: `Anna_flair.nii.gz` and `*flair*` give `Anna`."""
    stem = stem_of(path)
    word = max(re.split(r"[*?]|\[.*?\]", stem_of(pattern)), key=len)
    at = stem.casefold().rfind(word.casefold()) if word else -1
    rest = stem if at < 0 else stem[:at] + stem[at + len(word) :]
    return re.sub(r"[_\-. ]+$|^[_\-. ]+|(?<=[_\-. ])[_\-. ]+", "", rest)
