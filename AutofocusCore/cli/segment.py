"""`autofocus segment`: one patient, one file per channel, to a segmentation and whatever else is asked for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.cli import options
from AutofocusCore.cli.console import ProgressDisplay, print_json, print_table, readable_seconds, say, warn
from AutofocusCore.cli.interrupt import Signals
from AutofocusCore.errors import AutofocusError, Cancelled, InputError
from AutofocusCore.io.atomic import stem_of, suffix_of
from AutofocusCore.io.dicom_objects import DICOM_FORMATS
from AutofocusCore.jobs.job import Job, Outputs
from AutofocusCore.jobs.review import estimate_text

if TYPE_CHECKING:
    from AutofocusCore.inference import Progress
    from AutofocusCore.jobs.run import CheckedJob


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
        "-o", "--output", required=True, metavar="FILE",
        help=".seg.nrrd (for Slicer), .nii.gz, .nii, .nrrd or .mha; .dcm with --format",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=DICOM_FORMATS,
        help="write the output as a DICOM object that refers to the DICOM series given: rtstruct (outlines, for "
        "planning systems) or seg (voxels)",
    )  # fmt: skip
    more = parser.add_argument_group("further results")
    more.add_argument("--attention", metavar="DIR", help="write the attention of every autofocus layer there")
    more.add_argument("--probabilities", metavar="FILE", help="write class probabilities, background first")
    more.add_argument("--stats", metavar="CSV", help="write volume (mL) and intensity of every structure")
    more.add_argument("--review", metavar="FILE", help="list the places to check: .csv, or .mrk.json for Slicer")
    more.add_argument("--uncertainty", metavar="FILE", help="write the uncertainty map, in bits")
    more.add_argument("--report", metavar="FILE", help="write a report with pictures and estimates: .html")
    which = parser.add_argument_group("which part of the input")
    which.add_argument(
        "--series", action="append", default=[], metavar="S",
        help="number, UID or description of a DICOM series; repeat it for further channels",
    )  # fmt: skip
    which.add_argument("--frame", type=options.frame, metavar="N|all", help="volume of a 4-D image, from 0, or all")
    options.add_engine_options(parser)
    printed = parser.add_argument_group("output")
    printed.add_argument("--quiet", action="store_true", help="no progress, no summary")
    printed.add_argument("--json", action="store_true", help="the summary as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    outputs = Outputs(
        args.output,
        args.attention,
        args.probabilities,
        args.stats,
        dicom=args.format,
        uncertainty=args.uncertainty,
        review=args.review,
        report=args.report,
    )
    settings = options.settings_of(args, series=tuple(args.series), frame=None if args.frame == "all" else args.frame)
    job = Job(tuple(args.images), args.model, outputs, settings)
    if args.frame != "all":  # whose files have other names
        job.check_outputs()  # before a model is looked for; the names of attention files come with the model

    from AutofocusCore.jobs.run import check_job
    from AutofocusCore.models import find_model

    model = find_model(args.model)
    if args.attention_layers is not None:
        options.check_layers(args.attention_layers, model.spec)
    if args.frame == "all":
        job.check_images(model.spec)  # whose frames are counted next
    jobs = [check_job(each, model) for each in (_one_per_frame(job) if args.frame == "all" else [job])]
    if model.spec.synthetic:
        warn(f"The model {model.spec.name} was trained on synthetic images only.")

    outcomes: list[dict[str, Any]] = []
    try:
        _run_jobs(jobs, outcomes, signals, quiet=args.quiet)
    except (Exception, KeyboardInterrupt) as error:
        if not outcomes:
            raise
        signals.close()
        _summarize(args, outcomes)
        interrupted = signals.received or isinstance(error, KeyboardInterrupt | Cancelled)
        raise _with_frames(error, len(outcomes), len(jobs), interrupted=interrupted) from error
    _summarize(args, outcomes)
    return 0


def _run_jobs(jobs: list[CheckedJob], outcomes: list[dict[str, Any]], signals: Signals, *, quiet: bool) -> None:
    """Run one job after the other; `outcomes` gets the record of each whose files are written, however this ends."""
    from AutofocusCore.jobs.run import run_job

    with ProgressDisplay(quiet=quiet) as display:

        def progress(state: Progress) -> None:
            display.show(state.stage, state.done, state.total, state.seconds_left)
            if state.stage == "write" and state.done == state.total:  # next, the files get their names
                signals.hold()

        for number, job in enumerate(jobs):
            display.prefix = f"Frame {number}: " if len(jobs) > 1 else ""
            outcomes.append(run_job(job, progress=progress, cancelled=signals.cancelled).to_dict())
            if len(outcomes) < len(jobs):  # else all is done, and a signal comes too late
                signals.release()


def _summarize(args: argparse.Namespace, outcomes: list[dict[str, Any]]) -> None:
    for text in dict.fromkeys(text for outcome in outcomes for text in outcome["warnings"]):
        warn(text)
    if args.json:
        print_json(outcomes[0] if args.frame != "all" else {"frames": outcomes})
    elif not args.quiet:
        for outcome in outcomes:
            _print_structures(outcome)
            total = readable_seconds(outcome["seconds_total"])
            say(f"{total} on {outcome['device']} in {outcome['precision']}. Written:")
            for path in outcome["files"]:
                say(f"  {path}")


def _print_structures(outcome: dict[str, Any]) -> None:
    """Volumes, with the estimates where there are any, and where to look first."""
    estimates = (outcome["review"] or {}).get("estimates") or {}
    measured = [(m["structure"], f"{m['volume_ml']:.2f}") for m in outcome["measurements"]]
    if not any(estimates.values()):
        print_table(("Structure", "Volume (mL)"), measured)
        return
    rows = []
    for name, volume in measured:
        estimate = estimates.get(name)
        check = "check this contour" if estimate is not None and estimate["check"] else ""
        rows.append((name, volume, estimate_text(estimate), check))
    print_table(("Structure", "Volume (mL)", "Estimated Dice (80 % interval)", ""), rows)


def _with_frames(error: BaseException, done: int, count: int, *, interrupted: bool) -> BaseException:
    """The error that ended frame number `done`, saying which frames are there nevertheless."""
    which = "frame 0 was" if done == 1 else f"frames 0 to {done - 1} were"
    written = f"of {count} frames, {which} written"
    if interrupted:
        return Cancelled(f"The run was interrupted ({written})", "start it again when you like")
    if isinstance(error, AutofocusError):
        return type(error)(f"Frame {done}: {error.cause} ({written})", error.remedy)
    warn(f"{written.capitalize()}.")
    return error


def _one_per_frame(job: Job) -> list[Job]:
    """The job for every frame of a 4-D image; `out.nii.gz` becomes `out_frame-0.nii.gz` and so on.

    Raises:
        InputError: the channels have different numbers of frames.
    """
    from AutofocusCore.images import frame_count

    counts = [frame_count(image, series=job.series_of(i)) for i, image in enumerate(job.images)]
    count = counts[0]
    if counts != [count] * len(counts):
        each = ", ".join(f"{Path(image).name} {n}" for image, n in zip(job.images, counts, strict=True))
        raise InputError(f"The images have different numbers of frames ({each})", "give images that have as many")
    width = len(str(count - 1))
    jobs = []
    for number in range(count):
        tag = f"frame-{number:0{width}d}"
        out = job.outputs
        single = ("segmentation", "probabilities", "statistics", "uncertainty", "review", "report")
        tagged = {name: _tagged(path, tag) for name in single if (path := getattr(out, name)) is not None}
        outputs = dataclasses.replace(out, **tagged)
        settings = dataclasses.replace(job.settings, frame=number)
        jobs.append(dataclasses.replace(job, outputs=outputs, settings=settings))
    return jobs


def _tagged(path: str, tag: str) -> str:
    return str(Path(path).with_name(f"{stem_of(path)}_{tag}{suffix_of(path)}"))
