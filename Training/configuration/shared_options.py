"""Command-line options that several scripts share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from AutofocusCore.errors import AutofocusError

PRECISIONS = ("float32", "auto", "bfloat16", "float16")


CONTINUED = "the same command continues from the last checkpoint"
"""What `run_script` prints when a training is stopped."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """--data."""
    parser.add_argument("--data", type=Path, help="folder of the data set, in place of the configuration's")


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """--set, as ``options.overrides``; ``example`` is a setting that one would change here, such as data.fold=1."""
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="TABLE.FIELD=VALUE",
        help=f"put a value (TOML) in place of the configuration's, as in --set {example}; may be repeated",
    )  # fmt: skip


def add_device(parser: argparse.ArgumentParser, default: str) -> None:
    """--device, "auto" or "cpu" unless given."""
    parser.add_argument("--device", default=default, metavar="D", help=f"auto, cpu, cuda:N or mps ({default})")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """--precision of whole volumes."""
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="that whole volumes are computed in (float32)"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """--threads."""
    parser.add_argument("--threads", type=int, help="processor threads (all)")


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed options; --threads is applied, and a number below 1 is refused."""
    options = parser.parse_args(arguments)
    if options.threads is not None:
        if options.threads < 1:
            parser.error("--threads takes a number from 1")
        import torch  # takes seconds, which scripts without --threads do not need

        torch.set_num_threads(options.threads)
    return options


def run_script(job: Callable[[], object], stopped: str | None = None) -> int:
    """Run a script's job, print its result and return the exit status: 1 after an error, which is printed.

    Args:
        job: returns a text to print, or an exit status if it has printed its result itself.
        stopped: printed after Ctrl-C, which is then an error too.
    """
    try:
        result = job()
    except AutofocusError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if stopped is None:
            raise
        print(f"stopped; {stopped}.", file=sys.stderr)
        return 1
    if isinstance(result, int):
        return result
    print(result)
    return 0
