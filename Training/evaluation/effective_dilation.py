"""Effective dilation in the patient and in each structure, with the structure's size and the distance to its border.

The effective dilation of an autofocus layer at a voxel is the mean of its dilation rates under the attention weights
there, in millimetres (paper, section 2; `AutofocusCore.segmentation.AttentionMap`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata

import AutofocusCore
from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from AutofocusCore.models import ModelSpec
from AutofocusCore.segmentation import AttentionMap
from AutofocusCore.teaching.case import Case
from Training.evaluation.measures import Labels
from Training.evaluation.predicting import roi_of

FARTHEST_MM = 20.0
"""Largest distance in mm from a structure's border, outside and inside, in the profile."""

MEAN_OF_LAYERS = 0
"""Used instead of a layer's number, which counts from 1."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class StructureDilation:
    """Effective dilation of a layer in one structure of one case.

    Attributes:
        case, structure: their names.
        layer: autofocus layer, from 1; `MEAN_OF_LAYERS` for the mean of all.
        diameter_mm: of the sphere with the true structure's volume.
        dilation_mm: mean effective dilation inside the true structure.
        border_correlation: Spearman's, between dilation and distance to the border, over the voxels inside; NaN where
            one of both does not vary.
        profile: mean dilation by signed distance to the border, in bins of one voxel edge: negative outside.
    """

    case: str
    structure: str
    layer: int
    diameter_mm: float
    dilation_mm: float
    border_correlation: float
    profile: Mapping[int, float]


@dataclass(frozen=True)
class DilationSpread:
    """How much a layer's effective dilation differs from voxel to voxel within one patient.

    Attributes:
        case: its name.
        layer: autofocus layer, from 1.
        sd_mm: standard deviation of the effective dilation over the patient's voxels.
        share: the same as a share of the span of the rates, from the smallest to the largest. 0 is a layer that has
            settled on one look for all voxels; 0.5 is the most there can be.
    """

    case: str
    layer: int
    sd_mm: float
    share: float


def effective_dilations(
    network: Any,
    case: Case,
    spacing: Sequence[float],
    device: str = "auto",
    precision: str = "float32",
    spec: ModelSpec | None = None,
) -> dict[int, Floats]:
    """Effective dilation (D, H, W) in mm of every autofocus layer, from 1, and of `MEAN_OF_LAYERS` if several.

    It is that of the patient's voxels, and NaN elsewhere: outside the case's box, and outside its ROI.

    Args:
        network: in evaluation mode.
        case: on the model's grid.
        spacing: z, y, x in mm.
        device, precision: as for `AutofocusCore.predict_volume`.
        spec: of the model, which says where a network of the ROI domain computes.

    Raises:
        InputError: the network has no autofocus layer.
    """
    grid = _grid_of(case, spacing)
    z, y, x = case.labels.shape
    box = case.box or ((0, z), (0, y), (0, x))
    prediction = AutofocusCore.predict_volume(
        network, case.image, background=case.background, device=device, precision=precision, attention="all",
        region=box, mask=roi_of(network, case, spec),
    )  # fmt: skip
    if not prediction.attention:
        raise InputError("The network has no autofocus layer, so there is nothing to study", "choose an AFN")
    rates = tuple(int(rate) for rate in network.dilation_rates)
    inner, where = grid.crop(box), tuple(slice(*ends) for ends in box)
    maps = {}
    for layer, weights in prediction.attention.items():
        maps[layer + 1] = np.full(case.labels.shape, np.nan)
        maps[layer + 1][where] = AttentionMap(weights.numpy(), rates, inner).effective_dilation_mm()
        maps[layer + 1][~case.roi] = np.nan
    return {**maps, MEAN_OF_LAYERS: np.mean(list(maps.values()), axis=0)} if len(maps) > 1 else maps


def dilation_spreads(
    case: Case, dilations: Mapping[int, Floats], rates: Sequence[float], spacing: Sequence[float]
) -> list[DilationSpread]:
    """How much each layer's effective dilation differs within the patient.

    Args:
        case: whose `roi` is the patient.
        dilations: effective dilation by layer, in mm, NaN outside the patient.
        rates: the dilation rates in voxels; between fewer than two there is nothing to choose.
        spacing: z, y, x in mm.
    """
    span = (max(rates) - min(rates)) * _grid_of(case, spacing).voxel_mm3 ** (1 / 3)
    found = []
    for layer, dilation in dilations.items():
        if layer != MEAN_OF_LAYERS and span > 0:
            sd = float(np.nanstd(dilation))
            found.append(DilationSpread(case.name, layer, sd, sd / span))
    return found


def _grid_of(case: Case, spacing: Sequence[float]) -> Grid:
    z, y, x = case.labels.shape
    return Grid((x, y, z), (spacing[2], spacing[1], spacing[0]), (0.0,) * 3, tuple(np.eye(3).ravel()))


def signed_distance(mask: NDArray[np.bool_], spacing: Sequence[float]) -> Floats:
    """Distance in mm from each voxel to the nearest one on the border's other side, negative outside the mask."""
    return distance_transform_edt(mask, sampling=spacing) - distance_transform_edt(~mask, sampling=spacing)


def dilations_in_structures(
    case: Case, dilations: Mapping[int, Floats], labels: Labels, spacing: Sequence[float]
) -> list[StructureDilation]:
    """What each layer did in each structure that the case has.

    Args:
        case: with its true labels.
        dilations: effective dilation by layer.
        labels: label values by structure.
        spacing: z, y, x in mm.
    """
    found = []
    for structure, values in labels.items():
        mask = np.isin(case.labels, values)
        if not mask.any() or mask.all():
            continue
        distance = signed_distance(mask, spacing)
        computed = ~np.isnan(next(iter(dilations.values())))
        diameter = (6 * mask.sum() * math.prod(spacing) / math.pi) ** (1 / 3)
        near = (np.abs(distance) <= FARTHEST_MM) & computed
        mask = mask & computed
        if not mask.any():
            continue
        bins = np.round(distance[near] / min(spacing)).astype(int)
        for layer, dilation in dilations.items():
            found.append(
                StructureDilation(
                    case=case.name,
                    structure=structure,
                    layer=layer,
                    diameter_mm=float(diameter),
                    dilation_mm=float(dilation[mask].mean()),
                    border_correlation=rank_correlation(distance[mask], dilation[mask]),
                    profile={int(b): float(dilation[near][bins == b].mean()) for b in np.unique(bins)},
                )
            )
    return found


def rank_correlation(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Spearman's correlation; NaN where there are fewer than three pairs, or one of both does not vary."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])  # a third of the time of scipy.stats.spearmanr
