"""Recognises CT and MR by their intensities, and normalises intensities for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.models.parts import Normalization

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

AIR_HU = -1000.0
STORED_OFFSET = 1024.0
"""Some CTs are stored as HU + 1024, without any note of it."""
NOT_AIR = 400.0
"""HU above air from which on a voxel counts as tissue."""
SOFT_HU = 300.0
"""HU: the most frequent tissue of a CT, fat or muscle, is no farther from 0."""
SAMPLE = 200_000
"""Number of voxels that are enough to recognise an image's kind."""
LOWEST_STORED = -100.0
"""Noise and sharp filters take a stored CT a little below 0."""
SMALLEST_STD = 1e-6
"""Smallest standard deviation, as a share of the largest value; below it all variation is rounding."""
EXPECTS_STORED = 300.0
"""A model whose window begins above this was trained on stored values, HU + 1024: no tissue but bone is so dense."""
EMPTY_SHARE = 0.05


@dataclass(frozen=True)
class ImageKind:
    """Result of recognising an image's kind.

    Attributes:
        kind: "CT", "CT+1024" (HU stored with an offset) or None: no recognisable scale, as in MR.
        air: the value of air, if the kind is known.
    """

    kind: str | None
    air: float | None


def recognise(values: Numbers) -> ImageKind:
    """Recognise the Hounsfield scale by its air and its soft tissue, which lie at the same values in every scanner.

    Args:
        values: an image, or a sample of its voxels.
    """
    sample = values.ravel()[:: max(1, values.size // SAMPLE)].astype(np.float64)
    if _hounsfield(sample):
        return ImageKind("CT", AIR_HU)
    whole = np.array_equal(sample[:1000], np.rint(sample[:1000]))
    if (
        sample.min() >= LOWEST_STORED
        and whole
        and sample.max() > STORED_OFFSET
        and _hounsfield(sample - STORED_OFFSET, 0.8)
    ):
        return ImageKind("CT+1024", 0.0)
    return ImageKind(None, None)


def _hounsfield(sample: npt.NDArray[np.float64], soft_share: float = 0.3) -> bool:
    """Whether values look like HU: air near -1000 and much soft tissue in the rest, or mostly soft tissue."""
    if _inverted(sample):
        return False
    low, high = np.percentile(sample, [1, 99])
    tissue = sample[(sample > -300) & (sample < 3000)]
    # Water and muscle lie at 0 ... 60 HU and fat at -100 in every scanner; MR has no such fixed values.
    soft = float(((tissue > -200) & (tissue < 200)).mean()) if tissue.size >= 0.02 * sample.size else 1.0
    if -3100 < low < -700:
        return soft > soft_share and abs(_peak_above(sample, low + NOT_AIR)) < SOFT_HU
    # Air at 0 and a body at 1000 are not soft tissue and bone, which grows rarer the denser it is.
    body, between = (float(((sample > a) & (sample < b)).mean()) for a, b in ((800, 1150), (300, 800)))
    if body > 0.03 and body > between:
        return False
    return soft > 0.8 and high - low > 100 and float((sample < -20).mean()) > 0.02


def _inverted(sample: npt.NDArray[np.float64]) -> bool:
    """Whether values look like a CT with inverted grey values: much is below air, at 0, and nothing is like bone.

    Noise takes air below -1000 HU too, but then there is bone as well; padding has one value.
    """
    less = sample[(sample < -1060) & (sample > -2500)]
    if less.size < 0.02 * sample.size or float(np.mean(sample > 100)) > 0.001:
        return False
    _, counts = np.unique(less, return_counts=True)
    return int(less.size - counts.max()) > 0.02 * sample.size


def _peak_above(sample: npt.NDArray[np.float64], low: float) -> float:
    """The most frequent value from `low` on, in steps of 50; 0 if there are hardly any."""
    chosen = sample[(sample > low) & (sample < 3000)]
    if chosen.size < 0.01 * sample.size:
        return 0.0
    counts, edges = np.histogram(chosen, bins=np.arange(low, 3050, 50.0))
    return float(edges[np.argmax(counts)] + 25)


def modality_warning(name: str, wanted: str, values: Numbers, stated: str | None, channel: str) -> str | None:
    """A warning if an image clearly has another modality than the model expects.

    Args:
        name: the image's name.
        wanted: the model's DICOM modality for this channel.
        values: the image's voxels.
        stated: the DICOM modality of the image's header; None if unknown.
        channel: the channel's name.
    """
    seen = recognise(values).kind
    if stated is not None and stated != wanted:
        evidence = f"its DICOM header says {stated}"
    elif stated is None and wanted == "CT" and seen is None:
        low, high = float(values.min()), float(values.max())
        evidence = f"its values ({low:g} to {high:g}) are not those of CT in Hounsfield units"
    elif stated == wanted == "CT" and seen is None and not -1500 < float(np.percentile(values, 1)) < 0:
        low, high = float(values.min()), float(values.max())
        evidence = f"its values ({low:g} to {high:g}) have no air or fat where Hounsfield units have them"
    elif wanted == "CT" and _inverted(values.ravel()[:: max(1, values.size // SAMPLE)].astype(np.float64)):
        evidence = "its values look like CT with inverted grey values, air brighter than the body"
    elif stated is None and wanted == "MR" and seen is not None and not (seen == "CT+1024" and _is_stripped(values)):
        evidence = "its values look like CT in Hounsfield units"
    else:
        return None
    return (
        f'{name} may be the wrong image: the model wants {wanted} for its input "{channel}", but {evidence}. '
        "Check the result with care."
    )


def offset_to_model(seen: ImageKind, how: Normalization, name: str) -> tuple[float, str | None]:
    """The offset to add to a CT, so that air and soft tissue have the values of the model's window, and a warning.

    Only models with a window need this, because a z-score does not depend on an offset.

    Args:
        seen: the recognised kind of the image.
        how: the model's normalisation.
        name: the image's name.
    """
    if how.window is None or seen.kind not in ("CT", "CT+1024"):
        return 0.0, None
    expected = "CT+1024" if how.window[0] > EXPECTS_STORED else "CT"
    if seen.kind == expected:
        return 0.0, None
    offset = STORED_OFFSET if expected == "CT+1024" else -STORED_OFFSET
    found, wanted = ("HU + 1024", "HU") if offset < 0 else ("HU", "HU + 1024")
    return offset, (
        f"{name} looks like CT stored as {found}, but the model wants {wanted}: {abs(offset):g} was "
        f"{'subtracted' if offset < 0 else 'added'}. Check the result with care."
    )


def _is_stripped(values: Numbers) -> bool:
    """Whether most of an image is exactly 0, and the rest above: skull-stripped MR, whose tissue may be near 1024."""
    return bool(values.min() == 0 and np.mean(values == 0) > EMPTY_SHARE)


def outside_value(values: Numbers, modality: str) -> float:
    """The value outside the image: air for CT; otherwise 0 if the image has an empty background, or its lowest value.

    Interpolation leaves negative values in skull-stripped MR, so that its lowest value is not its background.
    """
    air = recognise(values).air if modality == "CT" else None
    if air is not None:
        return air
    low = float(values.min())
    return 0.0 if low < 0 and np.mean(values == 0) > EMPTY_SHARE else low


def statistics(
    values: Floats, percentiles: tuple[float, float] | None, sigmas: tuple[float, float] | None
) -> tuple[float, float]:
    """Mean and standard deviation of the voxels within both cut-offs, as in DeepMedic.

    Args:
        values: the voxels of the mask, one-dimensional.
        percentiles: (lower, upper) in percent; voxels beyond are left out.
        sigmas: (below, above); voxels further from the mask's mean, in the mask's standard deviations, are left out.
    """
    kept = np.ones(values.shape, dtype=bool)
    if percentiles is not None:
        low, high = np.percentile(values, percentiles)
        kept &= (values >= low) & (values <= high)
    if sigmas is not None:
        mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        kept &= (values >= mean - sigmas[0] * std) & (values <= mean + sigmas[1] * std)
    chosen = values[kept] if kept.any() else values
    return float(chosen.mean(dtype=np.float64)), float(chosen.std(dtype=np.float64))


def normalise(values: Floats, mask: Mask, how: Normalization, name: str) -> tuple[float, float]:
    """Normalise an image in place: (value - shift) / scale for all voxels.

    Args:
        values: float32 array (z, y, x); changed. For the method "window" also clipped to the window.
        mask: voxels for the statistics, of the same shape.
        how: the model's normalisation.
        name: the image's name, for messages.

    Returns:
        Shift and scale, so that other values, such as air, can be normalised in the same way.

    Raises:
        InputError: the mask is empty, or all its voxels are the same.
    """
    if how.method == "window":
        assert how.window is not None
        low, high = how.window
        np.clip(values, low, high, out=values)
        shift, scale = low, high - low
    else:
        chosen = values[mask]
        if chosen.size == 0:
            raise InputError(
                f"{name} has no voxel to take its normalisation from (mask: {how.mask})",
                "check that this is the image you meant",
            )
        shift, scale = statistics(chosen, how.percentiles, how.sigmas)
        if scale <= SMALLEST_STD * max(abs(float(chosen.min())), abs(float(chosen.max()))):
            raise InputError(
                f"{name} has the same value, {shift:g}, in nearly all voxels (mask: {how.mask})",
                "check that this is the image you meant",
            )
    values -= np.float32(shift)
    values /= np.float32(scale)
    return shift, scale
