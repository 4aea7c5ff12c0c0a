"""Prepare data for training: `python Training/prepare.py FORMAT SOURCE OUT`.

Every case is checked and written to OUT as NIfTI on one grid, with an ROI mask, and listed in OUT/data.json with folds,
checksums and all problems. The same command continues after an interruption, and repeats only cases that changed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from AutofocusCore.errors import SettingError
from Training.configuration.shared_options import run_script
from Training.preparing.finding import find
from Training.preparing.folds import split_by_file
from Training.preparing.reading import ROIS, Settings
from Training.preparing.run import describe, prepare_all

EPILOG = """\
examples:
  python Training/prepare.py brats2015 BRATS2015_Training OUT --split test_list.txt
  python Training/prepare.py brats BraTS2021 OUT --folds 5 --workers 4
  python Training/prepare.py decathlon Task04_Hippocampus OUT --folds 5
  python Training/prepare.py dicom PATIENTS OUT --structures names.json --spacing 0,0,3
  python Training/prepare.py folder DATA OUT --images "images*/{case}" --structures Liver,Tumour
  python Training/prepare.py folder DATA OUT --structures Liver,Spleen --contoured contoured.json
"""


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    result = argparse.ArgumentParser(
        prog="prepare.py",
        description="Check labelled scans and bring them into the form that training reads.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    formats = result.add_subparsers(dest="format", required=True, metavar="FORMAT")
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("source", type=Path, metavar="SOURCE", help="folder of the original data")
    every.add_argument("out", type=Path, metavar="OUT", help="folder to create")
    every.add_argument("--name", help="name of the collection (the name of SOURCE)")
    every.add_argument(
        "--roi",
        choices=list(ROIS),
        help="where training looks for background: brain (voxels other than 0 of skull-stripped images), body (found "
        "in the first channel), all (the default; but brain for BRATS, and body for DICOM)",
    )
    every.add_argument(
        "--spacing", metavar="X,Y,Z", help="resample to this spacing in mm, along the image's own axes; 0 keeps one"
    )
    every.add_argument(
        "--normalise",
        choices=["none", "deepmedic"],
        default="none",
        help="none: the model's own normalisation is applied in training, as it is in use (the default); deepmedic: "
        "done now and for good, mean 0 and standard deviation 1 within the ROI, extremes aside",
    )
    every.add_argument(
        "--offset", type=float, default=0.0, help="added to all values: -1024 for CT stored as HU + 1024"
    )
    every.add_argument("--folds", type=int, default=0, metavar="N", help="divide the training cases into N folds")
    every.add_argument("--seed", type=int, default=0, help="of the folds (0)")
    every.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help='which cases are for testing: a JSON file, {"train": [names], "validation": [names]}; or a .txt file with '
        "a test case a line",
    )
    every.add_argument("--workers", type=int, default=1, metavar="N", help="cases at a time, each in a process (1)")
    every.add_argument("--strict", action="store_true", help="exit status 1 if there is any problem with a case")

    formats.add_parser(
        "brats2015", parents=[every], help="BRATS 2015 in its original form: .mha files in VSD.* folders"
    )
    later = formats.add_parser("brats", parents=[every], help="BraTS 2017 to 2023: NIfTI, one folder for each patient")
    later.add_argument(
        "--three-structures",
        action="store_true",
        help="label necrosis 1, oedema 2, enhancing tumour 3, in place of BRATS 2015's numbers (1, 2, 4; no 3)",
    )
    decathlon = formats.add_parser(
        "decathlon", parents=[every], help="a task of the Medical Segmentation Decathlon: dataset.json"
    )
    dicom = formats.add_parser("dicom", parents=[every], help="one folder for each patient: CT series and RTSTRUCT")
    dicom.add_argument(
        "--structures",
        required=True,
        metavar="TABLE",
        help="JSON file with the structures, in the order of their labels, and their names in the files: "
        '{"Prostate": ["prostate", "prost*"], "Bladder": ["bladder"]}; capital letters do not matter',
    )
    dicom.add_argument(
        "--absent",
        default="",
        metavar="NAMES",
        help="structures that are absent where a patient has no contour of them, with commas between, as a prostate "
        "that was taken out; all others are unknown there",
    )
    folder = formats.add_parser("folder", parents=[every], help="images and labels in folders, found by a pattern")
    folder.add_argument(
        "--structures",
        required=True,
        metavar="NAMES",
        help="in the order of their labels, with commas between; or a JSON file with them, such as a dataset.json",
    )
    folder.add_argument("--channels", default="image", metavar="NAMES", help="names of the channels: CT, or T1,FLAIR")
    folder.add_argument(
        "--images",
        action="append",
        metavar="PATTERN",
        help="where a channel's images are, once for each channel: {case} stands for the case's name, * for anything "
        'but a slash, and the ending may be left out ("images*/{case}")',
    )
    folder.add_argument(
        "--labels", default="labels*/{case}", metavar="PATTERN", help='where the labels are ("labels*/{case}")'
    )
    for maps in (decathlon, folder):
        maps.add_argument(
            "--contoured",
            type=Path,
            metavar="FILE",
            help='JSON file that says what was contoured in each case, {"case": ["Liver"], ...}; all else is unknown '
            "there, not absent (SOURCE/contoured.json, where there is one)",
        )
    return result


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings for all cases.

    Raises:
        SettingError: a value is invalid.
    """
    spacing = None
    if options.spacing:
        try:
            x, y, z = (float(part) for part in options.spacing.split(","))
        except ValueError:
            raise SettingError(f"--spacing is {options.spacing!r}", "give x,y,z in mm, such as 1,1,3") from None
        spacing = (x, y, z)
    usual = {"brats2015": "brain", "brats": "brain", "dicom": "body"}
    return Settings(options.offset, options.roi or usual.get(options.format, "all"), spacing, options.normalise)


def run(options: argparse.Namespace) -> int:
    """Carry out the options and print a summary; returns the exit status."""
    for name, least in (("folds", 0), ("workers", 1), ("seed", 0)):
        if getattr(options, name) < least or (name == "folds" and options.folds == 1):
            wanted = "0, or at least 2" if name == "folds" else f"at least {least}"
            raise SettingError(f"--{name} is {getattr(options, name)}", f"give {wanted}")
    settings = settings_of(options)
    found = find(options)
    if options.split:
        found = split_by_file(found, options.split)
    asked = {name: str(value) for name, value in vars(options).items() if value is not None}
    prepared = prepare_all(
        found,
        options.out,
        settings,
        folds=options.folds,
        seed=options.seed,
        workers=options.workers,
        asked={"asked": asked},
    )
    for line in describe(prepared):
        print(line)
    print(options.out / "data.json")
    return int(options.strict and bool(prepared.problems))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parser().parse_args(arguments)
    return run_script(lambda: run(options), "the same command continues from here")


if __name__ == "__main__":
    sys.exit(main())
