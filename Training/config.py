"""One experiment as dataclasses: read from TOML, checked on construction, errors naming the field and what would do."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from AutofocusCore import build_network
from AutofocusCore.errors import SettingError
from AutofocusCore.models import Channel, ModelSpec, Normalization
from AutofocusCore.models.terminology import structures

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser, before it was part of Python
    import tomli as tomllib

Part = TypeVar("Part")


def require(holds: bool, name: str, value: object, remedy: str) -> None:
    """Raise a SettingError that names the field, its value and what would do, unless the condition holds."""
    if not holds:
        raise SettingError(f"The configuration's {name} is {value!r}", remedy)


@dataclass(frozen=True)
class Data:
    """Where the cases come from.

    Args:
        source: "folder", images and labels in NIfTI, laid out as the Medical Segmentation Decathlon does; or "phantom".
        folder: of the data set, with imagesTr, labelsTr and split.json; `--data` on the command line overrides it.
        train, watch, test: how many phantoms to train on, to look at while training, and to report on. For a folder
            `watch` of the training cases are set aside, and `test` is the size of the split's validation part, 0 for
            all of it: nothing is ever chosen by it.
    """

    source: str
    folder: str = ""
    train: int = 0
    watch: int = 10
    test: int = 0

    def __post_init__(self) -> None:
        require(self.source in ("folder", "phantom"), "data.source", self.source, "use 'folder' or 'phantom'")
        require(self.source == "phantom" or bool(self.folder), "data.folder", self.folder, "name the data's folder")
        require(self.source == "folder" or self.train > 0, "data.train", self.train, "give the number of phantoms")
        require(self.watch >= 0, "data.watch", self.watch, "give 0 or more cases")
        require(self.test >= 0, "data.test", self.test, "give 0 or more cases")


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


@dataclass(frozen=True)
class Config:
    """An experiment: what the model is to be (the card of its bundle, but for the figures), and how it gets there."""

    model: ModelSpec
    data: Data
    segments: Segments
    run: Run
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: Optimizer = field(default_factory=Optimizer)


def _model(values: dict[str, Any]) -> ModelSpec:
    """The `[model]` table: a `ModelSpec` whose structures are known by name and whose class counts follow from it."""
    values = {"orientation": "RAS", **values}
    for name in ("structures", "channels", "normalization", "architecture"):
        require(name in values, f"model field {name}", None, "it cannot be left out")
    channels = tuple(_built(Channel, channel, "model.channels") for channel in values["channels"])
    counts = {"in_channels": len(channels), "num_classes": len(values["structures"]) + 1}
    ready = {
        **values,
        "channels": channels,
        "structures": structures(*values["structures"]),
        "normalization": _built(Normalization, values["normalization"], "model.normalization"),
        "architecture": {**values["architecture"], **counts},
    }
    spec = _built(ModelSpec, ready, "model")
    build_network(**spec.architecture)  # says at once which option makes no sense
    return spec


def _built(cls: type[Part], values: dict[str, Any], where: str) -> Part:
    if not isinstance(values, dict):
        raise SettingError(f"The configuration's {where} is {values!r}", "make it a table of named values")
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        require(name in fields, f"field of {where}", name, f"the fields are {', '.join(fields)}")
    for name, one in fields.items():
        missing = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        require(name in values or not missing, f"{where} field {name}", None, "it cannot be left out")
    ready = {}
    for name, value in values.items():
        kind = hints[name]
        if isinstance(value, dict) and kind is ModelSpec:
            value = _model(value)
        elif isinstance(value, dict) and dataclasses.is_dataclass(kind):
            value = _built(kind, value, name)  # type: ignore[arg-type]
        elif isinstance(value, list):
            value = tuple(value)
        wanted: Any = {int: int, float: (int, float), str: str}.get(kind)
        if wanted is not None:
            good = isinstance(value, wanted) and not isinstance(value, bool)
            require(good, f"{where}.{name}", value, f"give a value of the type {kind.__name__}")
        ready[name] = value
    return cls(**ready)


def load_config(path: Path) -> Config:
    """The experiment a TOML file describes.

    Raises:
        SettingError: no such file, not TOML, an unknown field, or a value that makes no sense.
        ModelError: a description of the model that makes no sense.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"The configuration {path} cannot be read ({error.strerror})", "check its path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"The configuration {path} is not TOML ({error})", "correct the line it names") from None
    return _built(Config, values, "file")
