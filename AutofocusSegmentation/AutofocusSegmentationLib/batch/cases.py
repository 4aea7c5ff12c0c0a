"""The cases of a batch: from tables and folders of images, as the engine reads them, and from trees of DICOM files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch.cohort import IMAGE_SUFFIXES, Case, check_names, read_cohort
from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import suffix_of
from AutofocusCore.io.temporary import PREFIX

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

FEWEST_SLICES = 2  # a single one is a localizer, or a picture of something


def read_cases(source: Path, channels: Sequence[Channel], *, leave_out: Path) -> list[Case]:
    """All cases of a table, of a folder of images, or of a folder of DICOM files.

    Args:
        source: the table or folder.
        channels: the model's.
        leave_out: folder whose content is no input (the output folder).

    Raises:
        InputError: nothing there, or nothing that the model could take.
    """
    if len(channels) == 1 and source.is_dir():
        folders = list(_dicom_folders(source, leave_out.resolve()))
        if folders:
            return _dicom_cases(source, folders, channels[0])
    return read_cohort(source, channels, leave_out=leave_out)


def _dicom_folders(source: Path, leave_out: Path) -> Iterator[Path]:
    """The folders that hold DICOM files; none at all where there are image files too: then names tell the cases."""
    from AutofocusCore.images.dicom import is_dicom

    found = []
    for name, folders, files in os.walk(source):
        here = Path(name)
        folders[:] = sorted(f for f in folders if not f.startswith((".", PREFIX)) and (here / f).resolve() != leave_out)
        if any(suffix_of(file) in IMAGE_SUFFIXES for file in files):
            return
        if any(is_dicom(here / file) for file in sorted(files) if not file.startswith(".") and file != "DICOMDIR"):
            found.append(here)
    yield from found


def _dicom_cases(source: Path, folders: Sequence[Path], channel: Channel) -> list[Case]:
    """A case for every series of the channel's modality, named after its folder, or after folder and series number."""
    from AutofocusCore.images.dicom import list_series

    cases = []
    others: set[str] = set()
    for folder in folders:
        try:
            series = list_series(folder)
        except InputError:
            continue  # structures, doses, plans: no images
        others |= {one.modality for one in series}
        fitting = [one for one in series if one.modality in ("", channel.modality) and len(one.slices) >= FEWEST_SLICES]
        base = "_".join(folder.relative_to(source).parts) or source.name
        for one in fitting:
            suffix = "" if len(series) == 1 else f"_{one.uid if one.number is None else one.number}"
            cases.append(Case(f"{base}{suffix}", (str(folder),), series=one.uid))
    if not cases:
        there = f"there are {', '.join(sorted(others))}" if others else "there are no images"
        raise InputError(
            f"{source} holds no DICOM series of the modality {channel.modality}", f"choose another folder; {there}"
        )
    check_names(cases)
    return cases
