"""The command `autofocus`.

Signals are caught before slow imports, so that Ctrl-C prints a sentence at any moment, also in the first instant.
"""

from __future__ import annotations

import os
import signal
import sys

EARLY = b"autofocus: The run was interrupted; nothing was written, start it again when you like.\n"


def _end_early(number: int, frame: object) -> None:
    os.write(2, EARLY)
    os._exit(1)


def _is_the_program() -> bool:
    """Whether this process is the command, and no other program that imports this package."""
    name = sys.argv[0] if getattr(sys, "argv", None) else ""
    if name == "-m":  # while `python -m AutofocusCore.cli` looks for its module
        return "AutofocusCore.cli" in sys.orig_argv
    return os.path.basename(name).lower() in ("autofocus", "autofocus.exe", "autofocus-script.py")  # noqa: PTH119


if _is_the_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end_early)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; `argv` is without the program's name, by default the process's arguments.

    With `argv`, the caller's signal handlers are restored at the end; without, signals are ignored afterwards, because
    the process ends.

    Returns:
        0: all done; 1: something failed (see stderr); 2: wrong usage.
    """
    from AutofocusCore.cli.interrupt import Signals

    with Signals(restore=argv is not None) as signals:
        from AutofocusCore.worker.environment import prepare_process

        prepare_process()
        from AutofocusCore.cli.app import run

        return run(sys.argv[1:] if argv is None else list(argv), signals)


__all__ = ["main"]
