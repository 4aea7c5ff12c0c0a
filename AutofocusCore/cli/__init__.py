"""The command `autofocus`.

`main` catches signals before it imports anything that takes time, so that Ctrl-C is a sentence from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; `argv` without the program's name, default: that of the process.

    With `argv`, the caller's signal handlers are put back at the end; without, signals are ignored from then on, as
    the process is about to end.

    Returns:
        0: all done; 1: something failed, and was named on stderr; 2: wrong usage.
    """
    from AutofocusCore.cli.interrupt import Signals

    with Signals(restore=argv is not None) as signals:
        from AutofocusCore.cli.app import run

        return run(sys.argv[1:] if argv is None else list(argv), signals)


__all__ = ["main"]
