"""`autofocus compare`: two results of one patient, structure by structure."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from AutofocusCore.cli.console import print_json, print_table, warn
from AutofocusCore.cli.interrupt import Signals


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "compare",
        help="compare two segmentations",
        description="Compare two segmentations of one patient: volumes, Dice, distances between the surfaces.",
    )
    parser.add_argument("first", metavar="A", help=".seg.nrrd, or a labelmap with its sidecar")
    parser.add_argument("second", metavar="B", help="the later one, or that of another model")
    parser.add_argument("-m", "--model", help="the model that made them, for labelmaps without a sidecar")
    parser.add_argument("--json", action="store_true", help="the table as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    from AutofocusCore.jobs.compare import compare_results
    from AutofocusCore.jobs.saved_result import read_result
    from AutofocusCore.models import find_model

    structures = None if args.model is None else find_model(args.model).spec.structures
    found = compare_results(read_result(args.first, structures), read_result(args.second, structures))
    for text in found.warnings:
        warn(text)
    if args.json:
        print_json([dataclasses.asdict(row) for row in found.rows])
        return 0
    rows = [
        (
            row.structure,
            _text(row.first_ml, 2),
            _text(row.second_ml, 2),
            _text(row.change_percent, 1, sign=True),
            _text(row.dice, 3),
            _text(row.mean_distance_mm, 2),
            _text(row.hd95_mm, 1),
        )
        for row in found.rows
    ]
    print_table(("Structure", "A (mL)", "B (mL)", "Change (%)", "Dice", "Mean distance (mm)", "HD95 (mm)"), rows)
    return 0


def _text(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
