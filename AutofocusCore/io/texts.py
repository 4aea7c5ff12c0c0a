"""Texts that come from outside: names of files, JSON, cells of tables, lines for people."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from AutofocusCore.errors import AutofocusError, InputError

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain_text(text: object) -> str:
    r"""The text with control characters made visible: an escape sequence is printed as `\x1b[31m`.

    Line feeds and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in str(text))


def one_line(text: object) -> str:
    r"""As `plain_text`, for a sentence that is one line: a line feed, in the name of a file, becomes `\n`."""
    return plain_text(text).replace("\n", "\\n").replace("\t", "\\t")


def csv_cell(value: object, *, name: bool = False) -> object:
    """The value of a cell; a text that a spreadsheet would treat as a formula gets a leading apostrophe.

    Args:
        value: of the cell. Numbers stay numbers, also those given as text.
        name: whether it is a name, which is text even if it looks like a number: `+1`, `-2`.
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA_SIGNS):
        return value
    if name:
        return "'" + value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def printable(name: str) -> str:
    r"""The name as text that can be written anywhere: bytes that are not UTF-8 become `\xff` and the like."""
    surrogates = [letter for letter in name if "\ud800" <= letter <= "\udfff"]
    escaped = all("\udc80" <= letter <= "\udcff" for letter in surrogates)  # Python's representation of such bytes
    data = name.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return data.decode("utf-8", "backslashreplace")


def check_name(path: str | Path, error: type[AutofocusError] = InputError) -> None:
    """Refuse a path that is not UTF-8, because SimpleITK would crash.

    Args:
        path: path of a file or folder, which need not exist.
        error: the error to raise; OutputError for output files.

    Raises:
        InputError: (or the given error) the path is not valid Unicode.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="replace").decode()
        raise error(f"The name {shown} has characters that are not valid Unicode (UTF-8)", "rename it") from None


DEEPEST = 32
"""Maximum nesting of lists and objects. The project's files have less than ten levels; Python fails at some hundred."""
LARGEST_WHOLE = 2**1023
"""Whole numbers below it are within a float's range."""


def is_number(value: object) -> bool:
    """Whether the value is a finite number within a float's range; booleans are not numbers."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an int of 400 digits
        return False


def is_whole(value: object) -> bool:
    """Whether the value is an int; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def load_json(data: bytes) -> Any:
    """The value of UTF-8 JSON of unknown origin.

    Raises:
        ValueError: not UTF-8, not JSON, nested more than `DEEPEST` levels, or with numbers beyond a float's range.
    """
    try:
        value = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    waiting = [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, (dict, list)):
            if level > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} levels")
            inside = [*item.keys(), *item.values()] if isinstance(item, dict) else item
            waiting += [(each, level + 1) for each in inside]
        elif isinstance(item, int) and abs(item) >= LARGEST_WHOLE:
            raise ValueError("it holds a number that is too large")
    return value
