"""One experiment as dataclasses, read from TOML and checked on construction; errors name field, value and remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from AutofocusCore import build_network
from AutofocusCore.models import Channel, ModelSpec, Normalization, Structure
from AutofocusCore.models.parts import from_mapping
from AutofocusCore.models.spec import ROI_MASKS
from AutofocusCore.models.terminology import KNOWN, structure
from Training.configuration.augmentation import Augmentation
from Training.configuration.building import build
from Training.configuration.settings import Baseline, Optimizer, Run, Scans, Segments, require
from Training.configuration.toml_files import read_values, toml_text


@dataclass(frozen=True)
class Data:
    """Where the cases come from.

    Args:
        source: "prepared", a folder that `prepare.py` made; "folder", images and labels in NIfTI, laid out as the
            Medical Segmentation Decathlon does, with a split.json; or "phantom".
        folder: of the data set; `--data` on the command line overrides it.
        train, watch, test: how many phantoms to train on, to look at while training, and to report on. Otherwise
            `watch` of the training cases are set aside, and `test` is the size of the test part, 0 for all of it:
            nothing is ever chosen by it.
        findings: whether phantoms have implants, calcifications and other findings beside their anatomy.
        fold: of cross-validation, from 0: its cases are the test part, and all other training cases are trained on.
            Left out, the test part is the one that the folder names.
        watch_from: "train", or "test": the cases to watch are then some of the test part, and the whole training part
            is trained on. Only for data whose test part is not what the model's figures come from.
        unknown: names of structures whose contours are not to be used, by case: wrong ones, for example. They are
            unknown there, not absent.
        volume_ml: for a structure, by its name, the least and the largest volume in mL that its contour is used with;
            where it is smaller or larger, it follows another convention and is unknown. In both, an empty list takes
            back what a base configuration says.
        folds: into how many folds a "folder" has its training cases dealt, by their sorted names. A prepared folder
            holds its folds.
    """

    source: str
    folder: str = ""
    train: int = 0
    watch: int = 10
    test: int = 0
    findings: bool = True
    fold: int | None = None
    folds: int = 0
    watch_from: str = "train"
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    volume_ml: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = ("prepared", "folder", "phantom")
        require(self.source in known, "data.source", self.source, f"use one of {', '.join(known)}")
        require(self.source == "phantom" or bool(self.folder), "data.folder", self.folder, "name the data's folder")
        require(self.source != "phantom" or self.train > 0, "data.train", self.train, "give the number of phantoms")
        require(self.watch >= 0, "data.watch", self.watch, "give 0 or more cases")
        require(self.test >= 0, "data.test", self.test, "give 0 or more cases")
        for name in ("unknown", "volume_ml"):
            object.__setattr__(self, name, {k: tuple(v) for k, v in getattr(self, name).items() if len(v)})
        require(self.watch_from in ("train", "test"), "data.watch_from", self.watch_from, "use train or test")
        for name, limits in self.volume_ml.items():
            fits = len(limits) == 2 and 0 <= limits[0] < limits[1]
            require(fits, f"data.volume_ml.{name}", limits, "give the least and the largest volume in mL")
        whole = self.fold is None or (isinstance(self.fold, int) and not isinstance(self.fold, bool) and self.fold >= 0)
        require(whole, "data.fold", self.fold, "give a whole number from 0")
        if self.source == "folder" and self.fold is not None:
            require(self.folds >= 2, "data.folds", self.folds, "say into how many folds, at least 2, data.fold counts")
            require(self.fold < self.folds, "data.fold", self.fold, f"give 0 to {self.folds - 1}")
        else:
            require(self.folds == 0, "data.folds", self.folds, "leave it out; it goes with a 'folder' and data.fold")
        require(self.fold is None or self.source != "phantom", "data.fold", self.fold, "leave it out for phantoms")


@dataclass(frozen=True)
class Config:
    """An experiment: the model's description (its card without the figures), data and training.

    Either `segments` or `scans` says what the network learns from: crops, or whole scans in the ROI domain.
    """

    model: ModelSpec
    data: Data
    run: Run
    segments: Segments | None = None
    scans: Scans | None = None
    baseline: Baseline | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: Optimizer = field(default_factory=Optimizer)

    def __post_init__(self) -> None:
        one = (self.segments is None) != (self.scans is None)
        require(one, "segments", self.segments, "give one of the tables [segments] and [scans]")
        domain = self.model.architecture.get("domain", "box")
        fits = (domain == "roi") == (self.scans is not None)
        require(fits, "model.architecture.domain", domain, 'use "roi" with [scans], "box" with [segments]')
        fits = self.baseline is None or self.scans is not None
        require(fits, "baseline", self.baseline, "leave it out for [segments]")
        augmentation, cycles = self.augmentation, self.optimizer.cycles
        for name in ("elastic", "gamma", "streaks", "cut"):
            value = getattr(augmentation, name)
            require(not value or self.scans is not None, f"augmentation.{name}", value, "leave it 0 for [segments]")
        fits = not augmentation.gamma or self.model.normalization.method == "window"
        require(fits, "augmentation.gamma", augmentation.gamma, "leave it 0; values must be from 0 to 1 for it")
        fits = not augmentation.monai or self.scans is None
        require(fits, "augmentation.monai", augmentation.monai, "leave it out for [scans]")
        remedy = f"make them {self.run.steps} steps together, as run.steps says, or leave them out"
        require(not cycles or sum(cycles) == self.run.steps, "optimizer.cycles", cycles, remedy)
        steps = self.run.steps or self.run.epochs * self.run.epoch_steps  # 0: known when the cases are counted
        if self.scans is not None and steps:
            self.scans.refuse_unreached(steps)
        names = {structure.name for structure in self.model.structures}
        named = {*self.data.volume_ml, *(name for listed in self.data.unknown.values() for name in listed)}
        require(named <= names, "data.unknown and data.volume_ml", sorted(named - names), f"use {', '.join(names)}")
        after, width = self.run.widen_after, self.model.architecture.get("width", 1.0)
        fits = after == 0 or (width > 1 and self.baseline is None and (not self.run.steps or after < self.run.steps))
        remedy = "give less than run.steps, with a model.architecture.width above 1, or 0 for never"
        require(fits, "run.widen_after", after, remedy)
        structures, swap = len(self.model.structures), self.augmentation.swap
        shares = self.segments.shares if self.segments is not None else ()
        fits = all(label <= structures for pair in swap for label in pair)
        require(fits, "augmentation.swap", swap, f"use labels from 1 to {structures}, the number of structures")
        remedy = f"give {structures + 1} shares, the background's first, or none"
        require(len(shares) in (0, structures + 1), "segments.shares", shares, remedy)

    def model_at(self, step: int) -> ModelSpec:
        """The model after so many steps: that of the run's end, or up to `run.widen_after` one of the paper's width."""
        if not 0 <= step <= self.run.widen_after or self.run.widen_after == 0:
            return self.model
        narrow = {name: value for name, value in self.model.architecture.items() if name != "width"}
        return replace(self.model, architecture=narrow)


def model_of(values: dict[str, Any]) -> ModelSpec:
    """The `[model]` table: a `ModelSpec` whose structures are known by name and whose class counts follow from it."""
    values = {"orientation": "RAS", **values}
    for name in ("structures", "channels", "normalization", "architecture"):
        require(name in values, f"model field {name}", None, "it cannot be left out")
    for name in ("structures", "channels"):
        require(isinstance(values[name], (list, tuple)), f"model.{name}", values[name], "make it a list, in [ ]")
    architecture = values["architecture"]
    require(isinstance(architecture, Mapping), "model.architecture", architecture, "make it a table of named values")
    channels = tuple(build(Channel, channel, "model.channels") for channel in values["channels"])
    counts = {"in_channels": len(channels), "num_classes": len(values["structures"]) + 1}
    if architecture.get("width") == 1:  # the same experiment as one that does not name it
        architecture = {name: value for name, value in architecture.items() if name != "width"}
    ready = {
        **values,
        "channels": channels,
        "structures": tuple(_structure(one, label) for label, one in enumerate(values["structures"], start=1)),
        "normalization": build(Normalization, values["normalization"], "model.normalization"),
        "architecture": {**architecture, **counts},
    }
    if architecture.get("domain") == "roi":  # where statistics are taken over is where the patient is
        ready.setdefault("roi", next(roi for roi, mask in ROI_MASKS.items() if mask == ready["normalization"].mask))
    spec = build(ModelSpec, ready, "model")
    build_network(**spec.architecture)  # reports an invalid option at once
    return spec


def _structure(value: object, label: int) -> Structure:
    """A structure under a label: known by its name, or a table with name, colour and codes of its own.

    A table without codes is a known structure's, of which it changes what it says: {name = "Larynx", connected = true}.
    """
    if not isinstance(value, Mapping):
        return structure(str(value), label)
    if value.get("name") in KNOWN and not {"type", "category"} & set(value):
        known = structure(value["name"], label)
        fields = {one.name: getattr(known, one.name) for one in dataclasses.fields(known)}
        for name in value:
            require(name in fields, f"field of {known.name}", name, f"the fields are {', '.join(fields)}")
        value = {**fields, **value}
    return from_mapping(Structure, {**value, "label": label}, f"structure {label}")


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The experiment that a TOML file describes.

    Args:
        path: of the file, which may begin from another: ``base = "file.toml"``, relative to its folder.
        overrides: "table.field=value" each, in place of what the files say.

    Raises:
        SettingError: no such file, not TOML, an unknown field, or a value that makes no sense.
        ModelError: a description of the model that makes no sense.
    """
    return config_of(read_values(path, overrides))


def config_of(values: Mapping[str, Any]) -> Config:
    """The experiment that the values of a TOML file describe; raises as :func:`load_config`."""
    return build(Config, values, "file", {ModelSpec: model_of})


def as_toml(config: Config) -> str:
    """The whole experiment as one TOML file that :func:`load_config` reads back, defaults and overrides included."""
    return toml_text(dataclasses.asdict(config))
