"""Checks that refuse unusable images, or warn of unlikely ones, and the repair of voxels without a value.

The bounds of a plausible size: a whole body is 2 m long, and the smallest region that is segmented, a hippocampus or a
mouse's brain, is some 10 mm. Far outside these bounds an image is refused; near them there is a warning.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError, MemoryLimitError
from AutofocusCore.images.files import MEMORY_ASKED_FROM, size_text
from AutofocusCore.images.geometry import Grid

FEWEST_VOXELS = 4
"""Minimum number of voxels along every axis."""
LARGEST = 1e30
"""The square of larger values overflows float32; such voxels contain no measurement."""
SOURCE_KEY = "autofocus_source"
"""Key of the image's metadata for its file or folder, which messages name."""
MODALITY_KEY = "0008|0060"
LARGEST_MM, LARGE_MM = 3000.0, 2200.0
SMALLEST_MM = 5.0
THICKEST_MM, THICK_MM = 50.0, 20.0
THINNEST_MM = 0.005
FARTHEST_MM = 1e6
"""Largest plausible distance of the origin; beyond it, positions of voxels also lose precision."""
MOST_SPLIT = 500.0
"""Largest number of voxels of the model's grid for one voxel of the image; 10 mm slices for a 1 mm model give 10."""
LARGE_GRID = 1 << 24
COARSE = 8.0
"""Multiple of the model's spacing from which on its structures can hardly be seen."""
GRID_COPIES, IMAGE_COPIES = 5, 3
"""Arrays of 4 bytes a voxel, on the model's grid and on an image's own, that exist at the same time while a channel is
prepared, besides the images and the channels."""
PREPARING_OVERHEAD = 16 * 1024**2
CHECK = "check its unit of length, which must be millimetres, or correct the spacing in its header"


def name_of(image: sitk.Image, otherwise: str = "The image") -> str:
    """Name of an image in messages: its file or folder, if known."""
    return str(image.GetMetaData(SOURCE_KEY)) if image.HasMetaDataKey(SOURCE_KEY) else otherwise


def check_kind(image: sitk.Image, name: str) -> None:
    """Refuse images that are not scalar and 3-D.

    Raises:
        InputError: 2-D, 4-D, RGB, vector or complex.
    """
    size = " × ".join(str(n) for n in image.GetSize())
    if image.GetDimension() == 2 or (image.GetDimension() == 3 and image.GetSize()[2] == 1):
        raise InputError(
            f"{name} is a single 2-D slice ({size} pixels)", "give a volume: the whole series, or a file that holds it"
        )
    if image.GetDimension() != 3:
        raise InputError(f"{name} has {image.GetDimension()} dimensions ({size})", "give one volume of three")
    check_components(image.GetNumberOfComponentsPerPixel(), image.GetPixelIDTypeAsString(), name)


def check_components(components: int, kind: str, name: str) -> None:
    """Refuse more than one value per voxel.

    Raises:
        InputError: RGB, vector or complex.
    """
    if components in (3, 4):
        raise InputError(
            f"{name} is a colour or vector image ({components} values per voxel)",
            "give the original grey-scale image, not a screenshot, overlay or vector field",
        )
    if components > 1 or "complex" in kind:
        raise InputError(f"{name} has several values per voxel ({kind})", "give an image with one value per voxel")


def check_usable(image: sitk.Image, name: str) -> None:
    """Refuse a volume from which nothing can be segmented.

    Raises:
        InputError: fewer than four voxels along an axis, or all voxels have the same value.
    """
    size = image.GetSize()
    if min(size) < FEWEST_VOXELS:
        raise InputError(
            f"{name} is too small: {' × '.join(str(n) for n in size)} voxels",
            f"give a volume of at least {FEWEST_VOXELS} voxels along every axis",
        )
    values = sitk.GetArrayViewFromImage(image)
    low, high = values.min(), values.max()
    if low == high:
        raise InputError(f"{name} is empty: every voxel is {low:g}", "check that this is the image you meant")


def check_geometry(image: sitk.Image, name: str) -> None:
    """Refuse an impossible geometry.

    Raises:
        InputError: zero, negative or undefined spacing; axes that do not span a volume.
    """
    spacing = np.asarray(image.GetSpacing())
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise spacing_error(name, spacing.tolist())
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    finite = np.all(np.isfinite(direction)) and np.all(np.isfinite(image.GetOrigin()))
    if not finite or abs(np.linalg.det(direction)) < 1e-6:
        raise direction_error(name)


def spacing_error(name: str, spacing: object) -> InputError:
    """The error for voxel sizes that are zero, negative or not numbers."""
    shown = " × ".join(f"{s:g}" for s in spacing) if isinstance(spacing, (list, tuple)) else str(spacing)
    return InputError(
        f"{name} has the voxel spacing {shown} mm, which must be positive along every axis",
        "export the image again, or correct the spacing in its header",
    )


def direction_error(name: str) -> InputError:
    """The error for axes of which one is zero or lies in the plane of the others."""
    return InputError(
        f"{name} has a singular direction matrix: its axes do not span a volume",
        "export the image again, or correct the directions in its header",
    )


def choose_frame(count: int, frame: int | None, name: str) -> int:
    """Index of the frame to read.

    Raises:
        InputError: there are several and none was asked for, or there is no such frame.
    """
    if frame is None:
        if count > 1:
            raise InputError(f"{name} holds {count} volumes (frames)", f"ask for one of them: frame 0 to {count - 1}")
        return 0
    if not 0 <= frame < count:
        there = f"frames 0 to {count - 1}" if count > 1 else "frame 0 only"
        raise InputError(f"{name} has no frame {frame}", f"it has {there}")
    return frame


def repair_values(image: sitk.Image, name: str) -> tuple[sitk.Image, tuple[str, ...]]:
    """Replace voxels without a usable value (NaN, infinite, beyond 1e30).

    A voxel gets the mean of its valid neighbours (3×3×3) or, if there are none, as in the empty margin around a
    reconstruction, the lowest valid value of the image.

    Returns:
        The image (unchanged if all voxels are valid), and a warning with the number of repaired voxels.

    Raises:
        InputError: more than half of the voxels are unusable.
    """
    if image.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64):
        return image, ()
    values = sitk.GetArrayViewFromImage(image)
    with np.errstate(invalid="ignore"):
        sound = np.abs(values) <= LARGEST
    bad = int(values.size - np.count_nonzero(sound))
    if bad == 0:
        return image, ()
    if bad > values.size / 2:
        raise InputError(
            f"{name} has no usable value (NaN, infinite) in {bad} of {values.size} voxels, more than half",
            "export the image again from its source",
        )
    repaired = np.where(sound, values, 0)
    where = sitk.GetImageFromArray(sound.astype(np.float32))
    share = sitk.GetArrayFromImage(sitk.BoxMean(where, [1, 1, 1]))
    total = sitk.GetArrayFromImage(sitk.BoxMean(sitk.GetImageFromArray(repaired.astype(np.float64)), [1, 1, 1]))
    lonely = share < 1 / 64  # of the 27 neighbours none is valid; one of them would make the share 1/27
    mean = total / np.where(lonely, 1, share)
    repaired = np.where(sound, values, np.where(lonely, values[sound].min(), mean)).astype(values.dtype)
    result = sitk.GetImageFromArray(repaired)
    result.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        result.SetMetaData(key, image.GetMetaData(key))
    count = f"{bad} voxel{'s' * (bad != 1)}"
    return result, (
        f"{name} has {count} without a usable value (NaN, infinite), {100 * bad / values.size:.2g} % of all: filled "
        "from the neighbours, or with the lowest value where those have none either.",
    )


def check_size(grid: Grid, name: str) -> tuple[str, ...]:
    """Warnings about a size that is unlikely.

    Raises:
        InputError: a size or spacing that no image of a patient has.
    """
    spacing = np.asarray(grid.spacing)
    extent = spacing * np.asarray(grid.size)
    shown = " × ".join(f"{e:.3g}" for e in extent)
    voxel = " × ".join(f"{s:.3g}" for s in spacing)
    size = f"{name} is {shown} mm large (voxels of {voxel} mm)"
    if not np.all(np.isfinite(extent)) or extent.max() > LARGEST_MM or spacing.max() > THICKEST_MM:
        raise InputError(f"{size}, larger than any patient", CHECK)
    if extent.max() < SMALLEST_MM or spacing.min() < THINNEST_MM:
        raise InputError(f"{size}, smaller than anything that is segmented", CHECK)
    if np.abs(grid.origin).max() > FARTHEST_MM:
        far = np.abs(grid.origin).max() / 1e6
        raise InputError(f"{name} lies {far:.3g} km from the origin of its space", "correct the origin in its header")
    if extent.max() > LARGE_MM or spacing.max() > THICK_MM:
        return (f"{size}, which is more than a patient has: check that its spacing is in millimetres.",)
    return ()


def check_model_grid(own: Grid, model: Grid, channels: int, name: str) -> list[str]:
    """Warnings about an image that is much coarser than what a model was trained on.

    Args:
        own: the image's grid.
        model: what it is resampled to for the model.
        channels: how many images there are.
        name: the image's name.

    Raises:
        InputError: each voxel would become hundreds.
        MemoryLimitError: the resampled images do not fit into this machine's memory.
    """
    count = int(np.prod(model.size, dtype=np.float64))
    split = count / float(np.prod(own.size, dtype=np.float64))
    voxel, wanted = (" × ".join(f"{s:.3g}" for s in grid.spacing) for grid in (own, model))
    if split > MOST_SPLIT and count > LARGE_GRID:
        raise InputError(
            f"{name} has voxels of {voxel} mm, far larger than the model's {wanted} mm: each would become {split:.0f}",
            "give an image of a finer resolution, or check its spacing",
        )
    nbytes = preparing_bytes(own, model, channels)
    if nbytes > MEMORY_ASKED_FROM:
        from AutofocusCore.inference.devices import memory

        available, _ = memory()
        if nbytes > available:
            raise MemoryLimitError(
                f"{name} would have {' × '.join(map(str, model.size))} voxels at the model's spacing of {wanted} mm, "
                f"and take {size_text(nbytes)} to prepare, where {size_text(available)} are free",
                "crop the image, or use a machine with more memory",
            )
    if max(own.spacing) > COARSE * max(model.spacing):
        return [
            f"{name} has voxels of {voxel} mm, far larger than the {wanted} mm that the model was trained on: "
            "its structures can hardly be seen. Check the result with care."
        ]
    return []


def preparing_bytes(own: Grid, model: Grid, channels: int) -> int:
    """The most memory that preparing takes, without the images themselves.

    Args:
        own: the first image's grid.
        model: what all images are resampled to.
        channels: how many images there are.
    """
    on_model, on_image = (int(np.prod(grid.size, dtype=np.float64)) for grid in (model, own))
    return 4 * (on_model * (channels + GRID_COPIES) + on_image * IMAGE_COPIES) + PREPARING_OVERHEAD


def nothing_found(name: str, in_region: bool) -> str:
    """The warning for a result without any structure."""
    where = " in the region of interest" if in_region else ""
    return (
        f"{name}: none of the model's structures was found{where}, every voxel is background. Check that the image "
        "shows these structures, and that its values and its spacing are right."
    )
