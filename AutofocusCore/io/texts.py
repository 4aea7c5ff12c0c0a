"""Makes texts of unknown origin (a model's title, a case's name) safe for terminals and spreadsheets."""

from __future__ import annotations

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
