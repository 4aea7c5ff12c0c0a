"""`autofocus batch`: a cohort, resumable."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from AutofocusCore.cli import options
from AutofocusCore.cli.console import ProgressDisplay, print_json, say, warn
from AutofocusCore.cli.interrupt import Signals
from AutofocusCore.errors import Cancelled
from AutofocusCore.io.dicom_objects import DICOM_FORMATS
from AutofocusCore.io.outputs import SEGMENTATION_FORMATS


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "batch",
        help="segment a cohort",
        description="Segment every case of a table or folder. Started again, it continues; cases whose "
        "images, model or settings changed are done again.",
    )
    parser.add_argument(
        "cohort", metavar="CSV|DIR",
        help="table with the columns case and one per channel (paths relative to it), or a folder with an image, or a "
        "folder of images, per case; skipped files are listed",
    )  # fmt: skip
    parser.add_argument("-m", "--model", required=True, help="name (see `autofocus models list`), folder or zip")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUTDIR", help="folder for results; created if necessary"
    )
    parser.add_argument(
        "--format", choices=(*SEGMENTATION_FORMATS, *DICOM_FORMATS), default=".seg.nrrd",
        help="default .seg.nrrd; rtstruct or seg: DICOM objects that refer to the cases' DICOM series",
    )  # fmt: skip
    parser.add_argument("--attention", action="store_true", help="write the attention maps of every case too")
    parser.add_argument("--probabilities", action="store_true", help="write the class probabilities of every case too")
    parser.add_argument("--review", action="store_true", help="write the list of places to check of every case too")
    parser.add_argument("--uncertainty", action="store_true", help="write the uncertainty map of every case too")
    parser.add_argument("--report", action="store_true", help="write a report (HTML) of every case too")
    where = parser.add_argument_group("where to compute")
    where.add_argument("--workers", type=options.positive_int, default=1, metavar="N", help="processes; default 1")
    where.add_argument("--dask", action="store_true", help="with a Dask cluster of N processes on this computer")
    where.add_argument("--dask-scheduler", metavar="ADDRESS", help="on a running Dask cluster, such as tcp://host:8786")
    options.add_engine_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--quiet", action="store_true", help="print only errors")
    output.add_argument("--json", action="store_true", help="the summary as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    from AutofocusCore.batch import Batch, read_cohort, run_batch
    from AutofocusCore.models import find_model

    settings = options.settings_for_workers(args)
    folder = Path(args.output)
    model = find_model(args.model)
    if args.attention_layers is not None:
        options.check_layers(args.attention_layers, model.spec)
    cases = read_cohort(Path(args.cohort).absolute(), model.spec.channels, leave_out=folder, say=warn)
    if model.spec.synthetic:
        warn(f"The model {model.spec.name} was trained on synthetic images only.")
    batch = Batch(
        cases=tuple(cases),
        folder=folder.absolute(),
        format=args.format,
        attention=args.attention,
        probabilities=args.probabilities,
        uncertainty=args.uncertainty,
        review=args.review,
        report=args.report,
        settings=settings,
        workers=args.workers,
        dask=args.dask,
        scheduler=args.dask_scheduler,
    )
    try:
        with ProgressDisplay(quiet=args.quiet) as display:
            show_slabs = display.on_terminal and args.workers == 1

            def progress(name: str, fields: Mapping[str, Any]) -> None:
                if show_slabs:
                    display.prefix = f"{name}: "
                    display.show(fields["stage"], fields["done"], fields["total"], fields["seconds_left"])

            def case_done(done: int, total: int) -> None:
                display.prefix = ""
                display.show("cases", done, total)

            summary = run_batch(
                batch, model, say=display.line, case_done=case_done, progress=progress, cancelled=signals.cancelled
            )
    except (Exception, KeyboardInterrupt) as error:
        if signals.received or isinstance(error, KeyboardInterrupt | Cancelled):
            remedy = "run the same command again to continue where it stopped"
            raise Cancelled("The batch was interrupted", remedy) from None
        raise
    if args.json:
        print_json({"done": summary.done, "done_before": summary.done_before, "failed": summary.failed})
    elif not args.quiet:
        say(f"{summary.done} of {len(cases)} cases are done; the volumes are in {folder / 'results.csv'}.")
    if summary.failed:
        warn(f"{summary.failed} of {len(cases)} cases failed; the reasons are in {folder / 'failures.csv'}.")
    return 1 if summary.failed else 0
