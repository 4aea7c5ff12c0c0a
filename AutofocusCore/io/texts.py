"""Texts of unknown origin (a model's title, a case's name) where a terminal or a spreadsheet would act on them."""

from __future__ import annotations

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain_text(text: object) -> str:
    r"""The text with control characters made visible: an escape sequence becomes `\x1b[31m` and colours nothing.

    Line feeds and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in str(text))


def one_line(text: object) -> str:
    r"""As `plain_text`, for a sentence that is one line: a line feed, in the name of a file, becomes `\n`."""
    return plain_text(text).replace("\n", "\\n").replace("\t", "\\t")


def csv_cell(value: object, *, name: bool = False) -> object:
    """The value of a cell; a text that a spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        value: of the cell. Numbers stay numbers, also those that are written out.
        name: whether it is the name of something, which is text even where it looks like a number: `+1`, `-2`.
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
