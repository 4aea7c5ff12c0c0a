"""File names that are no valid Unicode: Python hands bytes that are no UTF-8 over as halves of surrogate pairs."""

from __future__ import annotations

from pathlib import Path

from AutofocusCore.errors import AutofocusError, InputError


def is_unicode(name: str) -> bool:
    """Whether every library can take the name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    r"""The name as text that can be written anywhere: bytes that are not UTF-8 become `\xff` and the like."""
    surrogates = [letter for letter in name if "\ud800" <= letter <= "\udfff"]
    escaped = all("\udc80" <= letter <= "\udcff" for letter in surrogates)  # Python's way of keeping such bytes
    data = name.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return data.decode("utf-8", "backslashreplace")


def check_name(path: str | Path, error: type[AutofocusError] = InputError) -> None:
    """Refuse a path with bytes that are no UTF-8, before SimpleITK sees it: it would end the whole process.

    Args:
        path: of a file or folder, there or not.
        error: what to raise; OutputError for a file to be written.

    Raises:
        InputError: or the given error, where the path cannot be written as Unicode.
    """
    if not is_unicode(str(path)):
        shown = str(path).encode(errors="replace").decode()
        raise error(f"The name {shown} has characters that are not valid Unicode (UTF-8)", "rename it")
