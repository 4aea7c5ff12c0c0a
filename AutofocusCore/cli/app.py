"""The parser of the command line; turns errors into a sentence and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from AutofocusCore._version import __version__
from AutofocusCore.cli.interrupt import INTERRUPTED, Signals
from AutofocusCore.errors import Cancelled, InternalError, as_user_error
from AutofocusCore.io.atomic import discard_all
from AutofocusCore.io.temporary import private_temporary_files
from AutofocusCore.io.texts import one_line

COMMANDS = ("segment", "batch", "teach", "convert", "compare", "models", "devices", "networks", "phantom")
READ_SCANS = ("segment", "batch", "teach", "convert", "compare")
SIGNED_VALUES = ("--roi",)  # values of these may begin with a minus sign, which argparse would take for an option


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a command line. Each command is a module with `add_parser` and `run`.

    Args:
        argv: the words to parse. If they begin with a command, only its module is loaded; else all are, for the help.
    """
    parser = argparse.ArgumentParser(
        prog="autofocus",
        description="Segment 3-D medical images with autofocus networks, and see what they attended to. "
        "Research only, not for clinical use.",
        epilog="Exit status: 0 all done; 1 something failed, and the reason is on stderr; 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"autofocus {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error (may stand anywhere)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        import_module(f"AutofocusCore.cli.{name}").add_parser(commands)
    return parser


def run(argv: Sequence[str], signals: Signals) -> int:
    """Parse and run; returns the exit status."""
    for name in ("stdout", "stderr"):  # closed by the caller, or absent as in a program without console
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        stream: Any = getattr(sys, name)
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")  # question marks for what the terminal's encoding lacks
    debug = "--debug" in argv or bool(os.environ.get("AUTOFOCUS_DEBUG"))
    try:
        words = _join_signed([word for word in argv if word != "--debug"])
        args = build_parser(words).parse_args(words)
        with private_temporary_files() if args.command in READ_SCANS else contextlib.nullcontext():
            status = int(import_module(f"AutofocusCore.cli.{args.command}").run(args, signals))
        signals.close()
        signals.received = False  # a library swallowed the signal at the very end; the work is done
        sys.stdout.flush()
        return status
    except SystemExit as error:  # argparse: help and version 0, usage 2
        return error.code if isinstance(error.code, int) else 2
    except BrokenPipeError:  # `autofocus … | head`: the reader has closed the pipe
        _settle_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        signals.close()
        if debug:
            import traceback

            traceback.print_exc()
        _settle_stdout()
        _say(_sentence(error, signals.received or isinstance(error, KeyboardInterrupt | Cancelled)))
        return 1
    finally:
        signals.close()
        discard_all()


def _sentence(error: BaseException, interrupted: bool) -> str:
    if interrupted:
        says_more = isinstance(error, Cancelled) and str(error) != str(Cancelled())
        return f"autofocus: {error}" if says_more else INTERRUPTED
    told = as_user_error(error)
    if isinstance(told, InternalError):
        told = InternalError(told.cause, "run it again with --debug and report what it shows")
    return f"autofocus: {told}"


def _say(sentence: str) -> None:
    try:
        print(one_line(sentence), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # stderr is closed
        return


def _join_signed(argv: Sequence[str]) -> list[str]:
    """`--roi -10,…` as `--roi=-10,…`."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in SIGNED_VALUES and word[:2] != "--":
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _settle_stdout() -> None:
    """Flush stdout; if that fails, prevent the interpreter from printing an error when it ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def usage_error(message: str) -> NoReturn:
    """Report wrong usage that argparse cannot detect, such as options that exclude each other."""
    _say(f"autofocus: {message}")
    raise SystemExit(2)
