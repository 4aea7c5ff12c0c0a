"""Agreement of a label map with the truth: measures of a structure in a case, also if it is empty in one of them.

======================  ==========================  =======================================================
the case's structure    ``state``                   what is defined
======================  ==========================  =======================================================
true and found          "found"                     everything
true, nothing found     "missed"                    Dice 0, sensitivity 0; distances are undefined
true, but too small     "missed"                    the same, whatever was found: see ``lost``
not true, but found     "false positive"            specificity, volumes; the rest is undefined
neither                 "absent"                    specificity 1, volumes 0; the rest is undefined
not contoured           "unknown"                   the volume that was found; the rest is undefined
======================  ==========================  =======================================================

Undefined measures are NaN and left out of means; the tables count every case by its state.
A structure that was not contoured is unknown: it counts neither as missed nor as a false positive. A known structure is
measured in full, whatever else is unknown in the case. Distances run between the outermost voxels of both (MONAI's
definition), in millimetres.

Where a long structure's contour begins and ends is a matter of convention and of the planned field: of the oesophagus
only what matters for the plan is drawn. The measures of the shared slices, those in which both have voxels of the
structure, leave that out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from numpy.typing import NDArray
from torch import Tensor

from AutofocusCore.errors import InputError, SettingError

UNKNOWN = "unknown"
STATES = ("found", "missed", "false positive", "absent", UNKNOWN)
PERCENTILE = 95

Labels = Mapping[str, tuple[int, ...]]
"""Label values by structure: several where a structure is a union, as BRATS's regions are."""

BRATS_REGIONS: Labels = {"whole tumour": (1, 2, 3, 4), "tumour core": (1, 3, 4), "enhancing tumour": (4,)}
"""Of the labels 1 necrosis, 2 oedema, 3 non-enhancing and 4 enhancing tumour (Menze et al., IEEE TMI 2015)."""


@dataclass(frozen=True)
class Measures:
    """One structure of one case.

    Args:
        case, structure: their names.
        state: "found", "missed", "false positive", "absent" or "unknown".
        dice: 0 to 1.
        hd95_mm: 95 % Hausdorff distance, the larger of both directions.
        asd_mm: average surface distance over the surface voxels of both.
        sensitivity, specificity: shares of the true, and of the other voxels, that are labelled so.
        volume_true_ml, volume_found_ml: in millilitres.
        run: which of several models measured it: seed, fold; "" where there is one.
        dice_shared, hd95_shared_mm: the same of the shared slices alone; undefined where there is none.
    """

    case: str
    structure: str
    state: str
    dice: float
    hd95_mm: float
    asd_mm: float
    sensitivity: float
    specificity: float
    volume_true_ml: float
    volume_found_ml: float
    run: str = ""
    dice_shared: float = math.nan
    hd95_shared_mm: float = math.nan

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise SettingError(f"The state of {self.structure} is {self.state!r}", f"use {', '.join(STATES)}")


NUMBERS = tuple(f.name for f in fields(Measures) if f.type == "float")
"""Names of the measures that are numbers, in the order of the tables."""
SHARED = ("dice_shared", "hd95_shared_mm")
"""Those that tables of earlier versions do not have."""


def measure(
    case: str,
    structure: str,
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_],
    spacing: Sequence[float],
    axis: int = 0,
) -> Measures:
    """Measure one structure.

    Args:
        case, structure: names.
        truth, found: (D, H, W).
        spacing: z, y, x in mm.
        axis: of the arrays, from feet to head, along which the slices lie.

    Raises:
        InputError: both are not of one shape.
    """
    if truth.shape != found.shape:
        raise InputError(
            f"The truth of {case} has {truth.shape} voxels (z, y, x), the result {found.shape}",
            "bring both onto one grid",
        )
    voxel_ml = math.prod(spacing) / 1000
    true, guessed, both = int(truth.sum()), int(found.sum()), int((truth & found).sum())
    state = ("found" if guessed else "missed") if true else ("false positive" if guessed else "absent")
    hd95 = asd = dice_shared = hd95_shared = math.nan
    if state == "found":
        hd95, asd = _hd95(truth, found, spacing), _surface_distance(truth, found, spacing)
        across = tuple(other for other in range(3) if other != axis)
        shared = np.flatnonzero(truth.any(axis=across) & found.any(axis=across))
        if len(shared):
            true_there, found_there = (np.take(mask, shared, axis) for mask in (truth, found))
            dice_shared = 2 * int((true_there & found_there).sum()) / int(true_there.sum() + found_there.sum())
            hd95_shared = _hd95(true_there, found_there, spacing)
    others = truth.size - true
    return Measures(
        case=case,
        structure=structure,
        state=state,
        dice=2 * both / (true + guessed) if true else math.nan,
        hd95_mm=hd95,
        asd_mm=asd,
        sensitivity=both / true if true else math.nan,
        specificity=(others - (guessed - both)) / others if others else math.nan,
        volume_true_ml=true * voxel_ml,
        volume_found_ml=guessed * voxel_ml,
        dice_shared=dice_shared,
        hd95_shared_mm=hd95_shared,
    )


def _hd95(truth: NDArray[np.bool_], found: NDArray[np.bool_], spacing: Sequence[float]) -> float:
    """95 % Hausdorff distance in mm of two masks that are not empty."""
    with _quiet():
        return float(compute_hausdorff_distance(*_pair(truth, found), percentile=PERCENTILE, **_options(spacing)))


def _surface_distance(truth: NDArray[np.bool_], found: NDArray[np.bool_], spacing: Sequence[float]) -> float:
    """Average surface distance in mm of two masks that are not empty."""
    with _quiet():
        return float(compute_average_surface_distance(*_pair(truth, found), symmetric=True, **_options(spacing)))


def _pair(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (found, truth)]


def _options(spacing: Sequence[float]) -> dict[str, Any]:
    return {"include_background": True, "spacing": [float(s) for s in spacing]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MONAI 1.6's warning of an argument that it passes to itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        yield


def measure_case(
    case: str,
    truth: NDArray[np.integer],
    found: NDArray[np.integer],
    labels: Labels,
    spacing: Sequence[float],
    lost: Sequence[int] = (),
    known: Collection[int] | None = None,
    axis: int = 0,
) -> list[Measures]:
    """Measure every structure of a case that is known in it.

    Args:
        case: its name.
        truth, found: label maps (D, H, W).
        labels: the structures' label values.
        spacing: z, y, x in mm.
        lost: label values that the case has, though not on this grid, whose voxels are too large for them.
        known: label values of the structures that were contoured; None for all. A union of several is known where all
            of them are.
    """
    results = []
    for name, values in labels.items():
        if known is not None and not set(values) <= set(known):
            volume_ml = float(np.isin(found, values).sum()) * math.prod(spacing) / 1000
            undefined = dict.fromkeys(NUMBERS, math.nan) | {"volume_found_ml": volume_ml}
            results.append(Measures(case, name, UNKNOWN, **undefined))
            continue
        one = measure(case, name, np.isin(truth, values), np.isin(found, values), spacing, axis)
        if one.volume_true_ml == 0 and set(values) & set(lost):
            one = replace(one, state="missed", dice=0.0, sensitivity=0.0)
        results.append(one)
    return results


def value_of(one: Measures, number: str) -> float:
    """A measure by its name, as it enters means: NaN where the structure is unknown, also for what was found there."""
    return math.nan if one.state == UNKNOWN else float(getattr(one, number))


def mean_over_structures(results: Sequence[Measures], number: str) -> dict[str, float]:
    """For each case the mean of a measure over its structures, of those that define it; NaN where none does."""
    by_case: dict[str, list[float]] = {}
    for one in results:
        by_case.setdefault(one.case, []).append(value_of(one, number))
    return {case: mean_of(values) for case, values in by_case.items()}


def mean_of(values: Sequence[float]) -> float:
    """The mean of the values that are defined; NaN where none is."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
