"""Read a volume from a file or a DICOM folder, and say in a sentence why where that is impossible."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import dicom
from AutofocusCore.images.checks import (
    MODALITY_KEY,
    SOURCE_KEY,
    check_components,
    check_geometry,
    check_kind,
    choose_frame,
    direction_error,
    repair_values,
    spacing_error,
)
from AutofocusCore.images.geometry import Grid, regular_grid, rigid_grid
from AutofocusCore.images.headers import NiftiHeader, check_header, damaged, open_maybe_gzip
from AutofocusCore.images.not_numbers import with_not_numbers
from AutofocusCore.images.resampling import sample, to_image
from AutofocusCore.io.names import check_name

FORMATS = "NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha, .mhd) or a DICOM folder"


@dataclass(frozen=True)
class Scan:
    """One volume: a scalar 3-D image with perpendicular axes, whence it came, and what was odd about it."""

    image: sitk.Image
    path: Path
    modality: str | None
    warnings: tuple[str, ...] = ()


def read_image(path: str | Path, *, series: str | int | None = None, frame: int | None = None) -> Scan:
    """Read a volume.

    Slices of a DICOM folder are put in order by their positions, never by file name. Sheared geometry (tilted
    gantry, sheared NIfTI) is resampled onto perpendicular axes, with a warning. NaN and infinite voxels are filled,
    with a warning.

    Args:
        path: an image file of any format that SimpleITK reads, or a folder with DICOM files.
        series: which series of a DICOM folder: its number, UID or description. Needed where there are several.
        frame: which volume of a 4-D image, from 0. Needed where there are several.

    Raises:
        InputError: missing, unreadable, not an image, 2-D, colour, impossible geometry, several series or frames and
            none asked for, missing slices.
    """
    path = Path(path)
    _check_there(path)
    if path.is_dir() or dicom.is_dicom(path):
        loaded = dicom.read_folder(path, series, frame) if path.is_dir() else dicom.read_file(path, frame)
        image, grid, modality, warnings = loaded.image, loaded.grid, loaded.modality, loaded.warnings
    else:
        if series is not None:
            raise InputError(f"{path} is a file and has no series", "ask for a series of a DICOM folder only")
        image, grid = _read_file(path, frame)
        modality, warnings = None, ()
    name = str(path)
    check_kind(image, name)
    image, repairs = repair_values(image, name)
    if grid.sheared:
        image, note = _straightened(image, grid, name)
        warnings = (*warnings, note)
    check_geometry(image, name)
    image.SetMetaData(SOURCE_KEY, name)
    if modality:
        image.SetMetaData(MODALITY_KEY, modality)
    return Scan(image, path, modality, (*warnings, *repairs))


def frame_count(path: str | Path, *, series: str | int | None = None) -> int:
    """How many volumes a file or DICOM series holds: 1 for an ordinary image."""
    path = Path(path)
    _check_there(path)
    if path.is_dir() or dicom.is_dicom(path):
        return dicom.count_frames(path, series)
    check_header(path, str(path))
    reader = _open(path)
    if _is_list(path, reader):
        return int(reader.GetNumberOfComponents())
    size = reader.GetSize()
    return int(size[3]) if len(size) == 4 else 1


def _check_there(path: Path) -> None:
    check_name(path)
    if not path.exists():
        raise InputError(f"There is no file or folder {path}", "check its name and place")
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            with path.open("rb") as file:
                if not file.read(1):
                    raise InputError(f"{path} is an empty file", "copy or download it again")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its permissions and the drive") from None


def _read_file(path: Path, frame: int | None) -> tuple[sitk.Image, Grid]:
    """The image and the grid it truly lies on, which may be sheared."""
    name = str(path)
    nifti = check_header(path, name)
    sheared = nifti.sheared if nifti is not None else None
    if nifti is not None and sheared is not None:
        with tempfile.TemporaryDirectory(prefix="autofocus-") as folder:
            image = _read_frame(_without_transform(nifti, Path(folder)), frame, name)
        check_kind(image, name)
        image = with_not_numbers(image, nifti, frame or 0)
        grid = Grid.from_matrix(image.GetSize(), *sheared)
        if not grid.sheared:
            grid = rigid_grid(grid)
            grid.stamp(image)
        return image, grid
    image = _read_frame(path, frame, name)
    check_kind(image, name)
    if nifti is not None:
        image = with_not_numbers(image, nifti, frame or 0)
    return image, Grid.of(image)


def _read_frame(path: Path, frame: int | None, name: str) -> sitk.Image:
    reader = _open(path, name)
    size = list(reader.GetSize())
    if _is_list(path, reader):
        chosen = choose_frame(reader.GetNumberOfComponents(), frame, name)
        return sitk.VectorIndexSelectionCast(_execute(reader, path, name), chosen)
    check_components(reader.GetNumberOfComponents(), sitk.GetPixelIDValueAsString(reader.GetPixelID()), name)
    if len(size) > 4:
        raise InputError(f"{name} has {len(size)} dimensions", "give a volume of three, or a series of them")
    if len(size) < 4:
        choose_frame(1, frame, name)
        return _execute(reader, path, name)
    chosen = choose_frame(size[3], frame, name)
    reader.SetExtractIndex([0, 0, 0, chosen])
    reader.SetExtractSize([*size[:3], 0])
    return _execute(reader, path, name)


def _open(path: Path, name: str | None = None) -> sitk.ImageFileReader:
    """A reader that knows the file's size, type and geometry, but not yet its voxels."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _in_our_words(path, name or str(path)):
        reader.ReadImageInformation()
    return reader


def _execute(reader: sitk.ImageFileReader, path: Path, name: str) -> sitk.Image:
    with _in_our_words(path, name):
        return reader.Execute()


@contextmanager
def _in_our_words(path: Path, name: str) -> Iterator[None]:
    """Keep ITK's remarks off the terminal, since what matters in them is checked here, and translate its errors."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    except RuntimeError as error:
        raise _translated(error, path, name) from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _translated(error: RuntimeError, path: Path, name: str) -> InputError:
    """ITK's message as a sentence with a remedy."""
    text = str(error)
    if "spacing" in text.lower():
        found = re.search(r"to \[([^\]]*)\]", text) or re.search(r"spacing \(([^)]*)\)", text)
        return spacing_error(name, found.group(1).replace(", ", " × ") if found else "0")
    if "determinant" in text or "orthonormal" in text:
        return direction_error(name)
    if "Unable to determine ImageIO" in text:
        return InputError(f"{name} is not an image that can be read", f"give {FORMATS}")
    if "bad_alloc" in text or "Failed to allocate" in text:
        return InputError(f"{name} is too large for the memory of this machine", "use a machine with more memory")
    return damaged(path)


def _is_list(path: Path, reader: sitk.ImageFileReader) -> bool:
    """Whether the values of a voxel are a list over time, as in Slicer's .seq.nrrd, and not a colour or a vector."""
    if reader.GetNumberOfComponents() < 2 or not path.name.lower().endswith((".nrrd", ".nhdr")):
        return False
    with path.open("rb") as file:
        header = file.read(1 << 16).split(b"\n\n")[0]
    return re.search(rb"^kinds:(.*\s)?list\b", header, re.MULTILINE) is not None


def _without_transform(header: NiftiHeader, folder: Path) -> Path:
    """A copy of a NIfTI file, or pair, without qform and sform, which ITK reads whatever they were."""
    copy = folder / ("plain.nii" if header.single_file else "plain.hdr")
    with open_maybe_gzip(header.path) as file:
        raw = bytearray(file.read())
    raw[252:256] = bytes(4)  # qform_code, sform_code
    copy.write_bytes(raw)
    if not header.single_file:
        with header.open_data() as file, copy.with_suffix(".img").open("wb") as image:
            shutil.copyfileobj(file, image)
    return copy


def _straightened(image: sitk.Image, grid: Grid, name: str) -> tuple[sitk.Image, str]:
    """Resample a sheared image onto perpendicular axes; its lowest value fills the new corners."""
    grid.stamp(image)
    straight = regular_grid(grid)
    values = sitk.GetArrayViewFromImage(image)
    kind, low = values.dtype, values.min()
    array = sample(image, straight, float(low), smooth=False)
    if np.issubdtype(kind, np.integer):
        array = np.rint(array)
    first, second, third = (np.asarray(grid.direction).reshape(3, 3)[:, a] for a in range(3))
    tilt = np.degrees(np.arccos(min(1.0, float(abs(third @ np.cross(first, second))))))
    kind_of = f"its slices lean by {tilt:.1f}°, as with a tilted gantry" if tilt > 0.1 else "they are not perpendicular"
    note = (
        f"{name} has sheared axes ({kind_of}): it was resampled onto perpendicular axes, and has "
        f"{' × '.join(map(str, straight.size))} voxels now instead of {' × '.join(map(str, grid.size))}."
    )
    return to_image(array.astype(kind), straight), note
