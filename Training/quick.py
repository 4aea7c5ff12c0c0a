"""A table in less than a minute: the same path through code and files, on a handful of cases, for a few steps.

It shows that everything runs. What it measures says nothing about the networks, and is labelled so.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from AutofocusCore.models import Channel, Normalization
from AutofocusCore.models.terminology import structures
from AutofocusCore.phantom import make_phantom
from Training.config import Augmentation, Config, Data

TRAIN, TEST = 3, 2
STEPS = 2
SEGMENT = (9, 9, 9)
SHORT = {
    "steps": STEPS, "epochs": 0, "epoch_steps": 0, "accumulate": 1, "checkpoint_every": STEPS, "watch_every": 0,
}  # fmt: skip
COARSER = 3.0
"""The grid of real cases is made this much coarser."""
PHANTOM_MM = 12.0
PHANTOM_SIZE = (36, 28, 20)
PHANTOM_STRUCTURES = ("Prostate", "Seminal vesicles", "Bladder", "Rectum", "Left femur", "Right femur")

LABEL = f"SMOKE RUN: {STEPS} steps on {TRAIN} cases, measured on {TEST}. It shows that everything runs; \
the figures say nothing about the networks."


def quick_config(config: Config, data: Path, phantoms: bool) -> Config:
    """The same experiment, as small as it gets.

    Args:
        config: the real one.
        data: folder of the few cases.
        phantoms: whether these are phantoms, which are CT with other structures than the experiment's.
    """
    model = config.model
    if phantoms:
        counts = {"in_channels": 1, "num_classes": len(PHANTOM_STRUCTURES) + 1}
        model = replace(
            model,
            channels=(Channel("CT", "CT"),),
            structures=structures(*PHANTOM_STRUCTURES),
            normalization=Normalization("window", "body", window=(-150.0, 250.0)),
            architecture={**model.architecture, **counts},
            spacing=(PHANTOM_MM,) * 3,
            synthetic=True,
        )
    elif model.spacing is not None:
        x, y, z = model.spacing
        model = replace(model, spacing=(COARSER * x, COARSER * y, COARSER * z))
    source = "prepared" if (data / "data.json").is_file() else "folder"
    return replace(
        config,
        model=model,
        data=Data(source, folder=str(data), watch=0),
        segments=replace(config.segments, size=SEGMENT, per_step=1, shares=()),
        run=replace(config.run, **SHORT),
        augmentation=Augmentation(),
    )


def quick_data(config: Config, given: Path | None, out: Path) -> tuple[Path, bool]:
    """A folder with a few of the experiment's cases, or of phantoms where these are not at hand.

    Args:
        config: of the experiment.
        given: the folder of its data, in place of the configuration's.
        out: where the new folder is made; one that is there already is taken as it is.

    Returns:
        The folder, and whether its cases are phantoms.
    """
    source = given or (Path(config.data.folder) if config.data.folder else None)
    if source is not None and (source / "split.json").is_file():
        return _made(out / "data", lambda place: _few_of_folder(source, place)), False
    if source is not None and (source / "data.json").is_file():
        return _made(out / "data", lambda place: _few_of_prepared(source, place)), False
    return _made(out / "phantoms", _few_phantoms), True


def _made(folder: Path, make: Any) -> Path:
    """The folder, made beside its place and then renamed, unless it is there."""
    if not folder.is_dir():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.replace(folder)
    return folder


def _few_of_folder(source: Path, place: Path) -> None:
    names = json.loads((source / "split.json").read_text(encoding="utf-8"))
    train = sorted(names["train"])
    test = (sorted(names.get("validation") or train[TRAIN:]))[:TEST]
    train = train[:TRAIN]
    for part in ("imagesTr", "labelsTr"):
        (place / part).mkdir()
        for name in (*train, *test):
            shutil.copy(source / part / f"{name}.nii.gz", place / part)
    _write_split(place, train, test)


def _few_of_prepared(source: Path, place: Path) -> None:
    values = json.loads((source / "data.json").read_text(encoding="utf-8"))
    few = [case for case in values["cases"] if case["labels"] and case["part"] == "train"][: TRAIN + TEST]
    values["cases"] = [{**case, "fold": None, "part": "train" if i < TRAIN else "test"} for i, case in enumerate(few)]
    for case in few:
        for name in [*case["images"], case["labels"], *([case["roi"]] if case["roi"] else [])]:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, place / name)
    (place / "data.json").write_text(json.dumps(values), encoding="utf-8")


def _few_phantoms(place: Path) -> None:
    names = [f"phantom_{seed}" for seed in range(TRAIN + TEST)]
    for part in ("imagesTr", "labelsTr"):
        (place / part).mkdir()
    for seed, name in enumerate(names):
        images = make_phantom(seed, size=PHANTOM_SIZE, spacing=(PHANTOM_MM,) * 3)
        for part, image in zip(("imagesTr", "labelsTr"), images, strict=True):
            sitk.WriteImage(image, str(place / part / f"{name}.nii.gz"))
    _write_split(place, names[:TRAIN], names[TRAIN:])


def _write_split(place: Path, train: list[str], test: list[str]) -> None:
    split = {"train": train, "validation": test}
    (place / "split.json").write_text(json.dumps(split), encoding="utf-8")
