"""Whole scans for training: randomly augmented cases as active voxels, with a label for each.

All its randomness depends only on the scan's number in the run, so that it can be prepared in the background and
repeated when a run is continued.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from AutofocusCore.errors import InputError
from AutofocusCore.images.body import bounding_region
from AutofocusCore.teaching.artefacts import change_values, cut_off, part_of
from AutofocusCore.teaching.augmentation import Augmentation
from AutofocusCore.teaching.case import Case, HasCase
from AutofocusCore.teaching.schedule import TrainingSchedule
from AutofocusCore.teaching.warping import random_warp, sample_image, sample_labels, sample_mask

AROUND = 4
"""Voxels added on each side of the patient for rotation."""


@dataclass(frozen=True)
class Scan:
    """A scan for training.

    Args:
        name: of its case.
        image: (C, D, H, W) float32.
        mask: (D, H, W) bool: its N active voxels.
        labels: (N,) long, of the active voxels in raster order.
        known: label values of the structures that are known; None for all.
        unknown, soft: labels of structures that a model's probabilities stand for, and these, (N, structures).
    """

    name: str
    image: Tensor
    mask: Tensor
    labels: Tensor
    known: tuple[int, ...] | None
    unknown: tuple[int, ...] = ()
    soft: Tensor = field(default_factory=lambda: torch.zeros(0, 0))


@dataclass(frozen=True)
class ScanSampler:
    """Makes training scans from cases.

    Args:
        augmentation: the settings.
        spacing: (z, y, x) in mm, of the model's grid.
        bounds: least and largest normalised value that inference can meet, where the model clips values.
        most_voxels: see `part_of`.
    """

    augmentation: Augmentation
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bounds: tuple[float, float] | None = None
    most_voxels: int = 0

    def scan(self, case: Case, rng: np.random.Generator) -> Scan:
        """A randomly changed scan; the same state of `rng` gives the same scan.

        Raises:
            InputError: the case's ROI is empty, or is once it is changed.
        """
        box = case.roi_box()
        labels = case.labels[box]
        extents = labels.shape
        shape = (extents[0], extents[1] + 2 * AROUND, extents[2] + 2 * AROUND)
        warp = random_warp(self.augmentation, self.spacing, shape, rng)
        places = warp.places(shape, extents)
        mask = sample_mask(torch.from_numpy(case.roi[box]), places)
        near = () if case.soft is None else np.flatnonzero((labels > 0).any(axis=(1, 2))).tolist()
        mask = part_of(cut_off(mask, self.augmentation, rng), self.most_voxels, rng, near)
        if not mask.any():
            raise InputError(f"{case.name} has no active voxel once it is changed", "make augmentation.scaling smaller")
        kept = tuple(slice(low, high) for low, high in bounding_region(mask.numpy(), (0, 0, 0)))
        mask, places = mask[kept], places[kept]
        background = torch.tensor(case.background, dtype=torch.float32).reshape(-1, 1, 1, 1)
        image = sample_image(torch.from_numpy(case.image[:, box[0], box[1], box[2]]), places, background)
        image = change_values(image, mask, self.augmentation, self.spacing, rng)
        if self.bounds is not None:
            image = image.clamp(*self.bounds)
        places_in = places[mask]
        found, known = sample_labels(labels, places_in), case.known
        if warp.mirrored:
            found = swap_labels(found, self.augmentation.swap)
            known = swap_known(known, self.augmentation.swap)
        mask = mask.contiguous()
        if case.soft is None:
            return Scan(case.name, image, mask, found, known)
        unknown = case.soft.labels
        if warp.mirrored:
            unknown = tuple(swap_label(label, self.augmentation.swap) for label in unknown)
        return Scan(case.name, image, mask, found, known, unknown, case.soft.at(box, places_in))


def swap_labels(labels: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """The labels with the two labels of each pair exchanged, as in a mirror image of the patient."""
    swapped = labels.clone()
    for one, other in pairs:
        swapped[labels == one], swapped[labels == other] = other, one
    return swapped


def swap_label(label: int, pairs: Sequence[tuple[int, int]]) -> int:
    """The label that a label has in the mirror image."""
    return next((one if label == two else two for one, two in pairs if label in (one, two)), label)


def swap_known(known: tuple[int, ...] | None, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...] | None:
    """The known labels of the mirror image: those of each pair are exchanged."""
    return None if known is None else tuple(sorted(swap_label(label, pairs) for label in known))


class Prefetcher:
    """Results by number, computed in a background thread before they are asked for.

    The heavy parts of a scan's making, and of a step, run outside Python's lock, so that a thread is enough.

    Args:
        make: result of a number. It is called for one at a time.
        count: how many to be ahead; 0: each is made when it is asked for.
        end: no number from this on is made ahead.
        stride: from one number that will be asked for to the next.
    """

    def __init__(self, make: Callable[[int], Scan], count: int, end: int, stride: int = 1) -> None:
        self._make, self._count, self._end, self._stride = make, count, end, stride
        self._pool = ThreadPoolExecutor(1, "scans", initializer=torch.set_num_threads, initargs=(1,))
        self._waiting: OrderedDict[int, Future[Scan]] = OrderedDict()

    def get(self, number: int) -> Scan:
        """The result of a number; raises what making it raised."""
        if not self._count:
            return self._make(number)
        for wanted in range(number, min(number + (self._count + 1) * self._stride, self._end), self._stride):
            if wanted not in self._waiting:
                self._waiting[wanted] = self._pool.submit(self._make, wanted)
        return self._waiting.pop(number).result()

    def close(self) -> None:
        """End the thread; results that are not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def draw_scan(
    cases: Sequence[HasCase], sampler: ScanSampler, schedule: TrainingSchedule, number: int, draws: int = 1
) -> Scan:
    """The scan of a number, counted from the run's start: it follows from the number alone.

    Args:
        draws: of so many drawn cases, the first one with most known structures is taken.
    """
    rng = schedule.generator_of(number)
    drawn = [cases[schedule.case_of(number, rng)].case for _ in range(draws)]
    return sampler.scan(max(drawn, key=lambda case: math.inf if case.known is None else len(case.known)), rng)
