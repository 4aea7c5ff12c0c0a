"""Reads a volume from a file or a DICOM folder; if that is impossible, the error says why in one sentence."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.images import dicom, metaimage, nifti, nrrd, other_formats
from AutofocusCore.images.checks import (
    MODALITY_KEY,
    SOURCE_KEY,
    check_geometry,
    check_kind,
    check_size,
    choose_frame,
    repair_values,
)
from AutofocusCore.images.files import FORMATS, check_there, first_bytes, format_of, unreadable
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.voxels import check_parts, read_voxels

__all__ = ["FORMATS", "Scan", "frame_count", "read_image"]


DESCRIBE = {"NIfTI": nifti.describe, "NRRD": nrrd.describe, "MetaImage": metaimage.describe}
"""For each of these formats: the image that a file's header describes."""


@dataclass(frozen=True)
class Scan:
    """One volume: a scalar 3-D image, its source, and warnings.

    The image lies on the file's own grid. Its axes need not be perpendicular (tilted gantry): `Grid.of(image).sheared`.
    """

    image: sitk.Image
    path: Path
    modality: str | None
    warnings: tuple[str, ...] = ()


def read_image(path: str | Path, *, series: str | int | None = None, frame: int | None = None) -> Scan:
    """Read a volume.

    Slices of a DICOM folder are put in order by their positions, never by file name. NaN and infinite voxels are
    filled, with a warning. Where a header gives directions twice or not at all, `nifti_axes` has the rule.

    Args:
        path: an image file of any format that is read here, or a folder with DICOM files.
        series: which series of a DICOM folder: its number, UID or description. Needed where there are several.
        frame: which volume of a 4-D image, from 0. Needed where there are several.

    Raises:
        InputError: missing, unreadable, not an image, 2-D, colour, impossible geometry, several series or frames and
            none asked for, missing slices, a size that no patient has.
    """
    if not str(path):
        raise InputError("The name of the image is empty", "give a file or a folder")
    path = Path(path)
    name = str(path)
    check_there(path)
    with _in_our_words(name):
        start = b"" if path.is_dir() else first_bytes(path)
        kind = "DICOM" if path.is_dir() else format_of(path, start)
        if kind == "DICOM":
            loaded = dicom.read_folder(path, series, frame) if path.is_dir() else dicom.read_file(path, frame)
            image, grid, modality, warnings = loaded.image, loaded.grid, loaded.modality, loaded.warnings
        elif series is not None:
            raise InputError(f"{path} is a file and has no series", "ask for a series of a DICOM folder only")
        elif kind is None:
            image, grid, warnings = other_formats.read(path, start, frame, name)
            modality = None
        else:
            stored = DESCRIBE[kind](path, name)
            image = read_voxels(stored, choose_frame(stored.frames, frame, name))
            grid, modality, warnings = stored.grid, stored.modality, stored.warnings
        check_kind(image, name)
        grid.stamp(image)
        image, repairs = repair_values(image, name)
        check_geometry(image, name)
        if grid.sheared:
            warnings = (*warnings, _lean(grid, name))
        warnings = (*warnings, *check_size(grid, name), *repairs)
    image.SetMetaData(SOURCE_KEY, name)
    if modality:
        image.SetMetaData(MODALITY_KEY, modality)
    return Scan(image, path, modality, warnings)


def frame_count(path: str | Path, *, series: str | int | None = None) -> int:
    """How many volumes a file or DICOM series holds: 1 for an ordinary image."""
    path = Path(path)
    check_there(path)
    with _in_our_words(str(path)):
        start = b"" if path.is_dir() else first_bytes(path)
        kind = "DICOM" if path.is_dir() else format_of(path, start)
        if kind == "DICOM":
            return dicom.count_frames(path, series)
        if kind is None:
            return other_formats.count_frames(path, start, str(path))
        stored = DESCRIBE[kind](path, str(path))
        check_parts(stored)
        return stored.frames


@contextmanager
def _in_our_words(name: str) -> Iterator[None]:
    """Turn any exception that a damaged file causes into an `InputError`, and hide the warnings of libraries."""
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            yield
    except AutofocusError:
        raise
    except MemoryError:
        raise InputError(f"{name} is too large for the memory of this machine", "use a machine with more") from None
    except OSError as error:
        raise unreadable(name, error) from None
    except RuntimeError as error:
        if "bad_alloc" in str(error) or "Failed to allocate" in str(error):
            raise InputError(f"{name} is too large for the memory of this machine", "use one with more") from None
        raise _senseless(name, error) from error
    except Exception as error:
        raise _senseless(name, error) from error


def _senseless(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name} is damaged or invalid in an unexpected way ({type(error).__name__})",
        "copy or download it again, or export the image in another format",
    )


def _lean(grid: Grid, name: str) -> str:
    first, second, third = (np.asarray(grid.direction).reshape(3, 3)[:, a] for a in range(3))
    normal = np.cross(first, second)
    tilt = np.degrees(np.arccos(min(1.0, float(abs(third @ normal) / np.linalg.norm(normal)))))
    kind_of = f"its slices lean by {tilt:.1f}°, as with a tilted gantry" if tilt > 0.1 else "they are not perpendicular"
    return (
        f"{name} has sheared axes ({kind_of}). The network sees it resampled onto perpendicular ones; the result lies "
        "on the image's own grid, and looks displaced in programs that cannot show sheared axes."
    )
