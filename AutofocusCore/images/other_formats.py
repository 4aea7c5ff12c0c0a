"""Formats beyond NIfTI, NRRD, MetaImage and DICOM: TIFF, VTK, GIPL and a few more, read by ITK in another process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.checks import check_components, choose_frame, direction_error, spacing_error
from AutofocusCore.images.files import not_an_image
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.itk_process import ItkHeader, ItkProcess
from AutofocusCore.images.nifti_axes import no_orientation

READERS = [
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".lsm",), "LSMImageIO"),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".tif", ".tiff"), "TIFFImageIO"),
    ((b"# vtk DataFile",), (".vtk",), "VTKImageIO"),
    ((), (".gipl", ".gipl.gz"), "GiplImageIO"),
    ((b"\x89HDF",), (".h5", ".hdf", ".hdf5"), "HDF5ImageIO"),
    ((b"\x89HDF", b"CDF\x01"), (".mnc", ".mnc2"), "MINCImageIO"),
    ((), (".mrc", ".rec"), "MRCImageIO"),
]
"""First bytes (empty: not specific), extensions, and ITK's reader."""
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8")
ORIENTED = ("HDF5ImageIO", "MINCImageIO")
"""Formats that give the orientation in the patient."""


def reader_of(path: Path, start: bytes) -> str:
    """ITK's reader for a file, by its ending and its first bytes.

    Raises:
        InputError: it is not an image, or a 2-D picture.
    """
    if start.startswith(PICTURES):
        raise InputError(
            f"{path} is a 2-D picture, not an image that can be read", "give the volume from which it was made"
        )
    name = path.name.lower()
    for magics, endings, reader in READERS:
        if name.endswith(endings) and (not magics or start.startswith(magics)):
            return reader
    raise not_an_image(path, start, _promised(name))


def read(path: Path, start: bytes, frame: int | None, name: str) -> tuple[sitk.Image, Grid, tuple[str, ...]]:
    """One volume, the grid it lies on, and warnings.

    Raises:
        InputError: it cannot be read, or is no volume of one value per voxel.
    """
    reader = reader_of(path, start)
    with ItkProcess([path], reader, name, frame=frame) as itk:
        about = itk.about[0]
        check_components(about.components, about.kind, name)
        if len(about.size) > 4:
            raise InputError(f"{name} has {len(about.size)} dimensions", "give a volume of three, or a series of them")
        choose_frame(about.size[3] if len(about.size) == 4 else 1, frame, name)
        grid = _grid(about, name)
        array = itk.voxels(0)
    if array.size != int(np.prod(grid.size)):
        raise InputError(f"{name} contains a different number of voxels than its header says", "export it again")
    image = sitk.GetImageFromArray(array.reshape(grid.shape))
    grid.stamp(image)
    if reader in ORIENTED:
        return image, grid, ()
    remark = "" if reader != "TIFFImageIO" else f" Its voxels were taken to be {_spacing(grid)} mm large."
    return image, grid, (no_orientation(name) + remark,)


def count_frames(path: Path, start: bytes, name: str) -> int:
    """How many volumes the file holds."""
    with ItkProcess([path], reader_of(path, start), name, about_only=True) as itk:
        size = itk.about[0].size
    return size[3] if len(size) == 4 else 1


def _grid(about: ItkHeader, name: str) -> Grid:
    dimensions = len(about.size)
    used = min(dimensions, 3)
    spacing, origin, direction = np.ones(3), np.zeros(3), np.eye(3)
    spacing[:used], origin[:used] = about.spacing[:used], about.origin[:used]
    direction[:used, :used] = np.reshape(about.direction, (dimensions, dimensions))[:used, :used]
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise spacing_error(name, spacing.tolist())
    if not np.all(np.isfinite(direction)) or not np.all(np.isfinite(origin)) or abs(np.linalg.det(direction)) < 1e-6:
        raise direction_error(name)
    x, y, z = (*about.size[:used], *[1] * (3 - used))
    return Grid.from_matrix((x, y, z), direction * spacing, origin)


def _spacing(grid: Grid) -> str:
    return " × ".join(f"{s:.4g}" for s in grid.spacing)


def _promised(name: str) -> str:
    for endings, what in (
        ((".nii", ".nii.gz", ".img", ".hdr", ".img.gz", ".hdr.gz"), "NIfTI"),
        ((".nrrd", ".nhdr"), "NRRD"),
        ((".mha", ".mhd"), "MetaImage"),
        ((".tif", ".tiff"), "TIFF"),
        ((".vtk",), "VTK"),
        ((".dcm",), "DICOM"),
    ):
        if name.endswith(endings):
            return what
    return ""
