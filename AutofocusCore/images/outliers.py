"""Values that are not measured: padding, and outliers, which would distort a z-score.

Both are found by a gap in the histogram: no voxel has a value in it, and it is at least as wide as the range of all
ordinary values. Other scans have no such gap, however bright their vessels or metal, and pass unchanged, bit for bit.
Beyond the gap lie:

* outliers, where they are few: each becomes the nearest ordinary value;
* padding, where it is one and the same value that is negative, or the largest that there is: it counts as outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

Numbers = npt.NDArray[Any]

FEW = 0.05
"""Share of the voxels up to which those beyond a gap are outliers."""
MOST_PADDING = 0.95
BINS = 1 << 16
FEWEST_VALUES = 8
"""Smallest number of different ordinary values; a mask has fewer."""
ROUNDS = 8
NEAR_AIR = 150.0
"""HU within which a value is that of air; scanners and programs write -1000 or -1024."""


@dataclass(frozen=True)
class ClippedImage:
    """Result of `clip_outliers`.

    Attributes:
        image: the image without such values; the same object if it had none.
        padding: 1 where it was padded, else 0; None where it was not.
        outliers: 1 where a value was cut down, else 0; None where none was.
        warnings: sentences for the user.
    """

    image: sitk.Image
    padding: sitk.Image | None = None
    outliers: sitk.Image | None = None
    warnings: tuple[str, ...] = ()


def clip_outliers(image: sitk.Image, name: str, *, air: float | None = None) -> ClippedImage:
    """Clip outliers to the ordinary values, and give padding the lowest of them.

    Args:
        image: a scan.
        name: what to call it.
        air: value of air, for CT: what lies near it is air, even if all of it has one value, as in a CT that was cut
            out along the patient.
    """
    values = sitk.GetArrayViewFromImage(image)
    least, most = float(values.min()), float(values.max())
    low, high, padded = _ordinary(values, least, most)
    if air is not None and any(abs(value - air) < NEAR_AIR for value in padded):
        return ClippedImage(image)
    if (low, high) == (least, most):
        return ClippedImage(image)
    below, above = values < low, values > high
    is_padding = np.zeros(values.shape, dtype=bool)
    for value in padded:
        is_padding |= values == value
    beyond = (below | above) & ~is_padding
    count = int(np.count_nonzero(beyond))
    warnings: list[str] = []
    if is_padding.any():
        share = 100 * np.count_nonzero(is_padding) / values.size
        shown = " and ".join(f"{value:g}" for value in padded)
        warnings.append(
            f"{name} is padded with {shown} ({share:.2g} % of its voxels), which was treated as outside the scan."
        )
    if count:
        worst = max((float(v) for v in (values[beyond].min(), values[beyond].max())), key=lambda v: abs(v - low))
        warnings.append(
            f"{name} has {count} voxel{'s' * (count != 1)} far from all others (up to {worst:g}, where the others are "
            f"{low:g} to {high:g}): clipped to that range, as {'they' if count != 1 else 'it'} would change how the "
            "network sees everything else. Check the result with care."
        )
    clipped = np.clip(values, low, high).astype(values.dtype)
    clipped[is_padding] = values.dtype.type(low)
    padding, outliers = (
        _like(where.astype(np.uint8), image) if where.any() else None for where in (is_padding, beyond)
    )
    return ClippedImage(_like(clipped, image), padding, outliers, tuple(warnings))


def _like(array: Numbers, image: sitk.Image) -> sitk.Image:
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        result.SetMetaData(key, image.GetMetaData(key))
    return result


def _ordinary(values: Numbers, least: float, most: float) -> tuple[float, float, list[float]]:
    """The lowest and highest ordinary value, and the values of padding."""
    low, high, padded = least, most, []
    for _ in range(ROUNDS):
        if not high > low:
            return least, most, []
        counts, width = _histogram(values, low, high)
        total = int(counts.sum())
        up, mirrored = _cut(counts, total), _cut(counts[::-1], total)
        cut = up if up is not None or mirrored is None else BINS - 1 - mirrored
        if cut is None:
            break
        inner = values[(values >= low) & (values <= high)]
        edge = low + width * (cut + 0.5)
        beyond = inner[inner > edge] if up is not None else inner[inner < edge]
        kept = inner[inner <= edge] if up is not None else inner[inner >= edge]
        if len(np.unique(kept[: 1 << 20])) < FEWEST_VALUES:
            break
        single = float(beyond.min()) == float(beyond.max())
        is_padding = single and (float(beyond.max()) < 0 or (up is not None and len(beyond) > FEW * total))
        if not is_padding and len(beyond) > FEW * total:
            break
        if is_padding and len(beyond) > 1:
            padded.append(float(beyond.min()))
        low, high = float(kept.min()), float(kept.max())
    return low, high, padded


def _cut(counts: Numbers, total: int) -> int | None:
    """A bin in the gap below values that are too high, if there is one."""
    used = np.flatnonzero(counts)
    gaps = np.diff(used)
    for at in range(len(gaps) - 1, -1, -1):
        beyond = int(counts[used[at + 1] :].sum())
        if beyond > MOST_PADDING * total or (beyond > FEW * total and at < len(gaps) - 1):
            return None
        if gaps[at] >= used[at] - used[0] + 1 and gaps[at] > 1:
            return int(used[at] + gaps[at] // 2)
    return None


def _histogram(values: Numbers, low: float, high: float) -> tuple[Numbers, float]:
    """Counts of the values from low to high in bins, and the width of a bin."""
    width = (high - low) / (BINS - 1)
    counts = np.zeros(BINS, dtype=np.int64)
    for plane in values:  # slice by slice, to need no copy of the volume
        inner = plane[(plane >= low) & (plane <= high)].astype(np.float64)
        index = ((inner - low) / width).astype(np.int64)
        counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)
    return counts, width
