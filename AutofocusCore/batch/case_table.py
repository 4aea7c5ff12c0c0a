"""The cases of a table: a CSV file with a header and a row per case, in any usual encoding and with any separator.

Columns: `case`, one per channel of the model (for one channel also `image`), and optionally `roi` (mask), `series` and
`frame`. Paths are relative to the table.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch.case import Case
from AutofocusCore.errors import InputError

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

NUL = "\u2400"  # ␀ instead of the character
OPTIONAL_COLUMNS = ("roi", "series", "frame")


def read_table(table: Path, channels: Sequence[Channel]) -> list[Case]:
    """The cases of a table, in its order.

    Raises:
        InputError: the file is not such a table, a column is missing, or a row has no case name.
    """
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
        number_given = frame is not None and bool(re.fullmatch(r"[0-9]{1,9}", frame))
        if frame is not None and not number_given:
            problem = (f"The frame is {frame[:40]!r}", f"give a whole number from 0 up, in row {number}")
        roi = more.get("roi")
        odd = next((path for path in (name, *paths, roi or "") if NUL in path), None)
        if odd is not None:
            problem = (f"The cell {odd[:60]!r} holds a NUL character", f"write it again, in row {number}")
        cases.append(
            Case(
                name=name,
                images=() if missing else tuple(_resolve(table, path) for path in paths),
                problem=problem,
                roi=None if roi is None else _resolve(table, roi),
                series=more.get("series"),
                frame=int(frame) if frame is not None and number_given else None,
            )
        )
    return cases


def column_of_table(table: Path, names: Sequence[str]) -> list[str | None]:
    """The paths in a further column of a table, for each of its cases in order; None where a cell is empty.

    Args:
        table: as for `read_table`.
        names: that the column may have; the first one that is there is read.

    Raises:
        InputError: there is no such column.
    """
    rows = _rows(table)
    header = [_plain(name) for name in rows[0]] if rows else []
    index = next((header.index(name) for name in names if name in header), None)
    if index is None:
        there = ", ".join(rows[0]) if rows else "none"
        raise InputError(f"The table {table} has no column {names[0]!r}", f"add it; there are {there}")
    cells = [row[index].strip() if index < len(row) else "" for row in rows[1:] if any(cell.strip() for cell in row)]
    return [_resolve(table, cell) if cell else None for cell in cells]


def _rows(table: Path) -> list[list[str]]:
    try:
        data = table.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise InputError(f"The table {table} cannot be read: {error.strerror}", "check the file") from None
    except UnicodeDecodeError:
        raise InputError(f"The table {table} is not UTF-8 text", "save it as 'CSV UTF-8'") from None
    text = text.replace("\0", NUL)  # otherwise the rows after it could not be read
    first = next(iter(text.splitlines()), "")
    delimiter = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"The table {table} is not a valid CSV file ({error})", "check its quotation marks") from None


def _plain(name: str) -> str:
    """A name for comparing columns and channels, without case, blanks, dashes and underscores."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFC", name)).casefold()


def _resolve(table: Path, path: str) -> str:
    try:
        given = Path(path).expanduser()
    except RuntimeError:  # ~nosuchuser may be a file name
        given = Path(path)
    return str(table.absolute().parent / given)
