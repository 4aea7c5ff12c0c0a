"""Settings of the augmentation, and the transforms of MONAI that they may name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from Training.configuration.settings import require, require_known

SPATIAL = ("RandAffined", "RandRotated", "RandZoomd", "Rand3DElasticd", "RandGridDistortiond")
INTENSITY = (
    "RandGaussianNoised", "RandRicianNoised", "RandGaussianSmoothd", "RandGaussianSharpend", "RandAdjustContrastd",
    "RandScaleIntensityd", "RandShiftIntensityd", "RandStdShiftIntensityd", "RandHistogramShiftd", "RandBiasFieldd",
    "RandGibbsNoised", "RandCoarseDropoutd", "RandSimulateLowResolutiond",
)  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """Random changes of every segment or scan.

    Args:
        flip: axes (0 z, 1 y, 2 x) turned round half of the time; never one that swaps left and right structures,
            unless `swap` puts their labels right.
        swap: pairs of labels that change places where x, the axis from left to right, was flipped.
        rotation: largest angle about each axis in degrees.
        scaling: largest relative change of size, 0.1 for 0.9 to 1.1.
        contrast, brightness, noise: standard deviations of a factor, of an offset and of voxel noise, after
            normalisation.
        probability: share of the segments that are rotated and scaled.
        blur: half of the segments are smoothed by a Gaussian of up to this standard deviation in voxels, another along
            each axis: what resampling from other grids does to images.
        monai: MONAI's transforms, applied in this order after all others: tables with the `name` of one in SPATIAL or
            INTENSITY and its arguments but `keys`, such as {name = "RandBiasFieldd", prob = 0.3}.
        elastic: whole scans only, as are the following: standard deviation in mm of a smooth random displacement.
        gamma: standard deviation of the logarithm of an exponent that values from 0 to 1 are raised to.
        coarser: a third of the scans lose detail, as if their voxels were up to so many times as large; 1 for none.
        streaks: share of the scans that get bright and dark streaks round a point, as from metal in CT.
        cut: share of the scans that end early: at the head's or the feet's side, or at the sides of the field of view.
    """

    flip: tuple[int, ...] = ()
    swap: tuple[tuple[int, int], ...] = ()
    rotation: float = 0.0
    scaling: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    probability: float = 1.0
    blur: float = 0.0
    monai: tuple[dict[str, Any], ...] = ()
    elastic: float = 0.0
    gamma: float = 0.0
    coarser: float = 1.0
    streaks: float = 0.0
    cut: float = 0.0

    def __post_init__(self) -> None:
        require(set(self.flip) <= {0, 1, 2}, "augmentation.flip", self.flip, "list axes among 0 (z), 1 (y) and 2 (x)")
        object.__setattr__(self, "swap", tuple(tuple(pair) for pair in self.swap))
        fits = all(len(pair) == 2 and all(isinstance(n, int) and n > 0 for n in pair) for pair in self.swap)
        labels = [label for pair in self.swap for label in pair]
        fits = fits and len(set(labels)) == len(labels)
        require(fits, "augmentation.swap", self.swap, "give pairs of labels, none of them twice: [[3, 4]]")
        require(not self.swap or 2 in self.flip, "augmentation.swap", self.swap, "flip axis 2 (x), or leave it out")
        for name in ("rotation", "contrast", "brightness", "noise", "blur", "elastic", "gamma"):
            require(getattr(self, name) >= 0, f"augmentation.{name}", getattr(self, name), "give 0 or more")
        require(0 <= self.scaling < 1, "augmentation.scaling", self.scaling, "give a share from 0 to below 1")
        require(self.coarser >= 1, "augmentation.coarser", self.coarser, "give a factor from 1 up")
        for name in ("probability", "streaks", "cut"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"augmentation.{name}", value, "give a share from 0 to 1")
        for entry in self.monai:
            fits = isinstance(entry, dict) and "keys" not in entry and isinstance(entry.get("name"), str)
            require(fits, "augmentation.monai", entry, 'give a table such as {name = "RandGaussianNoised", prob = 0.3}')
            require_known(entry["name"], "augmentation.monai", SPATIAL + INTENSITY)
