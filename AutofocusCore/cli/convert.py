"""`autofocus convert`: turns an existing segmentation into a DICOM object for planning systems and archives."""

from __future__ import annotations

import argparse
from typing import Any

from AutofocusCore.cli import options
from AutofocusCore.cli.console import say
from AutofocusCore.cli.interrupt import Signals
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.dicom_objects import DICOM_FORMATS
from AutofocusCore.io.outputs import check_writable


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "convert",
        help="turn a segmentation into RTSTRUCT or DICOM SEG",
        description="Turn a segmentation into an RTSTRUCT or DICOM SEG object that refers to a DICOM series.",
    )
    parser.add_argument("result", metavar="RESULT", help=".seg.nrrd, or .nii.gz, .nii, .nrrd, .mha with its sidecar")
    parser.add_argument("--format", choices=DICOM_FORMATS, required=True, help="rtstruct: outlines; seg: voxels")
    parser.add_argument("--dicom", required=True, metavar="SERIES", help="DICOM folder that it was made from")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the object, .dcm")
    parser.add_argument("--series", metavar="S", help="number, UID or description of the series in the folder")
    parser.add_argument("--frame", type=options.natural, metavar="N", help="volume of a 4-D series, from 0")
    parser.add_argument("-m", "--model", help="the model that made it, for a labelmap without a sidecar")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    from AutofocusCore.jobs.dicom_export import check_dicom_export, export_dicom

    check_dicom_export(args.output, args.format, args.dicom)
    check_writable([args.output], [args.result])

    from AutofocusCore.jobs.saved_result import read_result
    from AutofocusCore.models import find_model

    model = None if args.model is None else find_model(args.model)
    result = read_result(args.result, None if model is None else model.spec.structures)
    record = result.provenance
    if model is not None and "model" not in record:
        record = {**record, "model": {"name": model.spec.name, "version": model.spec.version, "sha256": model.checksum}}
    with Staging() as staging:
        export_dicom(
            args.output,
            args.format,
            result.labels,
            result.structures,
            record,
            args.dicom,
            series=args.series,
            frame=args.frame,
            staging=staging,
        )
        signals.close()  # the file gets its final name next
    say(f"Written: {args.output}")
    return 0
