"""`autofocus phantom`: makes a synthetic pelvic CT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from AutofocusCore.cli import options
from AutofocusCore.cli.console import say
from AutofocusCore.cli.interrupt import Signals
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.outputs import (
    SEGMENTATION_FORMATS,
    VOLUME_FORMATS,
    check_format,
    check_sidecar,
    check_writable,
    sidecar_path,
)


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "phantom", help="make a synthetic pelvic CT", description="Make a synthetic CT of the male pelvis (HU)."
    )
    parser.add_argument("output", metavar="OUT", help="the scan: .nii.gz, .nii, .nrrd or .mha")
    parser.add_argument("--seed", type=options.natural, default=0, metavar="N", help="which patient; default 0")
    parser.add_argument("--plain", action="store_true", help="anatomy alone: no implants, calcifications, catheters")
    parser.add_argument("--labels", metavar="FILE", help="write the true labels too; .seg.nrrd, .nii.gz, .nrrd, .mha")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    scan = Path(args.output)
    check_format(scan, VOLUME_FORMATS, "The scan")
    files = [scan]
    if args.labels is not None:
        check_format(args.labels, SEGMENTATION_FORMATS, "The segmentation")
        sidecar = sidecar_path(args.labels)
        files += [Path(args.labels), *([sidecar] if sidecar else [])]
    check_writable(files)
    if args.labels is not None:
        check_sidecar(args.labels)

    from AutofocusCore.io.results import write_image, write_segmentation
    from AutofocusCore.models.terminology import structures
    from AutofocusCore.phantom import PHANTOM_STRUCTURES, make_phantom

    image, labels = make_phantom(args.seed, findings=not args.plain)
    record = {"synthetic": True, "phantom": "pelvis", "seed": args.seed, "findings": not args.plain}
    with Staging() as staging:
        write_image(staging.aside(scan), image, provenance=record)
        if args.labels is not None:
            named = structures(*(name.capitalize() for name in PHANTOM_STRUCTURES.values()))
            write_segmentation(args.labels, labels, named, provenance=record, staging=staging)
        signals.close()  # the files get their final names next
    for path in staging.finals:
        say(f"Written: {path}")
    return 0
