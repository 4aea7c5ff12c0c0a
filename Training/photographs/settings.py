"""An experiment with scale streams on photographs, as checked dataclasses read from TOML.

Experiments on volumes: see config.py, where scale streams are trained like other networks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from AutofocusCore.networks.scale_streams import StreamOptions
from Training.configuration.building import build
from Training.configuration.settings import require, require_known
from Training.configuration.toml_files import read_values, toml_text

LAYOUTS = {"voc2012": 21, "ade20k": 150}
"""Number of classes by layout of the data set; for VOC, the background included."""


@dataclass(frozen=True)
class Photographs:
    """Location of the photographs and their labels; see data.py for the layouts.

    Args:
        layout: "voc2012" or "ade20k".
        folder: folder of the data set; `--data` on the command line overrides it.
        train, validation: lists of photographs, relative to the folder; empty: those of the layout.
    """

    layout: str
    folder: str
    train: str = ""
    validation: str = ""

    def __post_init__(self) -> None:
        require_known(self.layout, "data.layout", tuple(LAYOUTS))
        require(bool(self.folder), "data.folder", self.folder, "name the data's folder")


@dataclass(frozen=True)
class Crops:
    """Training crops.

    Args:
        size: height and width in pixels; smaller photographs are extended with the mean colour, unlabelled.
        per_step: crops in a batch.
        scaling: smallest and largest factor of the photograph's size; uniformly distributed.
        flip: mirror half of the crops from left to right.
    """

    size: tuple[int, int] = (321, 321)
    per_step: int = 10
    scaling: tuple[float, float] = (0.5, 1.5)
    flip: bool = True

    def __post_init__(self) -> None:
        fits = len(self.size) == 2 and all(isinstance(n, int) and n > 0 for n in self.size)
        require(fits, "crops.size", self.size, "give two positive whole numbers: height, width")
        require(self.per_step > 0, "crops.per_step", self.per_step, "give at least 1")
        fits = len(self.scaling) == 2 and 0 < self.scaling[0] <= self.scaling[1]
        require(fits, "crops.scaling", self.scaling, "give the smallest and the largest factor, above 0")


@dataclass(frozen=True)
class Descent:
    """SGD with the "poly" rate: learning_rate * (1 - step / steps) ** power.

    Args:
        learning_rate: initial rate of the encoder.
        decoder: factor of the rate for all other layers.
        momentum, weight_decay: as in PyTorch.
        power: power of the schedule.
    """

    learning_rate: float = 1e-3
    decoder: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    power: float = 0.9

    def __post_init__(self) -> None:
        for name in ("learning_rate", "decoder", "power"):
            require(getattr(self, name) > 0, f"descent.{name}", getattr(self, name), "give more than 0")
        require(0 <= self.momentum < 1, "descent.momentum", self.momentum, "give 0 to below 1")
        require(self.weight_decay >= 0, "descent.weight_decay", self.weight_decay, "give 0 or more")


@dataclass(frozen=True)
class Length:
    """Length and computation of a run.

    Args:
        steps: number of optimisation steps.
        precision: "bfloat16" if the processor supports it, or "float32".
        checkpoint_every: steps between checkpoints.
        seed: seed of all random numbers.
    """

    steps: int
    precision: str = "float32"
    checkpoint_every: int = 500
    seed: int = 1

    def __post_init__(self) -> None:
        require(self.steps > 0, "run.steps", self.steps, "give at least 1")
        require_known(self.precision, "run.precision", ("bfloat16", "float32"))
        require(self.checkpoint_every > 0, "run.checkpoint_every", self.checkpoint_every, "give at least 1")
        require(self.seed >= 0, "run.seed", self.seed, "give 0 or more")


@dataclass(frozen=True)
class StreamsConfig:
    """One experiment. `network` holds options of :class:`AutofocusCore.networks.scale_streams.StreamOptions`."""

    network: dict[str, Any]
    data: Photographs
    run: Length
    crops: Crops = field(default_factory=Crops)
    descent: Descent = field(default_factory=Descent)

    def __post_init__(self) -> None:
        known = {one.name for one in dataclasses.fields(StreamOptions)}
        for name in self.network:
            require(name in known, "field of network", name, f"the fields are {', '.join(sorted(known))}")
        dims = StreamOptions(**self.architecture).spatial_dims
        require(dims == 2, "network.spatial_dims", dims, "give 2; for volumes use Training/train.py")

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of the network: the options, three channels, and the number of classes of the data set."""
        return {"in_channels": 3, "num_classes": LAYOUTS[self.data.layout], **self.network}


def load_streams_config(path: Path, overrides: Sequence[str] = ()) -> StreamsConfig:
    """The experiment that a TOML file describes; `base` and `overrides` as for `load_config`.

    Raises:
        SettingError: the file is missing or not TOML, a field is unknown, or a value is invalid.
    """
    return build(StreamsConfig, read_values(path, overrides), "file")


def streams_toml(config: StreamsConfig) -> str:
    """The whole experiment as TOML, defaults included, for :func:`load_streams_config`."""
    return toml_text(dataclasses.asdict(config))
