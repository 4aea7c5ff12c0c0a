"""The cases of a source, by its format."""

from __future__ import annotations

import argparse

from Training.preparing.brats import find_brats, find_brats2015
from Training.preparing.contoured import CONTOURED, mark_unknown
from Training.preparing.decathlon import find_decathlon
from Training.preparing.folders import find_folders
from Training.preparing.found import Found
from Training.preparing.patients import find_patients
from Training.preparing.structures import read_structures


def find(options: argparse.Namespace) -> Found:
    """The collection that the command line's options name.

    Raises:
        AutofocusError: nothing is there, or an option makes no sense.
    """
    source = options.source
    name = options.name or source.resolve().name
    if options.format == "folder":
        channels = [channel.strip() for channel in options.channels.split(",")]
        structures, _ = read_structures(options.structures)
        images = options.images or ["images*/{case}"]
        return _with_contoured(find_folders(source, name, channels, images, options.labels, structures), options)
    if options.format == "dicom":
        absent = [one.strip() for one in options.absent.split(",") if one.strip()]
        return find_patients(source, name, *read_structures(options.structures), absent)
    if options.format == "decathlon":
        return _with_contoured(find_decathlon(source, options.name), options)
    if options.format == "brats":
        return find_brats(source, name, options.three_structures)
    return find_brats2015(source, name)


def _with_contoured(found: Found, options: argparse.Namespace) -> Found:
    """The collection with what `--contoured`, or a contoured.json in the source, says is unknown in its cases."""
    beside = options.source / CONTOURED
    path = options.contoured or (beside if beside.is_file() else None)
    return found if path is None else mark_unknown(found, path)
