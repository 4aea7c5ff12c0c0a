"""Checks that refuse unusable images, and the repair of voxels without a value."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError

FEWEST_VOXELS = 4
"""Minimum number of voxels along every axis."""
LARGEST = 1e30
"""The square of larger values overflows float32; such voxels contain no measurement."""
SOURCE_KEY = "autofocus_source"
"""Key of the image's metadata for its file or folder, which messages name."""
MODALITY_KEY = "0008|0060"


def name_of(image: sitk.Image, otherwise: str = "The image") -> str:
    """Name of an image in messages: its file or folder, if known."""
    return str(image.GetMetaData(SOURCE_KEY)) if image.HasMetaDataKey(SOURCE_KEY) else otherwise


def modality_of(image: sitk.Image) -> str | None:
    """DICOM modality of the image, if known."""
    return str(image.GetMetaData(MODALITY_KEY)).strip() or None if image.HasMetaDataKey(MODALITY_KEY) else None


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


def check_size(image: sitk.Image, name: str) -> None:
    """Refuse a volume with too few voxels.

    Raises:
        InputError: fewer than four voxels along an axis.
    """
    size = image.GetSize()
    if min(size) < FEWEST_VOXELS:
        raise InputError(
            f"{name} is too small: {' × '.join(str(n) for n in size)} voxels",
            f"give a volume of at least {FEWEST_VOXELS} voxels along every axis",
        )


def check_content(image: sitk.Image, name: str) -> None:
    """Refuse an image whose voxels all have the same value.

    Raises:
        InputError: empty.
    """
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
