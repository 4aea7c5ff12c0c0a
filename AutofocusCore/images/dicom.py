"""Volumes out of DICOM: series are told apart, slices put in order by where they lie, and gaps found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import choose_frame
from AutofocusCore.images.geometry import Grid, rigid_grid
from AutofocusCore.images.slices import Slice, is_dicom, pixels_of, read_slices
from AutofocusCore.images.stacking import stack

__all__ = [
    "LoadedSeries",
    "Series",
    "choose_series",
    "count_frames",
    "is_dicom",
    "list_series",
    "read_file",
    "read_folder",
]

NOT_IMAGES = ("SEG", "RTDOSE", "RTPLAN", "RTSTRUCT", "SR", "PR", "KO", "REG", "DOC", "FID", "M3D")


@dataclass(frozen=True)
class LoadedSeries:
    """Voxels of a series, the grid they lie on (sheared where the gantry was tilted), and what was odd."""

    image: sitk.Image
    grid: Grid
    modality: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """The slices that share a series UID."""

    uid: str
    number: int | None
    description: str
    modality: str
    slices: tuple[Slice, ...]

    @property
    def label(self) -> str:
        """How people call it: 5 "t2_tse_tra" (MR, 20 slices)."""
        named = [str(self.number)] if self.number is not None else []
        named += [f'"{self.description}"'] if self.description else []
        count = len(self.slices)
        return f"{' '.join(named) or self.uid} ({self.modality or 'no modality'}, {count} slice{'s' * (count != 1)})"

    def answers_to(self, wanted: str) -> bool:
        """Whether this is the series of that number, UID or description."""
        wanted = wanted.strip()
        number = "" if self.number is None else str(self.number)
        return (wanted != "" and wanted in (self.uid, number)) or wanted.casefold() == self.description.casefold() != ""


def list_series(folder: Path) -> list[Series]:
    """The image series in a folder, by number; in its subfolders where it holds no DICOM file itself.

    Raises:
        InputError: there is no DICOM image.
    """
    files = [p for p in sorted(folder.iterdir()) if p.is_file()]
    found = _group(read_slices(files))
    if not found:
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent != folder]
        found = _group(read_slices(files))
    if not found:
        raise InputError(f"The folder {folder} holds no DICOM image", "give the folder of a series, or an image file")
    return found


def read_folder(folder: Path, series: str | int | None = None, frame: int | None = None) -> LoadedSeries:
    """Read one series of a folder.

    Raises:
        InputError: several series and none asked for; no such series; slices missing, of mixed orientation or size;
            several volumes in the series and no frame asked for; a mosaic; a single slice.
    """
    every = list_series(folder)
    chosen = _choose(every, folder, series)
    warnings: tuple[str, ...] = ()
    passed_over = [s for s in every if s is not chosen]
    if passed_over and series is None:
        kinds = ", ".join(s.label for s in passed_over)
        warnings = (f"{folder} also holds what is no volume, and was passed over: {kinds}.",)
    return _load(chosen, f"The series {chosen.label} in {folder}", frame, warnings)


def read_file(path: Path, frame: int | None = None) -> LoadedSeries:
    """Read a DICOM file that holds a whole volume (enhanced multi-frame).

    Raises:
        InputError: the file is one slice of a series; or as for a folder.
    """
    return _load(_whole_file(path), str(path), frame, ())


def choose_series(path: Path, series: str | int | None) -> Series:
    """The series of a folder, or the volume of a multi-frame file, that `read_folder` or `read_file` would read.

    Raises:
        InputError: several series and none asked for; no such series; a file that is a single slice.
    """
    return _choose(list_series(path), path, series) if path.is_dir() else _whole_file(path)


def count_frames(path: Path, series: str | int | None) -> int:
    """How many volumes a folder's series, or a multi-frame file, holds."""
    chosen = choose_series(path, series)
    return len(stack(chosen.slices, str(path)).frames)


def _whole_file(path: Path) -> Series:
    found = _group(read_slices([path]))
    if not found:
        raise InputError(f"{path} is a DICOM file without an image", "give an image series")
    series = found[0]
    if len(series.slices) > 1 or series.slices[0].mosaic:
        return series
    beside = [s for s in list_series(path.parent) if s.uid == series.uid]
    count = len(beside[0].slices) if beside else 1
    if count > 1:
        raise InputError(
            f"{path} is one of the {count} slices of the series {beside[0].label}", f"give the folder {path.parent}"
        )
    raise InputError(f"{path} is a single 2-D slice", "give the folder of a whole series")


def _group(slices: Sequence[Slice]) -> list[Series]:
    groups: dict[str, list[Slice]] = {}
    for one in slices:
        if one.modality not in NOT_IMAGES:
            groups.setdefault(one.series_uid, []).append(one)
    found = []
    for uid, members in groups.items():
        # A scanner may file the localizer under the series that was planned on it.
        volume = [s for s in members if not s.localizer] or members
        unique = {s.key: s for s in reversed(volume)}  # the same file twice, under two names
        first = volume[0]
        found.append(Series(uid, first.number, first.description, first.modality, tuple(reversed(unique.values()))))
    return sorted(found, key=lambda s: (s.number is None, s.number or 0, s.uid))


def _choose(every: list[Series], folder: Path, wanted: str | int | None) -> Series:
    names = _names(every)
    if wanted is not None:
        matching = [s for s in every if s.answers_to(str(wanted))]
        if len(matching) == 1:
            return matching[0]
        cause = "no series" if not matching else f"{len(matching)} series"
        uids = "" if not matching else " by UID: " + ", ".join(s.uid for s in matching)
        raise InputError(f"{folder} has {cause} named {wanted}", f"choose one of them{uids or ': ' + names}")
    volumes = [s for s in every if len(s.slices) > 1 or s.slices[0].mosaic]
    if len(volumes) == 1:
        return volumes[0]
    if not volumes:
        raise InputError(f"{folder} holds only single 2-D slices: {names}", "give the folder of a whole series")
    raise InputError(
        f"{folder} holds {len(volumes)} series: {_names(volumes)}",
        "say which (series), by its number, description or UID",
    )


def _names(every: Sequence[Series]) -> str:
    """All labels, with the UID where the same number and description come twice."""
    short = [(s.number, s.description) for s in every]
    twice = {key for key in short if short.count(key) > 1}
    return "; ".join(s.label + (f" UID {s.uid}" if key in twice else "") for s, key in zip(every, short, strict=True))


def _load(series: Series, name: str, frame: int | None, warnings: tuple[str, ...]) -> LoadedSeries:
    arranged = stack(series.slices, name)
    chosen = arranged.frames[choose_frame(len(arranged.frames), frame, name)]
    image = sitk.GetImageFromArray(np.stack(pixels_of(chosen)))
    grid = arranged.grid
    if not grid.sheared:
        grid = rigid_grid(grid)
        grid.stamp(image)
    return LoadedSeries(image, grid, series.modality or None, (*warnings, *arranged.warnings))
