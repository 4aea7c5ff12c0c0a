"""Checks of output files before the computation: formats, write access, and label sidecars.

This file imports neither numpy nor SimpleITK, so that wrong usage of the command line is reported at once.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from os.path import normcase, realpath
from pathlib import Path
from typing import Any

from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import Staging, cannot_write, stem_of, suffix_of
from AutofocusCore.io.texts import check_name

SEGMENTATION_FORMATS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")
VOLUME_FORMATS = (".nrrd", ".nii.gz", ".nii", ".mha")


def check_format(path: str | os.PathLike[str], formats: Sequence[str], what: str) -> None:
    """Refuse a file name whose extension is not one of the formats for `what`."""
    if suffix_of(path) not in formats:
        shown = suffix_of(path) or "no extension"
        raise OutputError(
            f"{what} {Path(path).name} has {shown}, which is not a format for it", f"use {_one_of(formats)}"
        )


def check_writable(
    paths: Iterable[str | os.PathLike[str]],
    inputs: Iterable[str | os.PathLike[str]] = (),
    later: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Check before the computation that the results can be written.

    Args:
        paths: the outputs.
        inputs: files that no output may replace.
        later: outputs in folders that do not exist yet.

    Raises:
        OutputError: a folder is missing or not writable, an output is a folder, is an input or another output, or has
            a name that is not valid Unicode.
    """
    sources = {normcase(realpath(path)) for path in inputs}
    seen: set[str] = set()
    places = [Path(path) for path in paths]
    for path in (*places, *map(Path, later)):
        check_name(path, OutputError)
        identity = normcase(realpath(path))
        if identity in sources:
            raise OutputError(f"The output {path} is also an input", "write to another file")
        if identity in seen:
            raise OutputError(f"Two outputs have the same name {path}", "give each its own")
        seen.add(identity)
        if path.is_dir():
            raise OutputError(f"The output {path} is a folder", "give a file name in it")
    for path in places:
        if not path.parent.is_dir():
            raise OutputError(f"The folder {path.parent} does not exist", "make it, or write to another one")
        check_folder(path.parent, path)


def check_folder(folder: Path, wanted: Path | None = None) -> None:
    """Check write access by writing a file into a folder; permissions do not show read-only disks, quotas or ACLs.

    Args:
        folder: the folder.
        wanted: the output that will be written there, for the message; default: the folder.
    """
    check_name(folder, OutputError)
    with contextlib.suppress(_ProbeDone), Staging() as staging:
        try:
            staging.aside(folder / "probe").write_bytes(b"\0")
        except OSError as error:
            raise cannot_write(wanted or folder, error) from error
        raise _ProbeDone


def check_sidecar(path: str | os.PathLike[str]) -> None:
    """Refuse a segmentation whose label sidecar would replace another `.json` file, such as the one dcm2niix writes."""
    sidecar = sidecar_path(path)
    if sidecar is not None and sidecar.exists() and read_sidecar(sidecar) is None:
        raise OutputError(
            f"The label sidecar of {Path(path).name} would replace {sidecar}, which is not a label sidecar",
            "rename that file, or give the segmentation another name or the format .seg.nrrd",
        )


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The content of a label sidecar written by this program; None for other files."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("structures"), list) else None


class _ProbeDone(Exception):
    """Leaves the staging block without giving the probe its final name."""


def sidecar_path(path: str | os.PathLike[str]) -> Path | None:
    """Path of a segmentation file's label sidecar; None for `.seg.nrrd`, which needs none."""
    return None if suffix_of(path) == ".seg.nrrd" else Path(path).with_name(f"{stem_of(path)}.json")


def _one_of(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
