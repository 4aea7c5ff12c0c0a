"""Segment cases with a trained run or a model: `python Training/predict.py CONFIG PREPARED --run RUN -o OUT`.

    python Training/predict.py CONFIG PREPARED --run RUN -o OUT              # the test cases of a prepared folder
    python Training/predict.py CONFIG PREPARED --run RUN -o OUT --submission afn6   # for the servers of BRATS
    python Training/predict.py FOLDER_OR_TABLE --model brats -o OUT          # cases as for `autofocus batch`
    python Training/predict.py T1.mha T1c.mha T2.mha Flair.mha --model brats -o OUT     # one case

Label maps have the grid of each case's first image. Everything runs through `autofocus batch`: finished cases are not
repeated, results.csv and failures.csv list all cases, and the options of `autofocus batch` (--attention,
--probabilities, --device, --mode, --workers and so on) can be used here too.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import SimpleITK as sitk

from AutofocusCore import cli
from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.resampling import to_image
from AutofocusCore.io.atomic import Staging, stem_of, write_text
from AutofocusCore.io.results import write_image
from AutofocusCore.models import ModelSpec, find_model, write_bundle
from Training.configuration.config import load_config
from Training.configuration.shared_options import add_overrides, run_script
from Training.evaluation.tables import csv_text
from Training.loop.runs import WEIGHTS, load_run
from Training.preparing.data_list import CaseEntry, read_data_list

SUBMISSION = re.compile(r"[A-Za-z0-9_-]+")
IDENTIFIER = re.compile(r"VSD\.[^/]*MR_Flair\.(\d+)", re.IGNORECASE)
"""The number of a case's FLAIR image: 54513 in VSD.Brain.XX.O.MR_Flair.54513.mha."""


def submission_name(entry: CaseEntry, name: str) -> str:
    """The file name, without its ending, that a BRATS server requires: VSD.<name>.<id> in 2015, later the case's own.

    The id is the number of the case's FLAIR image. If the folder was prepared from BRATS, the data list contains the
    name, with {name} in it in 2015; otherwise the id is looked for in the names of the case's source files.

    Raises:
        InputError: the id cannot be found.
    """
    if entry.submission_name is not None:
        return entry.submission_name.replace("{name}", name)
    numbers = {number for source in entry.sources for number in IDENTIFIER.findall(source)}
    if len(numbers) != 1:
        raise InputError(
            f"Case {entry.name} has no number of BRATS 2015's server",
            "prepare the folder from the files with their original names, VSD.Brain.XX.O.MR_Flair.<number>.mha",
        )
    return f"VSD.{name}.{numbers.pop()}"


def prepared_rows(
    folder: Path, spec: ModelSpec, part: str, fold: int | None, submission: str | None
) -> list[list[object]]:
    """A row for each selected case of a prepared folder: its name, and one image for each channel.

    Args:
        folder: folder with data.json.
        spec: the model's description; its number of channels must be the number of images.
        part: "train", "test" or "all".
        fold: only the cases of this fold; `part` is then ignored.
        submission: name of the submission, or None.

    Raises:
        InputError: there is no such case, the channels differ, the images are already normalised, or the server does
            not know a case.
    """
    data = read_data_list(folder)
    if len(data.channels) != len(spec.channels):
        raise InputError(
            f"{folder} has {len(data.channels)} channels, {spec.name} takes {len(spec.channels)}", "choose another"
        )
    entries = [e for e in data.cases if (e.fold == fold if fold is not None else part in (e.part, "all"))]
    if not entries:
        wanted = f"fold {fold}" if fold is not None else f"part {part!r}"
        raise InputError(f"{folder} has no case in {wanted}", "choose another --part or --fold")
    rows: list[list[object]] = []
    for entry in entries:
        if entry.background is not None:
            raise InputError(
                f"The images of {entry.name} are normalised already, and the model would normalise them again",
                "prepare the folder without normalisation",
            )
        name = entry.name if submission is None else submission_name(entry, submission)
        rows.append([name, *(str((folder / image).absolute()) for image in entry.images)])
    return rows


def cohort_of(inputs: Sequence[Path], spec: ModelSpec, options: argparse.Namespace) -> Path:
    """The table or folder of cases for `autofocus batch`; if a table must be made, it is OUT/cohort.csv.

    Raises:
        InputError: as `prepared_rows`, or the number of images is wrong.
        SettingError: a submission needs a prepared folder.
    """
    first = inputs[0]
    prepared = len(inputs) == 1 and (first / "data.json").is_file()
    if options.submission is not None and not prepared:
        raise SettingError("--submission needs the names that a prepared folder keeps", "give one with data.json")
    if prepared:
        rows = prepared_rows(first, spec, options.part, options.fold, options.submission)
    elif len(inputs) == 1 and (first.is_dir() or first.suffix.lower() == ".csv"):
        return first
    elif len(inputs) == len(spec.channels):
        rows = [[stem_of(first), *(str(path.absolute()) for path in inputs)]]
    else:
        channels = ", ".join(channel.name for channel in spec.channels)
        raise InputError(f"{len(inputs)} images were given", f"give one for each of {channels}, or a folder")
    table = Path(options.out) / "cohort.csv"
    with Staging() as staging:
        staging.folder(table.parent)
    write_text(table, csv_text(["case", *(channel.name for channel in spec.channels)], rows))
    return table


def write_submission(out: Path, name: str, cases: Sequence[str], submitted: Mapping[str, int]) -> Path:
    """Write the label maps of a NIfTI release's cases with the labels of its server; returns their folder, OUT/NAME.

    Cases that have no label map, because they failed, are left out.

    Args:
        out: folder with <case>.nii.gz for each case.
        name: name of the submission.
        cases: names of the cases.
        submitted: the server's label value for each of ours that differs.

    Raises:
        InputError: a label map cannot be read.
        OutputError: the folder cannot be written.
    """
    with Staging() as staging:
        folder = staging.folder(out / name)
        for case in cases:
            path = out / f"{case}.nii.gz"
            if not path.is_file():
                continue
            ours = read_image(path).image
            labels = sitk.GetArrayFromImage(ours)
            changed = labels.copy()
            for label, other in submitted.items():
                changed[labels == int(label)] = other
            write_image(staging.aside(folder / path.name), to_image(changed, Grid.of(ours)))
    return folder


def predict(options: argparse.Namespace, passed_on: Sequence[str]) -> int:
    """Carry out the options; returns the exit status of `autofocus batch`."""
    inputs, model = [Path(word) for word in options.inputs], options.model
    if options.run is not None:
        config = load_config(inputs.pop(0), options.overrides)
        run = load_run(options.run, config, options.weights)
        model = Path(options.out) / "model"
        with Staging() as staging:
            staging.folder(options.out)
        note = f"Made for the label maps beside it. The licence of the weights is {run.spec.licence}.\n"
        write_bundle(model, run.spec, run.network.state_dict(), note)
    spec = find_model(str(model)).spec
    cohort = cohort_of(inputs, spec, options)
    submitted = None
    if options.submission is not None:
        submitted = read_data_list(inputs[0]).preparation.get("submitted")
    ending = ".mha" if options.submission is not None else options.format
    ending = ".nii.gz" if submitted is not None else ending
    arguments = ["batch", cohort, "--model", model, "--output", options.out, "--format", ending, *passed_on]
    status = cli.main([str(word) for word in arguments])
    if submitted is not None:
        with cohort.open(encoding="utf-8", newline="") as table:
            cases = [row["case"] for row in csv.DictReader(table)]
        print(write_submission(options.out, options.submission, cases, submitted))
    return status


def main() -> int:
    """The command line; unknown options are passed to `autofocus batch`."""
    parser = argparse.ArgumentParser(
        prog="predict.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="with --run first its configuration; then a prepared folder, a folder, a table, or an image per channel",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", type=Path, help="a run's folder")
    which.add_argument("-m", "--model", help="a model's name (`autofocus models list`), folder or zip")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the label maps; made if need be")
    parser.add_argument("--part", choices=("train", "test", "all"), default="test", help="of a prepared folder (test)")
    parser.add_argument("--fold", type=int, help="only this fold of a prepared folder")
    parser.add_argument("--weights", choices=tuple(WEIGHTS), default="last", help="which of the run's (last)")
    parser.add_argument("--format", default=".nii.gz", help="ending of the label maps (.nii.gz; .seg.nrrd for Slicer)")
    parser.add_argument(
        "--submission",
        metavar="NAME",
        help="write the files for BRATS's servers: VSD.NAME.<id>.mha for 2015, for later years NAME/<case>.nii.gz with "
        "the labels of that year; letters, digits, - _",
    )
    add_overrides(parser, "model.architecture.norm=fused")
    options, passed_on = parser.parse_known_args()
    if options.run is not None and len(options.inputs) < 2:
        parser.error("with --run, give the configuration and then the cases")
    if options.submission is not None and not SUBMISSION.fullmatch(options.submission):
        parser.error(f"{options.submission!r} is not a valid submission name; use letters, digits, - and _")
    return run_script(lambda: predict(options, passed_on))


if __name__ == "__main__":
    sys.exit(main())
