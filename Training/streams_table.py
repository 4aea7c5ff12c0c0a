"""One table of several runs on photographs: `python Training/streams_table.py Runs/vgg16 Runs/average Runs/max`.

Each run is a row: its figures at one scale and at five, from `streams_evaluate.py`, and the number of parameters. The
table is printed as Markdown or, with `--out`, written into files (.md and .csv).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import Staging
from AutofocusCore.networks.build import count_parameters
from AutofocusCore.networks.scale_streams import ScaleStreams
from Training.configuration.shared_options import run_script
from Training.evaluation.tables import csv_text, markdown
from Training.photographs.settings import load_streams_config
from Training.streams_evaluate import FIVE_SCALES, metrics_name

COLUMNS = ("run", "parameters", "steps", "mean IoU", "pixel accuracy", "mean IoU, five scales")


@dataclass(frozen=True)
class Line:
    """One run of the table.

    Attributes:
        run: its name.
        parameters: number of parameters of its network.
        steps: number of training steps.
        mean_iou, pixel_accuracy: figures at one scale.
        five_scales: mean IoU at five scales; None if it was not measured.
        data_sha256: checksum of the measured photographs.
    """

    run: str
    parameters: int
    steps: int
    mean_iou: float
    pixel_accuracy: float
    five_scales: float | None
    data_sha256: str

    def cells(self) -> tuple[str, ...]:
        """The cells of the row."""
        five = "" if self.five_scales is None else f"{self.five_scales:.4f}"
        figures = (f"{self.mean_iou:.4f}", f"{self.pixel_accuracy:.4f}", five)
        return (self.run, f"{self.parameters:,}", str(self.steps), *figures)


def read_line(run: Path) -> Line:
    """The row of a run.

    Raises:
        InputError: the run was not measured, or its files cannot be read.
    """
    config = load_streams_config(run / "config.toml")
    single = _metrics(run / f"{metrics_name((1.0,))}.json")
    if single is None:
        raise InputError(f"{run} was not measured", "measure it with streams_evaluate.py")
    many = _metrics(run / f"{metrics_name(FIVE_SCALES)}.json")
    with torch.device("meta"):
        parameters = count_parameters(ScaleStreams(**config.architecture))
    try:
        return Line(
            run.name,
            parameters,
            int(single["steps"]),
            float(single["mean_iou"]),
            float(single["pixel_accuracy"]),
            None if many is None else float(many["mean_iou"]),
            str(single["data_sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The figures of {run} are incomplete ({error!r})", "measure it again") from None


def make_table(runs: Sequence[Path]) -> list[Line]:
    """The rows of all runs, in the given order.

    Raises:
        InputError: a run was not measured, or not on the same photographs as the first.
    """
    lines = [read_line(run) for run in runs]
    for line in lines[1:]:
        if line.data_sha256 != lines[0].data_sha256:
            raise InputError(
                f"{line.run} and {lines[0].run} were measured on different photographs",
                "measure both with the same --data",
            )
    return lines


def _metrics(path: Path) -> dict[str, object] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", "measure the run again") from None
    return found if isinstance(found, dict) else None


def run(options: argparse.Namespace) -> str:
    """Carry out the options; returns the table, or the names of its files."""
    rows = [line.cells() for line in make_table(options.runs)]
    table = markdown(COLUMNS, rows)
    if options.out is None:
        return table.removesuffix("\n")
    with Staging() as staging:
        for ending, text in (("md", table), ("csv", csv_text(COLUMNS, rows))):
            final = options.out.with_name(f"{options.out.name}.{ending}")
            staging.aside(final).write_text(text, encoding="utf-8", newline="")
    return "\n".join(map(str, staging.finals))


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="One table of several runs of scale streams on photographs.")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs that streams_evaluate.py has measured")
    parser.add_argument("--out", type=Path, help="write the table as OUT.md and OUT.csv instead of printing it")
    options = parser.parse_args(arguments)
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
