"""From images to the array that a network reads: one grid, one scale, and the part worth predicting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.body import body_mask, bounding_region, margins_of
from AutofocusCore.images.checks import (
    MODALITY_KEY,
    SOURCE_KEY,
    check_geometry,
    check_kind,
    check_model_grid,
    check_size,
    check_usable,
    name_of,
    repair_values,
)
from AutofocusCore.images.geometry import Grid, Region, model_grid
from AutofocusCore.images.intensity import (
    AIR_HU,
    modality_warning,
    normalise,
    offset_to_model,
    outside_value,
    recognise,
)
from AutofocusCore.images.outliers import clip_outliers
from AutofocusCore.images.resampling import inside, sample
from AutofocusCore.models.parts import check_count
from AutofocusCore.models.spec import Channel, ModelSpec, Normalization

Mask = npt.NDArray[np.bool_]

SMALLEST_FILLED_SHARE = 0.001
"""Share of an image from which on equal voxels at its corners count as filled in."""

EMPTY_SHARE = 0.5
"""Share of an image with one and the same lowest value from which on it is mostly empty."""

LEAST_OVERLAP = 0.5
"""Share of the first image that another channel should cover; with less, a warning."""


@dataclass(frozen=True)
class Prepared:
    """The network's input.

    Attributes:
        volume: (C, D, H, W) float32 on the grid.
        background: for each channel the normalised value of what lies outside the image (air, or the lowest value).
        grid: where the voxels are.
        region: the part that can hold anything: the box round the body, or all of it.
        warnings: sentences for the user.
        patient: (D, H, W), where the patient is and not air; None where the model's normalisation does not ask.
    """

    volume: npt.NDArray[np.float32]
    background: tuple[float, ...]
    grid: Grid
    region: Region
    warnings: tuple[str, ...]
    patient: Mask | None = None


@dataclass(frozen=True)
class CheckedChannels:
    """Images that fit a model, one for each of its channels, repaired if necessary. `check_channels` makes it."""

    images: tuple[sitk.Image, ...]
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def prepare(channels: Sequence[sitk.Image], spec: ModelSpec, step: Callable[[], None] | None = None) -> Prepared:
    """Check the images, resample them to the model's grid in millimetres, and normalise each.

    Args:
        channels: scalar 3-D images, one for each channel of the model, in its order, on any grids.
        spec: the model's description.
        step: called after each channel; what it raises ends the work.

    Raises:
        InputError: wrong number of channels; an image that cannot be used; channels that do not overlap.
    """
    return prepare_checked(check_channels(channels, spec), spec, step)


def prepare_checked(checked: CheckedChannels, spec: ModelSpec, step: Callable[[], None] | None = None) -> Prepared:
    """The same for images that `check_channels` has checked already.

    Raises:
        InputError: the channels do not overlap, or a grid that the model needs is too large.
    """
    images, names, warnings = checked.images, checked.names, list(checked.warnings)
    grid = model_grid(Grid.of(images[0]), spec.orientation, spec.spacing)
    warnings += check_model_grid(Grid.of(images[0]), grid, len(images), names[0])
    volume = np.empty((len(images), *grid.shape), dtype=np.float32)
    background: list[float] = []
    found, covered = np.zeros(grid.shape, dtype=bool), np.zeros(grid.shape, dtype=bool)
    first = inside(grid, Grid.of(images[0]))
    for i, (image, channel, name) in enumerate(zip(images, spec.channels, names, strict=True)):
        within = inside(grid, Grid.of(image)) if i else first
        warnings += _overlap(within & first, first, name, names[0]) if i else []
        made = _prepare_channel(volume[i], image, grid, within, channel, spec, name)
        warnings += made.warnings
        background.append(made.background)
        found |= made.mask
        covered |= made.seen
        if step is not None:
            step()
    # A margin that was only filled in is dropped, so that the scan borders on the network's own padding as any other.
    box = bounding_region(covered, (0, 0, 0))
    if box != tuple((0, n) for n in grid.shape):
        where = tuple(slice(start, stop) for start, stop in box)
        volume = np.stack([channel[where] for channel in volume])
        grid, found = grid.crop(box), found[where]
    region: Region = ((0, grid.shape[0]), (0, grid.shape[1]), (0, grid.shape[2]))
    if spec.normalization.mask == "all":
        return Prepared(volume, tuple(background), grid, region, tuple(warnings))
    return Prepared(
        volume, tuple(background), grid, bounding_region(found, margins_of(grid)), tuple(warnings), patient=found
    )


@dataclass(frozen=True)
class _Channel:
    """A prepared channel, apart from its values.

    Attributes:
        background: the normalised value of what lies outside the image.
        seen: voxels within the image that were measured, and not only filled in.
        mask: voxels that the model's normalisation looks at: the body, what is not 0, or all that were seen.
        warnings: sentences for the user.
    """

    background: float
    seen: Mask
    mask: Mask
    warnings: list[str]


def _prepare_channel(
    values: npt.NDArray[np.float32],
    image: sitk.Image,
    grid: Grid,
    within: Mask,
    channel: Channel,
    spec: ModelSpec,
    name: str,
) -> _Channel:
    """Resample one image to the model's grid, into `values` (z, y, x), and normalise them.

    Args:
        values: array of the volume; all of it is written.
        image: the channel's image.
        grid: the model's grid.
        within: voxels of the grid within the image's field of view.
        channel: its place in the model's description.
        spec: the model's description.
        name: what to call the image.
    """
    how = spec.normalization
    clipped = clip_outliers(image, name, air=AIR_HU if channel.modality == "CT" else None)
    original = sitk.GetArrayViewFromImage(clipped.image)
    warnings = list(clipped.warnings) if clipped.padding is not None or how.method == "z-score" else []
    stated = image.GetMetaData(MODALITY_KEY).strip() if image.HasMetaDataKey(MODALITY_KEY) else None
    warning = modality_warning(name, channel.modality, original, stated or None, channel.name)
    warnings += [warning] if warning else []
    outside = outside_value(original, channel.modality)
    values[:] = sample(clipped.image, grid, outside)
    if channel.modality == "CT":
        offset, warning = offset_to_model(recognise(original), how, name)
        warnings += [warning] if warning else []
        values += np.float32(offset)
        outside += offset
    seen = within
    if clipped.padding is not None:
        padded = sample(clipped.padding, grid, 0.0, nearest=True) != 0
        values[padded] = outside
        seen = within & ~padded if (within & ~padded).any() else within
    if how.method == "z-score" and how.mask == "all":  # a mask leaves out what was filled in anyway
        seen = _without_padding(seen, clipped.image, grid)
    mask = _mask(values, seen, grid, how)
    if spec.roi == "body" and mask.all() and (values == values.min()).mean() > EMPTY_SHARE:
        warnings.append(f"{name}: no body was found in it, so the whole scan is segmented. Check the result with care.")
    measured = mask & seen
    if clipped.outliers is not None:
        ordinary = measured & (sample(clipped.outliers, grid, 0.0, nearest=True) == 0)
        measured = ordinary if ordinary.any() else measured
    shift, scale = normalise(values, measured, how, name)
    if how.window is not None:
        outside = min(max(outside, how.window[0]), how.window[1])
    return _Channel((outside - shift) / scale, seen, mask, warnings)


def check_channels(channels: Sequence[sitk.Image], spec: ModelSpec) -> CheckedChannels:
    """Refuse images that a model cannot use, and repair what can be repaired.

    Raises:
        InputError: wrong number of channels, or an image that cannot be used.
    """
    given: object = channels
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise InputError(
            f"The images are a {type(channels).__name__}, not a list",
            f"give a list of {len(spec.channels)} SimpleITK image(s), one for each channel of the model",
        )
    check_count(len(channels), spec)
    images: list[sitk.Image] = []
    names: list[str] = []
    warnings: list[str] = []
    for image, channel in zip(channels, spec.channels, strict=True):
        if not isinstance(image, sitk.Image):
            raise InputError(
                f"The {channel.name} image is a {type(image).__name__}, not an image with a geometry",
                "give a SimpleITK image",
            )
        name = name_of(image, "The image" if len(spec.channels) == 1 else f"The {channel.name} image")
        check_kind(image, name)
        check_geometry(image, name)
        if not image.HasMetaDataKey(SOURCE_KEY):  # else `read_image` has checked it
            warnings.extend(check_size(Grid.of(image), name))
        image, repairs = repair_values(image, name)
        check_usable(image, name)
        images.append(image)
        names.append(name)
        warnings.extend(repairs)
    return CheckedChannels(tuple(images), tuple(names), tuple(warnings))


def _overlap(both: Mask, first: Mask, name: str, first_name: str) -> list[str]:
    share = float(both.sum() / first.sum())
    if share == 0:
        raise InputError(
            f"{name} and {first_name} do not overlap in space",
            "give images of the same patient in the same position, registered to each other",
        )
    if share < LEAST_OVERLAP:
        return [f"{name} covers only {100 * share:.0f} % of {first_name}: the rest was filled with background."]
    return []


def _without_padding(seen: Mask, image: sitk.Image, grid: Grid) -> Mask:
    """The field of view without padding: voxels of one value that are connected to the corners.

    A scan that was turned or cropped beyond its edges has such corners. They hold no measurement, and statistics that
    took them in would differ from those of the scan itself. The value need not be the lowest: interpolation may have
    overshot it.
    """
    corners: dict[float, list[tuple[int, ...]]] = {}
    for corner in product(*((0, n - 1) for n in image.GetSize())):
        corners.setdefault(image[corner], []).append(corner)
    for value, seeds in corners.items():
        filled = sitk.ConnectedThreshold(image, seeds, value, value)
        if sitk.GetArrayViewFromImage(filled).sum() > SMALLEST_FILLED_SHARE * image.GetNumberOfPixels():
            seen = seen & (sample(filled, grid, 0.0, nearest=True) == 0)
    return seen


def _mask(values: npt.NDArray[np.float32], seen: Mask, grid: Grid, how: Normalization) -> Mask:
    if how.mask == "body":
        return body_mask(values, grid)
    if how.mask == "nonzero":
        mask = (values != 0) & seen
        return mask if mask.any() else seen
    return seen
