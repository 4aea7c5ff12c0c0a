"""`autofocus teach`: a new model that learned from corrected cases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.cli import options
from AutofocusCore.cli.console import ProgressDisplay, print_json, print_table, readable_seconds, say, warn
from AutofocusCore.cli.interrupt import Signals

if TYPE_CHECKING:
    from AutofocusCore.inference import Progress
    from AutofocusCore.jobs.teach import Taught


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "teach",
        help="teach a model your corrections",
        description="Make a new model that learned from corrected cases, 1 to about 30, on this computer. Structures "
        "that a case does not contour are unknown there, and stay as the model has them. Of four cases or more, some "
        "are held out, and the new model is written only if it is better on them.",
    )
    parser.add_argument("model", metavar="MODEL", help="name (see `autofocus models list`), folder or zip")
    parser.add_argument(
        "--cases", required=True, metavar="FOLDER|CSV",
        help="folder with an image and a segmentation for each case (anna.nii.gz and anna.seg.nrrd, or a folder anna "
        "with both, or with a DICOM series and its RTSTRUCT), or a table: case, one column per channel, labels",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", required=True, metavar="NEW_MODEL",
        help="name of the new model in your own model folder; or a folder (with a slash) or .zip",
    )  # fmt: skip
    parser.add_argument("--minutes", type=minutes, default=10.0, metavar="M", help="time to learn; default 10")
    parser.add_argument("--structures", type=names, default=(), metavar="A,B", help="teach only these structures")
    parser.add_argument(
        "--names", type=pairs, default=(), metavar="A=B,…",
        help="other names of structures in the cases: 'Parotid_L=Left parotid gland,Cord=Spinal cord'",
    )  # fmt: skip
    parser.add_argument("--check", type=names, default=(), metavar="CASE,…", help="hold out these cases to measure on")
    parser.add_argument("--anyway", action="store_true", help="write the model even if it is not better")
    parser.add_argument("--anew", action="store_true", help="do not go on with a lesson that was stopped")
    parser.add_argument("--replace", action="store_true", help="replace a model of the same name")
    group = parser.add_argument_group("how to compute")
    group.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu or cuda:N")
    group.add_argument("--threads", type=options.positive_int, metavar="N", help="processor threads; default: all")
    group.add_argument(
        "--memory-limit", type=options.memory, metavar="SIZE", help="such as 4G; default: 70 %% of the free memory"
    )
    group.add_argument("--steps", type=options.natural, default=0, metavar="N", help="stop after N scans; 0: by time")
    group.add_argument("--seed", type=options.natural, default=1, metavar="N", help="of the random numbers; default 1")
    printed = parser.add_argument_group("output")
    printed.add_argument("--quiet", action="store_true", help="no progress, no tables")
    printed.add_argument("--json", action="store_true", help="the result as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    from AutofocusCore.jobs.teach import check_teachable, taught_labels
    from AutofocusCore.jobs.teach_contours import labels_by_name
    from AutofocusCore.jobs.teach_settings import TeachSettings

    settings = TeachSettings(
        args.minutes, args.structures, args.check, args.device, args.memory_limit, args.steps, args.seed, args.names
    )
    from AutofocusCore.batch.corrections import read_corrections
    from AutofocusCore.models import find_model

    model = find_model(args.model)
    check_teachable(model)
    taught_labels(model.spec, settings.structures)
    labels_by_name(model.spec, settings.names)
    cases = read_corrections(Path(args.cases).absolute(), model.spec.channels, warn)

    from AutofocusCore.jobs.teach import teach
    from AutofocusCore.jobs.teach_output import kept_lesson, output_place, write_taught

    name, place = output_place(args.output, replace=args.replace)
    if args.threads:
        _limit_threads(args.threads)
    with kept_lesson(place, anew=args.anew) as lesson:
        with ProgressDisplay(quiet=args.quiet) as display:

            def show(state: Progress) -> None:
                display.show(state.stage, state.done, state.total, state.seconds_left)

            taught = teach(
                model, cases, name, settings, keep=lesson, progress=show, cancelled=signals.cancelled, say=display.line
            )
        for text in taught.warnings:
            warn(text)
        writes = taught.better or args.anyway
        written = ""
        if writes:
            signals.hold()
            written = str(write_taught(taught, model, place, replace=args.replace).path)
            lesson.unlink(missing_ok=True)
    if writes:
        signals.release()
    if args.json:
        print_json({**taught.to_dict(), "written": written or None})
    elif not args.quiet:
        _print_table(taught)
    if not writes:
        warn(f"The taught model is not better on the held-out cases, so nothing was written; {REMEDY}.")
        return 1
    if not args.json and not args.quiet:
        say(f"Written: {written}")
        shown = f'"{args.output}"' if " " in args.output else args.output
        say(f"Use it: autofocus segment IMAGE -m {shown} -o RESULT.seg.nrrd")
    return 0


REMEDY = "give more cases or --minutes, or add --anyway to have it all the same, at once"


def _print_table(taught: Taught) -> None:
    """The Dice before and after, what it was measured on, and what changed although nobody taught it."""
    from AutofocusCore.jobs.teach_check import has_drifted

    steps = count(taught.steps, "step")
    steps += f" ({taught.resumed} of them before it was stopped)" if taught.resumed else ""
    say(f"Taught with {count(len(taught.lessons), 'case')}, {steps}, in {readable_seconds(taught.seconds)}.")
    if taught.held_out:
        say(f"Mean Dice on {count(len(taught.held_out), 'case')} held out, which also chose the best moment to stop:")
        say(f"  {', '.join(taught.held_out)}")
    else:
        say("Mean Dice on the cases that it was taught with (too few to hold any out), so the gain is too good:")
    rows = []
    for row in taught.rows:
        gain = "" if row.gain is None else f"{row.gain:+.3f}"
        cells = ["" if value is None else f"{value:.3f}" for value in (row.before, row.after, row.agreement)]
        rows.append((row.structure, str(row.lessons) if row.taught else "not taught", str(row.cases),
                     cells[0], cells[1], gain, cells[2]))  # fmt: skip
    print_table(("Structure", "Taught in", "Measured on", "Before", "After", "Change", "Old and new agree"), rows)
    changed = [
        f"{row.structure} ({row.agreement:.2f})" for row in taught.rows if has_drifted(row.taught, row.agreement)
    ]
    if changed:
        say(f"Not taught, but changed: {', '.join(changed)}. Look at their contours before you use the new model.")


def count(number: int, what: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _limit_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def minutes(text: str) -> float:
    """A number above 0."""
    value = options.non_negative(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give minutes above 0")
    return value


def names(text: str) -> tuple[str, ...]:
    """`Larynx,Mandible` as names."""
    found = tuple(filter(None, (name.strip() for name in text.split(","))))
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing; give names with commas between, or leave it out")
    return found


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """`Cord=Spinal cord,Parotid_L=Left parotid gland` as pairs."""
    found = []
    for one in names(text):
        other, sign, name = (part.strip() for part in one.partition("="))
        if not (other and sign and name):
            raise argparse.ArgumentTypeError(f"{one!r} does not say which is which; write 'Cord=Spinal cord'")
        found.append((other, name))
    return tuple(found)
