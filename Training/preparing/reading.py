"""Reads a case from its files into arrays on one grid, and reports every fault that would spoil a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import Grid
from AutofocusCore.images.body import body_mask
from AutofocusCore.images.checks import check_usable
from AutofocusCore.images.intensity import normalise, outside_value, recognise
from AutofocusCore.images.labelling import label_image
from AutofocusCore.images.resampling import inside, sample, to_image
from AutofocusCore.models import Normalization
from Training.preparing.contours import rasterise
from Training.preparing.found import Contours, Found, FoundCase
from Training.preparing.segments import segments_by_name

ROIS = {"all": "all", "brain": "nonzero", "body": "body"}
"""Kinds of ROI, and the mask of the model's normalisation that means the same."""
LEAST_OVERLAP = 0.5
STRAY = 0.01
"""Share of labelled voxels outside the ROI from which on there is a warning."""


@dataclass(frozen=True)
class Settings:
    """Options for every case.

    Args:
        offset: added to all values of the images.
        roi: "all", "brain" (voxels that are not 0 in some channel) or "body" (found in the first channel).
        spacing: x, y, z in mm along the image's own axes, 0 for as it is; None leaves all as they are.
        normalise: "none", or "deepmedic": each channel to mean 0 and standard deviation 1, taken over the ROI's voxels
            between the 5th and 95th percentile and within 3 standard deviations of their mean, as the authors'
            data_normalization/generate_normal.py asks for. Its further cut-off, at the mean of the whole image, is left
            out: no model could ask for it, and in skull-stripped images it lies below the 5th percentile.
    """

    offset: float = 0.0
    roi: str = "all"
    spacing: tuple[float, float, float] | None = None
    normalise: str = "none"

    def __post_init__(self) -> None:
        if self.roi not in ROIS:
            raise SettingError(f"--roi is {self.roi!r}", f"use one of {', '.join(ROIS)}")
        if self.normalise not in ("none", "deepmedic"):
            raise SettingError(f"--normalise is {self.normalise!r}", "use none or deepmedic")
        if not np.isfinite(self.offset):
            raise SettingError(f"--offset is {self.offset}", "give a number, such as -1024")
        if self.spacing is not None:
            fits = len(self.spacing) == 3 and all(np.isfinite(s) and 0 <= s <= 100 for s in self.spacing)
            if not fits:
                raise SettingError(f"--spacing is {self.spacing}", "give x,y,z in mm, 0 to keep an axis unchanged")

    @property
    def normalization(self) -> Normalization | None:
        """The normalisation of a model that was trained on such images; None if they are not normalised."""
        if self.normalise == "none":
            return None
        return Normalization("z-score", ROIS[self.roi], (5.0, 95.0), (3.0, 3.0))


@dataclass
class Volumes:
    """A case in memory, all (z, y, x) on one grid.

    Args:
        images: one for each channel; of the files' own type where nothing had to be computed.
        labels: uint8, or None.
        roi: bool, or None for everything.
        background: value of what lies outside, for each channel; None where the images are not normalised.
        remarks: warnings.
        unknown: labels of the structures that were not contoured.
    """

    grid: Grid
    images: list[NDArray[np.generic]]
    labels: NDArray[np.uint8] | None
    roi: NDArray[np.bool_] | None = None
    background: list[float] | None = None
    remarks: list[str] = field(default_factory=list)
    unknown: tuple[int, ...] = ()


def read_case(case: FoundCase, found: Found, settings: Settings) -> Volumes:
    """Read, check and convert a case.

    Raises:
        InputError: why the case cannot be used.
    """
    scans = [image.read() for image in case.images]
    remarks = [warning for scan in scans for warning in scan.warnings]
    images = [_checked(scan.image, str(scan.path)) for scan in scans]
    own = Grid.of(images[0])
    labels, unknown = _labels(case, found, own, remarks)
    grid = spaced(own, settings.spacing)
    if labels is not None and grid != own:
        indicators = ((labels == value).astype(np.float32) for value in range(len(found.structures) + 1))
        labels, _ = label_image(indicators, own, grid)  # type: ignore[arg-type]
        if not labels.any():
            raise InputError("No label is left at the new spacing", "choose a finer --spacing")
    made = Volumes(grid, [], labels, remarks=remarks, unknown=unknown)
    empty = []  # of each channel, where it is not 0
    for image, scan in zip(images, scans, strict=True):
        image = _shifted(image, settings.offset)
        values = sitk.GetArrayViewFromImage(image)
        stripped = settings.roi == "brain"  # then it is MR, whatever its values look like
        if recognise(values).kind == "CT+1024" and not stripped:
            remarks.append(f"{scan.path} looks like CT stored as HU + 1024: --offset -1024 makes it HU.")
        outside = _outside(values, stripped)
        if grid == own and Grid.of(image).same_as(own):
            made.images.append(values.copy())
        else:
            _overlapping(image, grid, str(scan.path), remarks)
            made.images.append(sample(image, grid, outside))
        empty.append(sample(image != 0, grid, 0.0, nearest=True) > 0 if settings.roi == "brain" else None)
    made.roi = _roi(made, empty, settings, remarks)
    if settings.normalization is not None:
        made.background = []
        for i, values in enumerate(made.images):
            scaled = values.astype(np.float32)
            outside = _outside(values, settings.roi == "brain")
            mask = empty[i] if empty[i] is not None else made.roi
            everywhere = np.ones(scaled.shape, dtype=bool)
            how = settings.normalization
            shift, scale = normalise(scaled, everywhere if mask is None else mask, how, str(scans[i].path))
            made.images[i] = scaled
            made.background.append((outside - shift) / scale)
    return made


def spaced(grid: Grid, spacing: Sequence[float] | None) -> Grid:
    """The grid with another spacing (x, y, z in mm, 0 for its own): the same axes and centre, nothing cut off."""
    if spacing is None:
        return grid
    target = [wanted or own for wanted, own in zip(spacing, grid.spacing, strict=True)]
    if np.allclose(target, grid.spacing, atol=1e-3, rtol=0):
        return grid
    size = [max(1, int(np.ceil(n * s / t - 1e-6))) for n, s, t in zip(grid.size, grid.spacing, target, strict=True)]
    axes = np.asarray(grid.direction).reshape(3, 3)
    centre = grid.to_mm([(n - 1) / 2 for n in grid.size])
    matrix = axes * np.asarray(target)
    return replace(Grid.from_matrix(size, matrix, centre - matrix @ ((np.asarray(size) - 1) / 2)))


def _checked(image: sitk.Image, name: str) -> sitk.Image:
    check_usable(image, name)
    return image


def _outside(values: NDArray[np.generic], stripped: bool) -> float:
    air = None if stripped else recognise(values).air
    return air if air is not None else outside_value(values, "MR")


def _shifted(image: sitk.Image, offset: float) -> sitk.Image:
    """The image with the offset added: whole numbers stay whole, in a type that holds them."""
    if offset == 0:
        return image
    values = sitk.GetArrayViewFromImage(image)
    if np.issubdtype(values.dtype, np.integer) and float(offset).is_integer():
        shifted = values.astype(np.int64) + int(offset)
        kinds = (np.int16, np.int32, np.int64)
        kind = next(k for k in kinds if np.iinfo(k).min <= shifted.min() and shifted.max() <= np.iinfo(k).max)
    else:
        shifted, kind = values.astype(np.float64) + offset, np.float32
    return to_image(shifted.astype(kind), Grid.of(image))


def _overlapping(image: sitk.Image, grid: Grid, name: str, remarks: list[str]) -> None:
    share = float(inside(grid, Grid.of(image)).mean())
    if share == 0:
        raise InputError(f"{name} does not overlap the first channel", "give images that are registered to each other")
    if share < LEAST_OVERLAP:
        remarks.append(f"{name} covers only {100 * share:.0f} % of the first channel.")


def _labels(
    case: FoundCase, found: Found, grid: Grid, remarks: list[str]
) -> tuple[NDArray[np.uint8] | None, tuple[int, ...]]:
    """The labels on the image's grid, checked, with the values of the collection's structures; and which are unknown.

    A contour that is missing, or lies wholly outside the series, is unknown; a label map's are those that the
    collection says.
    """
    unknown = case.unknown
    if case.labels is None:
        return None, unknown
    why, remedy = "", "label something, or leave the case out"
    if isinstance(case.labels, Contours):
        labels, unknown, notes = rasterise(case.labels, grid, found.structures)
        remarks += notes
        why = ": " + "; ".join(note.rstrip(".") for note in notes) if notes else ""
        remedy = "correct the table of --structures or the contours, or leave the case out"
    else:
        relabelled = segments_by_name(case.labels.path, found.structures) or found.relabelled
        scan = case.labels.read()
        if scan.warnings:
            raise InputError(f"Its labels cannot be used: {scan.warnings[0].rstrip('.')}", "export them again")
        if not Grid.of(scan.image).same_as(grid):
            raise InputError("Image and labels are not on the same grid", "resample the labels onto the image")
        values = sitk.GetArrayViewFromImage(scan.image)
        given = {float(v): relabelled.get(int(v), int(v)) for v in np.unique(values)}
        known = {0, *found.structures}
        strange = [f"{v:g}" for v, label in given.items() if v != int(v) or label not in known]
        if strange:
            raise InputError(
                f"Its labels hold {', '.join(strange[:5])}", f"use whole numbers from 0 to {len(found.structures)}"
            )
        labels = np.zeros(values.shape, dtype=np.uint8)
        for value, label in given.items():
            labels[values == value] = label
    if not labels.any():
        raise InputError(f"Its labels are empty{why}", remedy)
    drawn = [found.structures[label] for label in unknown if (labels == label).any()]
    if drawn:
        raise InputError(
            f"Its labels hold {', '.join(drawn)}, which is listed as not contoured", "correct the list or the labels"
        )
    return labels, unknown


def _roi(
    made: Volumes, present: list[NDArray[np.bool_] | None], settings: Settings, remarks: list[str]
) -> NDArray[np.bool_] | None:
    if settings.roi == "all":
        return None
    if settings.roi == "body":
        roi = body_mask(made.images[0].astype(np.float32), made.grid)
    else:
        roi = np.logical_or.reduce([channel for channel in present if channel is not None])
    if roi.all():
        what = "the body cannot be distinguished" if settings.roi == "body" else "no voxel is 0: is the skull removed?"
        remarks.append(f"Its ROI is the whole image: {what}.")
    if made.labels is not None:
        stray = float((made.labels[~roi] > 0).sum() / (made.labels > 0).sum())
        if stray > STRAY:
            remarks.append(f"{100 * stray:.1f} % of its labelled voxels lie outside the ROI.")
    return roi
