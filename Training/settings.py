"""The settings of a training run: its segments, their augmentation, the optimiser, its length and record."""

from __future__ import annotations

from dataclasses import dataclass

from AutofocusCore.errors import SettingError


def require(holds: bool, name: str, value: object, remedy: str) -> None:
    """Raise a SettingError that names the field, its value and what would do, unless the condition holds."""
    if not holds:
        raise SettingError(f"The configuration's {name} is {value!r}", remedy)


@dataclass(frozen=True)
class Segments:
    """Training crops.

    Args:
        size: of the network's output for one segment, z, y, x in voxels; its input is larger by the margins.
        per_step: segments in a batch.
        foreground: share of segments that are centred on a labelled voxel; the others on background in the ROI.
    """

    size: tuple[int, int, int]
    per_step: int
    foreground: float = 0.5

    def __post_init__(self) -> None:
        fits = len(self.size) == 3 and all(isinstance(n, int) and n > 0 for n in self.size)
        require(fits, "segments.size", self.size, "give three positive whole numbers: z, y, x")
        require(self.per_step > 0, "segments.per_step", self.per_step, "give at least 1")
        require(0 <= self.foreground <= 1, "segments.foreground", self.foreground, "give a share between 0 and 1")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of every segment.

    Args:
        flip: axes (0 z, 1 y, 2 x) turned round half of the time; never one that swaps left and right structures.
        rotation: largest angle about each axis in degrees.
        scaling: largest relative change of size, 0.1 for 0.9 to 1.1.
        contrast, brightness, noise: standard deviations of a factor, of an offset and of voxel noise, after
            normalisation.
        probability: share of the segments that are rotated and scaled.
        blur: half of the segments are smoothed by a Gaussian of up to this standard deviation in voxels, another along
            each axis: what resampling from other grids does to images.
    """

    flip: tuple[int, ...] = ()
    rotation: float = 0.0
    scaling: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    probability: float = 1.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        require(set(self.flip) <= {0, 1, 2}, "augmentation.flip", self.flip, "list axes among 0 (z), 1 (y) and 2 (x)")
        for name in ("rotation", "contrast", "brightness", "noise", "blur"):
            require(getattr(self, name) >= 0, f"augmentation.{name}", getattr(self, name), "give 0 or more")
        require(0 <= self.scaling < 1, "augmentation.scaling", self.scaling, "give a share from 0 to below 1")
        require(0 <= self.probability <= 1, "augmentation.probability", self.probability, "give 0 to 1")


@dataclass(frozen=True)
class Optimizer:
    """How the weights move.

    Args:
        name: "adam", "rmsprop" or "sgd".
        learning_rate: at the start.
        momentum: of RMSprop and SGD.
        weight_decay: as PyTorch defines it.
        alpha, epsilon: of RMSprop; epsilon also of Adam.
        schedule: "poly", "step" or "cosine".
        power: of "poly".
        drops: share of all steps after which "step" divides the rate by ten.
        warm_up: steps over which the rate rises from 0.
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    alpha: float = 0.9
    epsilon: float = 1e-8
    schedule: str = "cosine"
    power: float = 0.9
    drops: tuple[float, ...] = (2 / 3,)
    warm_up: int = 0

    def __post_init__(self) -> None:
        known = ("adam", "rmsprop", "sgd")
        require(self.name in known, "optimizer.name", self.name, f"use one of {', '.join(known)}")
        require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "give a positive number")
        known = ("poly", "step", "cosine")
        require(self.schedule in known, "optimizer.schedule", self.schedule, f"use one of {', '.join(known)}")
        require(all(0 < d < 1 for d in self.drops), "optimizer.drops", self.drops, "give shares between 0 and 1")
        for name in ("momentum", "weight_decay"):
            require(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "give 0 or more")


@dataclass(frozen=True)
class Run:
    """Length and record of a run.

    Args:
        steps: optimisation steps in all.
        loss: "dice" (soft, over the structures), "cross-entropy" or "both".
        background_weight: of background voxels in the cross-entropy, those of structures counting 1: below 1 where the
            structures are small.
        average: decay of the moving average of the weights, which is what is kept as the model; 0 keeps the last.
        precision: "bfloat16" where the processor has it, or "float32".
        checkpoint_every, watch_every: steps between checkpoints, and between looks at the set-aside cases (0: never).
        seed: of everything random.
    """

    steps: int
    loss: str = "both"
    background_weight: float = 1.0
    average: float = 0.0
    precision: str = "bfloat16"
    checkpoint_every: int = 50
    watch_every: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        require(self.steps > 0, "run.steps", self.steps, "give at least 1")
        known = ("dice", "cross-entropy", "both")
        require(self.loss in known, "run.loss", self.loss, f"use one of {', '.join(known)}")
        require(self.background_weight > 0, "run.background_weight", self.background_weight, "give more than 0")
        require(0 <= self.average < 1, "run.average", self.average, "give a decay from 0 to below 1")
        require(self.precision in ("bfloat16", "float32"), "run.precision", self.precision, "use bfloat16 or float32")
        require(self.checkpoint_every > 0, "run.checkpoint_every", self.checkpoint_every, "give at least 1")
        require(self.watch_every >= 0, "run.watch_every", self.watch_every, "give 0 or more")
