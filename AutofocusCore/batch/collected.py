"""Corrected cases that are collected one by one: a folder for each model, and in it one for each case.

    cases/head-neck-ct/Anna CT/
        CT.nrrd                   a file for each channel of the model
        Segmentation.seg.nrrd     the contours; the header says when the case was added, and names the images

A case's folder has its name only when it is complete. `autofocus teach --cases cases/head-neck-ct` takes such folders.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from AutofocusCore.batch.case_folder import SEGMENTATION_SUFFIXES
from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.io.atomic import cannot_write
from AutofocusCore.io.nrrd import write_nrrd_to
from AutofocusCore.io.slicer_nrrd import PROVENANCE_KEY, read_keys, segments_of, write_segments
from AutofocusCore.io.temporary import aside_name, remove_leftovers
from AutofocusCore.jobs.saved_result import provenance_in
from AutofocusCore.models.parts import DEVICE_NAMES
from AutofocusCore.models.store import user_model_folder

if TYPE_CHECKING:
    from AutofocusCore.models.parts import Structure

LABELS = f"Segmentation{SEGMENTATION_SUFFIXES[0]}"
COLLECTED = "collected_case"
"""Key of the header's record of when and for which model a case was added."""
LONGEST_NAME = 64
REPLACED = ".replaced-"


class VolumeLike(Protocol):
    """Voxels (z, y, x), and the 4×4 matrix from their indices (i, j, k, 1) to millimetres, LPS."""

    @property
    def array(self) -> npt.NDArray[Any]: ...
    @property
    def index_to_lps(self) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class CollectedCase:
    """A corrected case in its folder.

    Args:
        name: that of its folder.
        images: a file for each channel, in the model's order.
        labels: the file of the contours.
        added: when, as ISO 8601 in local time, to the second.
        structures: names of those that are contoured.
        scans: checksums of the images' voxels, as `scan_checksum` gives them.
    """

    name: str
    images: tuple[str, ...]
    labels: str
    added: str
    structures: tuple[str, ...]
    scans: tuple[str, ...]

    def is_of(self, images: Mapping[str, VolumeLike]) -> bool:
        """Whether its images have the voxels of these, wherever they lie."""
        return self.scans == tuple(map(scan_checksum, images.values()))


def scan_checksum(image: VolumeLike) -> str:
    """A checksum of the voxels of an image."""
    digest = hashlib.blake2b(str((image.array.shape, image.array.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image.array).data)
    return digest.hexdigest()


def collecting_folder() -> Path:
    """Where cases are collected unless another place is chosen: `cases`, beside the user's model folder."""
    return user_model_folder().parent / "cases"


def safe_case_name(text: str) -> str:
    """A text as the name of a case's folder on every file system; empty if nothing of it can be used."""
    name = re.sub(r"[^\w .+-]", "_", text)[:LONGEST_NAME].strip(" .")
    return f"{name}_" if DEVICE_NAMES.fullmatch(name) else name


def write_case(
    folder: Path,
    name: str,
    images: Mapping[str, VolumeLike],
    labels: VolumeLike,
    structures: Sequence[Structure],
    *,
    model: str,
    replace: bool = False,
) -> CollectedCase:
    """Write a case, whole or not at all.

    Args:
        folder: of the model's cases; it need not exist.
        name: of the case, as `safe_case_name` gives it.
        images: by the channels' names, in the model's order.
        labels: 8-bit label map; what it does not contour is unknown in this case.
        structures: what its values mean.
        model: for which the case is collected.
        replace: whether a case of that name is replaced.

    Raises:
        InputError: it contours nothing.
        OutputError: the name is taken or cannot be used, or the file system refused.
    """
    if not name or name != safe_case_name(name):
        raise OutputError(f"{name!r} cannot be the name of a case", "use letters, digits, spaces and . + - _")
    if not labels.array.any():
        raise InputError(f"Nothing is contoured in {name}", "contour a structure first")
    final, part = folder / name, aside_name(folder / name)
    files = _file_names(images)
    scans = [scan_checksum(image) for image in images.values()]
    added = datetime.now().isoformat(timespec="seconds")
    about = {COLLECTED: {"model": model, "added": added, "images": files, "scans": scans}}
    try:
        part.mkdir(parents=True)
        remove_leftovers(folder)
        _restore(folder)
        for file, image in zip(files, images.values(), strict=True):
            write_nrrd_to(part / file, image.array, image.index_to_lps, compression=1)
        write_segments(part / LABELS, labels.array, labels.index_to_lps, structures, about)
        for path in part.iterdir():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
        _rename(part, final, replace=replace)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    case = read_case(final)
    assert case is not None
    return case


def collected_cases(folder: Path) -> list[CollectedCase]:
    """The cases in a model's folder, the oldest first; what is no such case is left out."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return []
    return sorted(filter(None, map(read_case, entries)), key=lambda case: (case.added, case.name))


def read_case(folder: Path) -> CollectedCase | None:
    """The case in this folder, by the header of its contours; None where there is no complete one."""
    labels = folder / LABELS
    try:
        keys = read_keys(labels)
        names = tuple(segment["name"] for segment in segments_of(keys))
    except (OSError, ValueError):
        return None
    found = provenance_in(keys.get(PROVENANCE_KEY)).get(COLLECTED)
    record = found if isinstance(found, dict) else {}
    files = record.get("images")
    if not isinstance(files, list) or not files or not all(_is_file_in(folder, file) for file in files):
        return None
    images, scans = tuple(str(folder / file) for file in files), record.get("scans")
    checksums = tuple(map(str, scans)) if isinstance(scans, list) else ()
    return CollectedCase(folder.name, images, str(labels), str(record.get("added") or ""), names, checksums)


def free_name(name: str, images: Mapping[str, VolumeLike], cases: Sequence[CollectedCase]) -> str:
    """A name for a case of these images, much like the given one, that no other scan's case has."""
    for number in range(2, len(cases) + 3):
        end = f" {number}"
        tried = name[: LONGEST_NAME - len(end)].rstrip(" .") + end
        there = case_named(tried, cases)
        if there is None or there.is_of(images):
            return tried
    raise AssertionError("There are more names than cases.")


def case_named(name: str, cases: Sequence[CollectedCase]) -> CollectedCase | None:
    """The case whose folder would have this name on a file system that does not tell upper from lower case."""
    return next((case for case in cases if case.name.lower() == name.lower()), None)


def remove_case(case: CollectedCase) -> None:
    """Remove the files of a case; its folder too, if that is empty then.

    Raises:
        OutputError: the file system refused.
    """
    folder = Path(case.labels).parent
    try:
        for file in (case.labels, *case.images):  # without the contours it is no case any more
            Path(file).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise cannot_write(folder, error) from error


def _rename(part: Path, final: Path, *, replace: bool) -> None:
    if not final.exists():
        part.rename(final)
        return
    if read_case(final) is None:
        raise OutputError(f"{final} exists and is not a collected case", "choose another name")
    if not replace:
        raise OutputError(f"There is already a case {final.name}", "choose another name, or replace it")
    old = final.with_name(f"{REPLACED}{final.name}")
    final.rename(old)
    try:
        part.rename(final)
    except OSError:
        old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _restore(folder: Path) -> None:
    """Give back its name to a case whose replacing was interrupted; remove one that was replaced."""
    for old in folder.glob(f"{REPLACED}*"):
        final = folder / old.name[len(REPLACED) :]
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(final)


def _file_names(images: Mapping[str, VolumeLike]) -> list[str]:
    names = [safe_case_name(channel) or "image" for channel in images]
    if len({name.lower() for name in names}) < len(names):
        names = [f"{name}_{number}" for number, name in enumerate(names, start=1)]
    return [f"{name}.nrrd" for name in names]


def _is_file_in(folder: Path, name: Any) -> bool:
    return isinstance(name, str) and name == Path(name).name and (folder / name).is_file()
