"""`AutofocusBatch.py`: the engine's batch (AutofocusCore.batch), started from Slicer, with a scene for every case."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from AutofocusCore.cli import options
from AutofocusCore.cli.interrupt import INTERRUPTED, Signals
from AutofocusCore.errors import AutofocusError, Cancelled, InternalError, as_user_error
from AutofocusCore.io.atomic import discard_all
from AutofocusCore.io.outputs import SEGMENTATION_FORMATS
from AutofocusSegmentationLib.batch.exit import Watchdog, running_application

NAME = "AutofocusBatch"
LINE_EVERY_S = 10.0
SIGNED = "--roi"  # its value may begin with a minus sign, which argparse takes for an option


class NotInstalled(AutofocusError):
    """A library needed for the computation is not installed."""

    code = "installation"


def run(argv: Sequence[str]) -> int:
    """Run the command and return its exit status; argparse raises SystemExit for wrong usage."""
    args = build_parser().parse_args(_plain(argv))
    with Signals(restore=True) as signals:
        try:
            return _run(args, signals)
        except AutofocusError as error:
            interrupted = signals.received and type(error) is Cancelled
            say(INTERRUPTED if interrupted else f"{NAME}: {error}")
        except KeyboardInterrupt:
            say(f"{NAME}: The batch was interrupted; run the same command again to continue where it stopped.")
        except Exception as error:
            if args.debug:
                raise
            told = as_user_error(error)
            remedy = "run it again with --debug and report what it shows"
            say(f"{NAME}: {InternalError(told.cause, remedy) if isinstance(told, InternalError) else told}")
        finally:
            signals.close()
            discard_all()
    return 1


def build_parser() -> argparse.ArgumentParser:
    """The options: those of `autofocus batch`, and --mrb."""
    parser = argparse.ArgumentParser(
        prog=f"{NAME}.py",
        description="Segment every case of a table, a folder of images or a folder of DICOM files. Started again, it "
        "continues where it stopped. Research only, not for clinical use.",
        epilog="Exit status: 0 all done; 1 something failed, and the reason is on stderr and in OUTDIR/failures.csv; "
        "2 wrong usage. OUTDIR/results.csv lists the volumes.",
    )
    parser.add_argument(
        "-i", "--input", required=True, metavar="CSV|DIR",
        help="table with the columns case and one per channel (paths relative to it), a folder of images, or a folder "
        "of DICOM files in any order of subfolders",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUTDIR", help="folder for results; created if necessary"
    )
    parser.add_argument("-m", "--model", required=True, help="name, folder or zip")
    parser.add_argument("--format", choices=SEGMENTATION_FORMATS, default=".seg.nrrd", help="default .seg.nrrd")
    parser.add_argument("--attention", action="store_true", help="write the attention maps of every case too")
    parser.add_argument("--probabilities", action="store_true", help="write the class probabilities of every case too")
    parser.add_argument("--mrb", action="store_true", help="write a Slicer scene (.mrb) of every case too")
    where = parser.add_argument_group("where to compute")
    where.add_argument("--workers", type=options.positive_int, default=1, metavar="N", help="processes; default 1")
    options.add_engine_options(parser)
    parser.add_argument(
        "--idle-timeout", type=options.non_negative, default=60.0, metavar="MINUTES",
        help="stop if nothing has happened for this time; default 60; 0: never",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def say(line: str) -> None:
    """A line on stderr; characters that the console does not know become question marks instead of an error."""
    stream = sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()
    except (OSError, ValueError):  # the stream is closed
        return


def _run(args: argparse.Namespace, signals: Signals) -> int:
    _check_installation(args)
    _choose_python()
    from AutofocusCore.batch import Batch, run_batch
    from AutofocusCore.models import find_model
    from AutofocusSegmentationLib.batch.cases import read_cases

    folder = Path(args.output).absolute()
    model = find_model(args.model)
    cases = read_cases(Path(args.input).absolute(), model.spec.channels, leave_out=folder)
    if model.spec.synthetic:
        say(f"{NAME}: warning: The model {model.spec.name} was trained on synthetic images only.")
    batch = Batch(
        cases=tuple(cases),
        folder=folder,
        format=args.format,
        attention=args.attention,
        probabilities=args.probabilities,
        settings=options.settings_for_workers(args),
        workers=args.workers,
    )
    inform = (lambda line: None) if args.quiet else say
    with Watchdog(args.idle_timeout * 60 if args.idle_timeout else None, say) as watchdog:

        def case_done(done: int, total: int) -> None:
            watchdog.beat()
            inform(f"Cases {done} of {total}")

        def progress(name: str, fields: Mapping[str, Any]) -> None:
            watchdog.beat()

        summary = run_batch(batch, model, say=say, case_done=case_done, progress=progress, cancelled=signals.cancelled)
        inform(f"{summary.done} of {len(cases)} cases are done; the volumes are in {folder / 'results.csv'}.")
        failed = summary.failed
        if failed:
            say(f"{NAME}: {failed} of {len(cases)} cases failed; the reasons are in {folder / 'failures.csv'}.")
        if args.mrb:
            from AutofocusSegmentationLib.batch.scenes import write_scenes

            scenes = write_scenes(batch, model, say=say, beat=watchdog.beat, cancelled=signals.cancelled)
            inform(f"{scenes.written} scenes were written, {scenes.kept} were there already.")
            failed += scenes.failed
            if scenes.failed:
                say(f"{NAME}: {scenes.failed} scenes could not be written; the reasons are in {folder / 'scenes.csv'}.")
    return 1 if failed else 0


def _check_installation(args: argparse.Namespace) -> None:
    """Raise `NotInstalled` for a missing library, before any other message is printed."""
    if importlib.util.find_spec("torch") is None:
        if running_application() is not None:
            steps = (
                "open Slicer, install the extension PyTorch with the Extensions Manager, start Slicer again, open the "
                "module PyTorch Util and click Install PyTorch; or, in a terminal: "
                'PythonSlicer -m pip install "torch>=2.4,!=2.9.*"'
            )
        else:
            steps = f'install it with: "{sys.executable}" -m pip install "torch>=2.4,!=2.9.*"'
        raise NotInstalled("PyTorch, which computes the segmentations, is not installed in this Python", steps)
    if args.mrb and not _can_build_scenes():
        raise NotInstalled(
            "Scenes are written with Slicer's own code, which this Python does not have",
            "start this script with Slicer, install slicer-core, or leave out --mrb",
        )


def _can_build_scenes() -> bool:
    """Whether this is the application, or has slicer-core; PythonSlicer has the scene, but not the modules' logics."""
    if running_application() is not None:
        return True
    try:
        import slicer
    except ImportError:
        return False
    return hasattr(slicer, "vtkSlicerApplicationLogic") and hasattr(slicer, "vtkSlicerSegmentationsModuleLogic")


def _choose_python() -> None:
    """Workers run in PythonSlicer, not in another Slicer."""
    if running_application() is not None:
        from AutofocusSegmentationLib.worker.session import python_executable

        sys.executable = python_executable()


def _plain(argv: Sequence[str]) -> list[str]:
    """Without the two dashes that end Slicer's own options, and with `--roi -10,…` in one word."""
    words: list[str] = []
    for word in argv[1:] if argv[:1] == ["--"] else argv:
        if words and words[-1] == SIGNED and not word.startswith("--"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
