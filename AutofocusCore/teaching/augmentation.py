"""Settings of the random changes of scans that a network learns from."""

from __future__ import annotations

from dataclasses import dataclass

from AutofocusCore.errors import SettingError


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


def require(holds: bool, name: str, value: object, remedy: str) -> None:
    """Raise a SettingError that names the field, its value and what would do, unless the condition holds."""
    if not holds:
        raise SettingError(f"The configuration's {name} is {value!r}", remedy)
