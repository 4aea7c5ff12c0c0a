"""A labelled case on a model's grid, ready for the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images.body import bounding_region
from AutofocusCore.images.geometry import Region
from AutofocusCore.images.preparing import prepare
from AutofocusCore.images.resampling import sample
from AutofocusCore.models.spec import ModelSpec
from AutofocusCore.teaching.sampled_labels import SampledLabels

if TYPE_CHECKING:
    from AutofocusCore.teaching.soft_labels import SoftLabels


@dataclass(frozen=True)
class Case:
    """A case on the model's grid, ready for the network.

    Args:
        name: shown in messages.
        image: (C, D, H, W) float32, normalised.
        labels: (D, H, W) uint8.
        roi: (D, H, W) bool; background segments are centred in it.
        background: normalised value of what lies outside the image, for all channels or for each.
        box: first voxel and end along z, y, x of the part that is predicted, such as the body; None for all.
        lost: label values of structures that are smaller than a voxel of this grid, and do not occur on it.
        known: label values of the known structures; None: all are known.
        soft: what the model that is taught says of the others; None if nothing is to be kept.
        spacing: of the grid along z, y, x, in mm; None where it is not known.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    roi: NDArray[np.bool_]
    background: float | tuple[float, ...]
    box: Region | None = None
    lost: tuple[int, ...] = ()
    known: tuple[int, ...] | None = None
    soft: SoftLabels | None = None
    spacing: tuple[float, float, float] | None = None

    def roi_box(self) -> tuple[slice, slice, slice]:
        """The box around the ROI, for arrays (D, H, W).

        Raises:
            InputError: the ROI is empty.
        """
        if not self.roi.any():
            raise InputError(f"{self.name} has no active voxel", "check its image, or take it out of the data")
        z, y, x = (slice(*ends) for ends in bounding_region(self.roi, (0, 0, 0)))
        return z, y, x


class HasCase(Protocol):
    """An object with a case."""

    @property
    def case(self) -> Case:
        """The case."""


def case_of(
    name: str,
    images: sitk.Image | Sequence[sitk.Image],
    labels: sitk.Image | SampledLabels,
    spec: ModelSpec,
    roi: sitk.Image | None = None,
) -> Case:
    """Images and labels on the model's grid, normalised as for inference.

    Args:
        name: of the case.
        images: one for each channel; a single one as it is.
        labels: on the first one's grid, or sampled on the model's grid already.
        spec: the model.
        roi: mask that segments are centred in; without it the body, where the model's normalisation looks for it, or
            everything.

    Raises:
        InputError: an image that cannot be used.
    """
    channels = [images] if isinstance(images, sitk.Image) else list(images)
    prepared = prepare(channels, spec)
    sampled = labels if isinstance(labels, SampledLabels) else SampledLabels.of(labels, prepared.grid)
    values = sampled.within(prepared.grid)
    within, domain = np.ones(values.shape, dtype=bool), spec.architecture.get("domain")
    if roi is not None:
        within = sample(roi, prepared.grid, 0.0, nearest=True) > 0
    elif prepared.patient is not None and (spec.normalization.mask == "body" or domain == "roi"):
        within = prepared.patient
    background = each_or_all(prepared.background)
    lost, spacing = sampled.lost(values), prepared.grid.spacing[::-1]
    return Case(name, prepared.volume, values, within, background, prepared.region, lost, spacing=spacing)


def each_or_all(background: Sequence[float]) -> float | tuple[float, ...]:
    """The value outside the image: one number for a single channel, one for each of several."""
    return background[0] if len(background) == 1 else tuple(background)


def with_known(case: Case, known: tuple[int, ...] | None) -> Case:
    """The case with its known labels; contours that are not used are removed from its labels."""
    if known is None:
        return case
    labels = np.where(np.isin(case.labels, known), case.labels, 0).astype(np.uint8)
    return replace(case, labels=labels, known=known, lost=tuple(label for label in case.lost if label in known))
