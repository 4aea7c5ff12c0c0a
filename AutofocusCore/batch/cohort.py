"""The cases of a cohort and the files of their channels, from a table or from the names in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch.case import Case, check_names, with_readable_names
from AutofocusCore.batch.case_folder import IMAGE_SUFFIXES, read_folder
from AutofocusCore.batch.case_table import read_table
from AutofocusCore.errors import InputError
from AutofocusCore.io.texts import printable

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

__all__ = ["IMAGE_SUFFIXES", "Case", "check_names", "read_cohort"]


def read_cohort(
    source: Path,
    channels: Sequence[Channel],
    *,
    leave_out: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Case]:
    """All cases of a table or folder, in its order (folders: by name).

    Args:
        source: CSV file or folder.
        channels: the model's channels.
        leave_out: folder that is not input (the output folder).
        say: receives lines about files that are not cases, with the reason; default: print them on stderr.

    Raises:
        InputError: the source is missing or has no cases, columns are missing, or two cases have the same name.
    """
    if source.is_dir():
        cases = read_folder(source, channels, leave_out=leave_out, say=say or _say_on_stderr)
    elif source.is_file():
        cases = read_table(source, channels)
    else:
        raise InputError(f"There is no table or folder {printable(str(source))}", "check the path")
    if not cases:
        raise InputError(f"{printable(str(source))} holds no case", "give a table with rows, or a folder with images")
    cases = [with_readable_names(case) for case in cases]
    check_names(cases)
    return cases


def _say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
