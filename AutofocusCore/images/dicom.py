"""Reads DICOM volumes: a series in a folder, or a multi-frame file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import choose_frame
from AutofocusCore.images.duplicates import digests_of
from AutofocusCore.images.geometry import Grid, rigid_grid
from AutofocusCore.images.pixels import pixels_of
from AutofocusCore.images.series import Series, choose, group, list_series, parts_beside
from AutofocusCore.images.slices import is_dicom, read_slices
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


@dataclass(frozen=True)
class LoadedSeries:
    """Voxels of a series, their grid (sheared if the gantry was tilted), and warnings."""

    image: sitk.Image
    grid: Grid
    modality: str | None
    warnings: tuple[str, ...]


def read_folder(folder: Path, series: str | int | None = None, frame: int | None = None) -> LoadedSeries:
    """Read one series of a folder.

    Raises:
        InputError: several series and none asked for; no such series; slices missing, of mixed orientation or size;
            several volumes in the series and no frame asked for; a mosaic; a single slice.
    """
    every = list_series(folder)
    chosen = choose(every, folder, series)
    warnings = chosen.remarks
    passed_over = [s for s in every if s is not chosen]
    if passed_over and series is None:
        kinds = ", ".join(s.label for s in passed_over)
        warnings += (f"{folder} also contains images that are not volumes and were ignored: {kinds}.",)
    return _load(chosen, f"The series {chosen.label} in {folder}", frame, warnings)


def read_file(path: Path, frame: int | None = None) -> LoadedSeries:
    """Read a DICOM file that holds a whole volume (enhanced multi-frame).

    Raises:
        InputError: the file is one slice of a series; or as for a folder.
    """
    series = _whole_file(path)
    others = parts_beside(path, series.uid)
    warnings = series.remarks
    if others:
        named = ", ".join(other.name for other in others[:3]) + (" and so on" if len(others) > 3 else "")
        warnings += (
            f"The series of {path} has further files beside it ({named}), which were not read: give the folder to have "
            "all of it.",
        )
    return _load(series, str(path), frame, warnings)


def choose_series(path: Path, series: str | int | None) -> Series:
    """The series of a folder, or the volume of a multi-frame file, that `read_folder` or `read_file` would read.

    Raises:
        InputError: several series and none asked for; no such series; a file that is a single slice.
    """
    return choose(list_series(path), path, series) if path.is_dir() else _whole_file(path)


def count_frames(path: Path, series: str | int | None) -> int:
    """Number of volumes in a folder's series or a multi-frame file."""
    chosen = choose_series(path, series)
    return len(stack(chosen.slices, str(path), digests_of).frames)


def _whole_file(path: Path) -> Series:
    found = group(read_slices([path]))
    if not found:
        raise InputError(f"{path} is a DICOM file without an image", "give an image series")
    series = found[0]
    if len(series.slices) > 1 or series.slices[0].mosaic:
        return series
    count = 1 + len(parts_beside(path, series.uid))
    if count > 1:
        label = Series(series.uid, series.number, series.description, series.modality, series.slices * count).label
        raise InputError(f"{path} is one of the {count} slices of the series {label}", f"give the folder {path.parent}")
    raise InputError(f"{path} is a single 2-D slice", "give the folder of a whole series")


def _load(series: Series, name: str, frame: int | None, warnings: tuple[str, ...]) -> LoadedSeries:
    arranged = stack(series.slices, name, digests_of)
    chosen = arranged.frames[choose_frame(len(arranged.frames), frame, name)]
    planes = pixels_of(chosen)
    if arranged.even is not None:
        planes = arranged.even.apply(planes)
    image = sitk.GetImageFromArray(np.stack(planes))
    grid = arranged.grid
    if not grid.sheared:
        grid = rigid_grid(grid)
    grid.stamp(image)
    return LoadedSeries(image, grid, series.modality or None, (*warnings, *arranged.warnings))
