"""A table in less than a minute: the same path through code and files, on a handful of cases, for a few steps.

It shows that everything runs. What it measures says nothing about the networks, and is labelled so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import cannot_write
from AutofocusCore.models import Channel, Normalization
from AutofocusCore.models.terminology import structures
from AutofocusCore.phantom import make_phantom
from Training.configuration.config import Augmentation, Config, Data
from Training.configuration.split_file import FILE_NAME, read_split, split_text
from Training.preparing.data_list import read_data_list

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
    """The same experiment as small as possible.

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
    scans, last = config.scans, {"widen_after": STEPS - 1} if config.run.widen_after else {}
    if scans is not None:
        for name in ("fix_statistics_after", "unchanged_after", "decisive_after"):
            if getattr(scans, name):
                scans = replace(scans, **{name: STEPS - 1})
    source = "prepared" if (data / "data.json").is_file() else "folder"
    return replace(
        config,
        model=model,
        data=Data(source, folder=str(data), watch=0),
        scans=scans,
        segments=None if config.segments is None else replace(config.segments, size=SEGMENT, per_step=1, shares=()),
        optimizer=replace(config.optimizer, cycles=(), cycle_rates=()),
        run=replace(config.run, **SHORT, **last),
        augmentation=Augmentation(),
    )


def quick_data(config: Config, given: Path | None, out: Path) -> tuple[Path, bool]:
    """A folder with a few of the experiment's cases, or of phantoms where these are not at hand.

    Args:
        config: of the experiment.
        given: the folder of its data, in place of the configuration's.
        out: where the new folder is made; one that is there already must hold the same cases.

    Returns:
        The folder, and whether its cases are phantoms.

    Raises:
        InputError: the data cannot be used, or those in `out` are others.
        OutputError: the folder cannot be made.
    """
    source = given or (Path(config.data.folder) if config.data.folder else None)
    if source is not None and (source / FILE_NAME).is_file():
        return _copied(_few_of_folder(source), source, out / "data"), False
    if source is not None and (source / "data.json").is_file():
        return _copied(_few_of_prepared(source), source, out / "data"), False
    return _made(out / "phantoms", _few_phantoms), True


def _copied(few: dict[str, bytes], source: Path, folder: Path) -> Path:
    """The folder with these files, from `source`; one that is there is taken where it holds the same."""

    def make(place: Path) -> None:
        for name, content in few.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)

    if folder.is_dir() and any(_content(folder / name) != content for name, content in few.items()):
        raise InputError(f"{folder} holds cases of other data than {source}", "give another --out")
    return _made(folder, make)


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made beside its place and then renamed, unless it is there."""
    if folder.is_dir():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        make(partial)
        partial.replace(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def _few_of_folder(source: Path) -> dict[str, bytes]:
    """The files of a few cases by their names in the folder, its split.json among them."""
    names = read_split(source, ("train",))
    train = sorted(names["train"])
    test = sorted(names.get("validation") or train[TRAIN:])[:TEST]
    train = train[:TRAIN]
    if not train or not test:
        raise InputError(
            f"{source / FILE_NAME} lists {len(train)} cases to train on and {len(test)} to measure", "list some of both"
        )
    files = [f"{part}/{name}.nii.gz" for part in ("imagesTr", "labelsTr") for name in (*train, *test)]
    return {FILE_NAME: split_text(train, test).encode(), **{name: _read(source / name) for name in files}}


def _few_of_prepared(source: Path) -> dict[str, bytes]:
    """The files of a few cases by their names in the folder, its data.json among them."""
    listed = read_data_list(source)
    few = [case for case in listed.cases if case.labels and case.part == "train"][: TRAIN + TEST]
    if len(few) <= TRAIN:
        raise InputError(
            f"{source / 'data.json'} lists {len(few)} labelled training cases", f"have over {TRAIN} of them"
        )
    parts = {case.name: "train" if i < TRAIN else "test" for i, case in enumerate(few)}
    values = json.loads((source / "data.json").read_text(encoding="utf-8"))
    cases = [case for case in values["cases"] if case["name"] in parts]
    values["cases"] = [{**case, "fold": None, "part": parts[case["name"]]} for case in cases]
    files = {name: _read(source / name) for case in few for name in case.files}
    return {"data.json": json.dumps(values).encode(), **files}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "put it there, or take its case off") from None


def _content(path: Path) -> bytes | None:
    """The content of a file; None if it does not exist."""
    return path.read_bytes() if path.is_file() else None


def _few_phantoms(place: Path) -> None:
    names = [f"phantom_{seed}" for seed in range(TRAIN + TEST)]
    for part in ("imagesTr", "labelsTr"):
        (place / part).mkdir()
    for seed, name in enumerate(names):
        images = make_phantom(seed, size=PHANTOM_SIZE, spacing=(PHANTOM_MM,) * 3)
        for part, image in zip(("imagesTr", "labelsTr"), images, strict=True):
            sitk.WriteImage(image, str(place / part / f"{name}.nii.gz"))
    (place / FILE_NAME).write_text(split_text(names[:TRAIN], names[TRAIN:]), encoding="utf-8")
