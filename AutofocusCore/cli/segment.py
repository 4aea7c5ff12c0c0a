"""`autofocus segment`: one patient, one file per channel, to a segmentation and whatever else is asked for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from AutofocusCore.cli import options
from AutofocusCore.cli.console import ProgressDisplay, print_json, print_table, readable_seconds, say, warn
from AutofocusCore.cli.interrupt import Signals
from AutofocusCore.jobs import Job, Outputs
from AutofocusCore.staging import stem_of, suffix_of


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "segment",
        help="segment an image",
        description="Segment an image: an image file or DICOM folder for each channel of the model, in its order.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file or DICOM folder, one for each channel")
    parser.add_argument("-m", "--model", required=True, help="name (see `autofocus models list`), folder or zip")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help=".seg.nrrd (for Slicer), .nii.gz, .nii, .nrrd or .mha"
    )
    more = parser.add_argument_group("further results")
    more.add_argument("--attention", metavar="DIR", help="write the attention of every autofocus layer there")
    more.add_argument("--probabilities", metavar="FILE", help="write class probabilities, background first")
    more.add_argument("--stats", metavar="CSV", help="write volume (mL) and intensity of every structure")
    which = parser.add_argument_group("which part of the input")
    which.add_argument(
        "--series", action="append", default=[], metavar="S",
        help="number, UID or description of a DICOM series; repeat it for further channels",
    )  # fmt: skip
    which.add_argument("--frame", type=options.frame, metavar="N|all", help="volume of a 4-D image, from 0, or all")
    options.add_engine_options(parser)
    talk = parser.add_argument_group("talk")
    talk.add_argument("--quiet", action="store_true", help="no progress, no summary")
    talk.add_argument("--json", action="store_true", help="the summary as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    outputs = Outputs(args.output, args.attention, args.probabilities, args.stats)
    settings = options.settings_of(args, series=tuple(args.series), frame=None if args.frame == "all" else args.frame)
    job = Job(tuple(args.images), args.model, outputs, settings)
    job.check_outputs()

    from AutofocusCore.models import find_model

    model = find_model(args.model)
    jobs = _one_per_frame(job) if args.frame == "all" else [job]
    for each in jobs:
        each.check_outputs()
    if model.spec.synthetic:
        warn(f"The model {model.spec.name} was trained on synthetic images only.")

    from AutofocusCore.running import run_job

    outcomes = []
    with ProgressDisplay(quiet=args.quiet) as display:
        for number, each in enumerate(jobs):
            display.prefix = f"Frame {number}: " if len(jobs) > 1 else ""
            outcomes.append(run_job(each, model, progress=display, cancelled=signals.cancelled))
    for text in dict.fromkeys(text for outcome in outcomes for text in outcome.warnings):
        warn(text)
    if args.json:
        results = [outcome.to_dict() for outcome in outcomes]
        print_json(results[0] if args.frame != "all" else {"frames": results})
    elif not args.quiet:
        for outcome in outcomes:
            print_table(
                ("Structure", "Volume (mL)"), [(m.structure, f"{m.volume_ml:.2f}") for m in outcome.measurements]
            )
            total = readable_seconds(sum(outcome.seconds.values()))
            say(f"{total} on {outcome.device} in {outcome.precision}. Written:")
            for path in outcome.files:
                say(f"  {path}")
    return 0


def _one_per_frame(job: Job) -> list[Job]:
    """The job for every frame of a 4-D image; `out.nii.gz` becomes `out_frame-0.nii.gz` and so on."""
    from AutofocusCore.images import frame_count

    count = frame_count(job.images[0])
    width = len(str(count - 1))
    jobs = []
    for number in range(count):
        tag = f"frame-{number:0{width}d}"
        out = job.outputs
        outputs = Outputs(
            segmentation=_tagged(out.segmentation, tag),
            attention=out.attention,
            probabilities=None if out.probabilities is None else _tagged(out.probabilities, tag),
            statistics=None if out.statistics is None else _tagged(out.statistics, tag),
        )
        settings = dataclasses.replace(job.settings, frame=number)
        jobs.append(dataclasses.replace(job, outputs=outputs, settings=settings))
    return jobs


def _tagged(path: str, tag: str) -> str:
    return str(Path(path).with_name(f"{stem_of(path)}_{tag}{suffix_of(path)}"))
