"""The settings of a training run: what it learns from, the optimiser, its length and record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from AutofocusCore.teaching.augmentation import require


def require_known(value: str, name: str, known: Sequence[str]) -> None:
    """Raise a SettingError unless the value is one of the known ones."""
    require(value in known, name, value, f"use one of {', '.join(known)}")


@dataclass(frozen=True)
class Segments:
    """Training crops.

    Args:
        size: of the network's output for one segment, z, y, x in voxels; its input is larger by the margins.
        per_step: segments that pass through the network at once, in each process.
        foreground: share of segments that are centred on a labelled voxel; the others on background in the ROI.
        centres: "structures", each structure of the case being as likely as another; "voxels", each labelled voxel, as
            released; or "classes", background being one of them, as DeepMedic samples: `foreground` is then unused.
        shares: of background and each structure, for "classes"; none for equal ones. Classes that a case does not have
            leave theirs to the others.
    """

    size: tuple[int, int, int]
    per_step: int
    foreground: float = 0.5
    centres: str = "structures"
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        fits = len(self.size) == 3 and all(isinstance(n, int) and n > 0 for n in self.size)
        require(fits, "segments.size", self.size, "give three positive whole numbers: z, y, x")
        require(self.per_step > 0, "segments.per_step", self.per_step, "give at least 1")
        require(0 <= self.foreground <= 1, "segments.foreground", self.foreground, "give a share between 0 and 1")
        require_known(self.centres, "segments.centres", ("structures", "voxels", "classes"))
        fits = not self.shares or (self.centres == "classes" and min(self.shares) >= 0 < sum(self.shares))
        require(fits, "segments.shares", self.shares, 'give shares of 0 or more, with centres = "classes" only')


@dataclass(frozen=True)
class Scans:
    """Training on whole scans in the ROI domain: each step takes one, and supervises all its active voxels.

    Args:
        ahead: scans that are made in the background while the network learns from another.
        cache: scans stay in memory after they are read; without it, each is read or made again, as phantoms are that
            serve for one step only.
        draws: of so many cases that are drawn for a step, the one in which most structures are known is taken: with 2,
            structures that few cases know come up more often.
        most_voxels: of a scan with more active voxels, a part along the axis from feet to head is taken, another one
            each time: more steps in the same hours. 0: always the whole scan.
        fix_statistics_after: after this step the run goes on from its averaged weights, with BatchNorm's statistics
            measured over whole training scans, and normalises by them as inference does. At most the number of the
            step before the last; 0: never.
        statistics: number of scans that they are measured over.
        unchanged_after: after this step scans are whole and unchanged, as inference meets them. A network that has only
            seen changed parts of scans is unsure of structures in a way that whole ones do not bear out. 0: never.
        decisive: weight in the loss of what `Training.loop.decisive` rewards: attention that decides at each voxel and
            differently between voxels. Without it, attention of the first layers stays nearly the same everywhere.
        decisive_after: the step from which it counts; 0: from the start.
    """

    ahead: int = 2
    cache: bool = True
    most_voxels: int = 0
    draws: int = 1
    fix_statistics_after: int = 0
    statistics: int = 40
    unchanged_after: int = 0
    decisive: float = 0.0
    decisive_after: int = 0

    def __post_init__(self) -> None:
        require(self.ahead >= 0, "scans.ahead", self.ahead, "give 0 or more scans")
        require(self.draws >= 1, "scans.draws", self.draws, "give at least 1")
        require(self.most_voxels >= 0, "scans.most_voxels", self.most_voxels, "give 0 or more voxels")
        require(0 <= self.decisive <= 1, "scans.decisive", self.decisive, "give a weight between 0 and 1")
        for name in ("fix_statistics_after", "unchanged_after", "decisive_after"):
            after = getattr(self, name)
            require(after >= 0, f"scans.{name}", after, "give the number of a step, or 0 for never")
        require(self.statistics >= 1, "scans.statistics", self.statistics, "give at least 1 scan")

    def refuse_unreached(self, steps: int) -> None:
        """Raise a SettingError if a run of `steps` steps ends before a step from which something is to change."""
        for name in ("fix_statistics_after", "unchanged_after", "decisive_after"):
            after = getattr(self, name)
            remedy = f"give less than {steps}, the number of the run's steps, or 0 for never"
            require(after < steps or after == 0, f"scans.{name}", after, remedy)


@dataclass(frozen=True)
class Baseline:
    """Another network instead of the model, for comparison: MONAI's DynUNet. It cannot be exported as a bundle.

    Args:
        filters: channels of each resolution, the finest first; each is half as fine as the one before.
    """

    filters: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = len(self.filters) >= 2 and all(isinstance(n, int) and n > 0 for n in self.filters)
        require(fits, "baseline.filters", self.filters, "give at least two positive numbers of channels")


@dataclass(frozen=True)
class Optimizer:
    """The optimiser and its learning rate.

    Args:
        name: "adam", "adamw", "sgd", "rmsprop" (PyTorch's, as released) or "deepmedic-rmsprop" (as DeepMedic has it).
        learning_rate: at the start.
        momentum: of RMSprop and SGD.
        nesterov: Nesterov's momentum, for SGD and DeepMedic's RMSprop.
        normalized: DeepMedic's RMSprop: the new gradient counts 1 - momentum instead of 1.
        weight_decay: as PyTorch defines it.
        l1, l2: weights of the sums of all convolution weights' magnitudes and squares in the loss, as DeepMedic does.
        alpha, epsilon: of RMSprop; epsilon also of Adam.
        schedule: "poly", "step", "cosine" or "constant".
        power: of "poly".
        drops: when "step" lowers the rate: shares of the run below 1, epochs from 1 on.
        divide_by: what "step" divides the rate by.
        warm_up: steps over which the rate rises from 0.
        cool_down: with "constant", steps at the end over which the rate falls to 0 along half a cosine.
        attention: factor of the rate for the attention layers. They have no BatchNorm: with Adam's large steps their
            scores grow until the softmax chooses one dilation rate everywhere; with 0.1 this was not seen.
        clip: largest norm of all gradients together, to which larger ones are scaled down; 0 for no limit.
        cycles: lengths in steps of the parts of a run, in each of which the schedule starts again with its warm-up, so
            that each ends with a usable model. None: the run is one part.
        cycle_rates: rate of each part, as a share of the learning rate; none: 1 for each.
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    normalized: bool = False
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    alpha: float = 0.9
    epsilon: float = 1e-8
    schedule: str = "cosine"
    power: float = 0.9
    drops: tuple[float, ...] = (2 / 3,)
    divide_by: float = 10.0
    warm_up: int = 0
    cool_down: int = 0
    attention: float = 1.0
    clip: float = 0.0
    cycles: tuple[int, ...] = ()
    cycle_rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_known(self.name, "optimizer.name", ("adam", "adamw", "sgd", "rmsprop", "deepmedic-rmsprop"))
        for name in ("learning_rate", "attention"):
            require(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "give a positive number")
        require_known(self.schedule, "optimizer.schedule", ("poly", "step", "cosine", "constant"))
        ascending = list(self.drops) == sorted(set(self.drops)) and all(drop > 0 for drop in self.drops)
        require(ascending, "optimizer.drops", self.drops, "give positive numbers in ascending order")
        able = not self.cool_down or self.schedule == "constant"
        require(able, "optimizer.cool_down", self.cool_down, 'use it with schedule = "constant"')
        require(self.divide_by >= 1, "optimizer.divide_by", self.divide_by, "give at least 1")
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "give 0 to below 1")
        has = self.momentum == 0 or self.name not in ("adam", "adamw")
        require(has, "optimizer.momentum", self.momentum, f"leave it 0 with {self.name}, which has its own")
        has = self.weight_decay == 0 or self.name != "deepmedic-rmsprop"
        require(
            has, "optimizer.weight_decay", self.weight_decay, "use l1 and l2 with deepmedic-rmsprop, as DeepMedic does"
        )
        able = self.name == "deepmedic-rmsprop" or (self.name == "sgd" and self.momentum > 0)
        remedy = "use it with deepmedic-rmsprop, or with sgd and a momentum"
        require(able or not self.nesterov, "optimizer.nesterov", self.nesterov, remedy)
        able = self.name == "deepmedic-rmsprop"
        require(able or not self.normalized, "optimizer.normalized", self.normalized, "use it with deepmedic-rmsprop")
        require(all(n > 0 for n in self.cycles), "optimizer.cycles", self.cycles, "give positive numbers of steps")
        rates, remedy = self.cycle_rates, f"give {len(self.cycles)} positive shares, one for each of optimizer.cycles"
        sound = not rates or (len(rates) == len(self.cycles) and all(share > 0 for share in rates))
        require(sound, "optimizer.cycle_rates", rates, remedy)
        for name in ("weight_decay", "l1", "l2", "epsilon", "warm_up", "cool_down", "clip"):
            require(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "give 0 or more")


@dataclass(frozen=True)
class Run:
    """Length, arithmetic and record of a run. Either `steps` or `epochs` says how long it is.

    Args:
        steps: optimisation steps in all.
        epochs: instead of steps. In an epoch every case gives one segment; without `epochs` cases are drawn.
        epoch_steps: steps of an epoch, 0 for as many as give every case one segment; otherwise cases are drawn.
        loss: "dice" (soft, over the structures), "cross-entropy" or "both".
        background_weight: weight of background voxels in the cross-entropy; that of the structures is 1.
        average: decay of the moving average of the weights, which is what is kept as the model; 0 keeps the last.
        accumulate: batches whose gradients are averaged for one step: memory of one, statistics of many.
        precision: "bfloat16" where the processor has it, "float16" (GPUs; the loss is scaled) or "float32".
        recompute: keep only the inputs of hidden layers for the backward pass and compute the rest again: less memory,
            the same gradients.
        batch_norm: statistics of "each" process's part of the batch, or of "all": then n processes train as one with n
            times as many segments.per_step. Accumulated batches have statistics of their own in any case.
        checkpoint_every, watch_every: steps between checkpoints, and between looks at the set-aside cases (0: never).
        seed: of everything random.
        initial: weights of the convolutions at the start: "released", from N(0, 0.01); or "he", from He's distribution
            (Kaiming et al. 2015), but for those of attention and the classifier, for large steps: next to steps of
            2e-3, N(0, 0.01) is little.
        widen_after: up to this step the network has the paper's number of maps, then `model.architecture.width` times
            as many, see `Training.loop.widening`. The optimiser begins anew there. 0: wide from the start.
    """

    steps: int = 0
    epochs: int = 0
    epoch_steps: int = 0
    loss: str = "both"
    background_weight: float = 1.0
    average: float = 0.0
    accumulate: int = 1
    precision: str = "bfloat16"
    recompute: bool = False
    batch_norm: str = "each"
    checkpoint_every: int = 50
    watch_every: int = 0
    seed: int = 1
    initial: str = "released"
    widen_after: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "epochs", "epoch_steps", "watch_every", "seed", "widen_after"):
            require(getattr(self, name) >= 0, f"run.{name}", getattr(self, name), "give 0 or more")
        require(self.seed < 2**32, "run.seed", self.seed, "give less than 2^32")
        one = (self.steps > 0) != (self.epochs > 0)
        remedy = f"give either steps or epochs, at least 1; epochs is {self.epochs}"
        require(one, "run.steps", self.steps, remedy)
        require_known(self.loss, "run.loss", ("dice", "cross-entropy", "both"))
        require(self.background_weight > 0, "run.background_weight", self.background_weight, "give more than 0")
        require(0 <= self.average < 1, "run.average", self.average, "give a decay from 0 to below 1")
        require_known(self.precision, "run.precision", ("bfloat16", "float16", "float32"))
        require_known(self.batch_norm, "run.batch_norm", ("each", "all"))
        require_known(self.initial, "run.initial", ("released", "he"))
        for name in ("accumulate", "checkpoint_every"):
            require(getattr(self, name) > 0, f"run.{name}", getattr(self, name), "give at least 1")
