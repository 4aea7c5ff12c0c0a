"""File names that are not valid Unicode: Python represents bytes that are not UTF-8 as lone surrogates."""

from __future__ import annotations

from pathlib import Path

from AutofocusCore.errors import AutofocusError, InputError


def is_unicode(name: str) -> bool:
    """Whether the name is valid Unicode, as libraries require."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    if not is_unicode(str(path)):
        shown = str(path).encode(errors="replace").decode()
        raise error(f"The name {shown} has characters that are not valid Unicode (UTF-8)", "rename it")
