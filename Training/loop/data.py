"""Cases for training: read, checked and brought onto the model's grid by the code that inference uses.

Every problem with the data is named before training starts, not hours into it.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.images import Grid
from AutofocusCore.phantom import make_phantom
from AutofocusCore.teaching.case import case_of, with_known
from Training.configuration.config import Config
from Training.configuration.split_file import FILE_NAME, read_split
from Training.loop.cases import (
    CaseCache,
    DataSet,
    Source,
    names_of,
    parts_to_use,
    refuse,
    remark_on_lost,
    remark_on_small,
)
from Training.loop.known import (
    Unused,
    contoured_structures,
    count_known,
    known_labels,
    remark_on_unused,
    unused_contours,
)
from Training.loop.prepared import load_prepared
from Training.preparing.contoured import CONTOURED
from Training.preparing.found import ImageFile

__all__ = ["DataSet", "Source", "case_of", "load_data", "names_of"]

FIRST_TEST_PHANTOM = 1000
FIRST_WATCHED_PHANTOM = 900
FIRST_CALIBRATION_PHANTOM = 1100
LEFT_OUT = 1100
"""Number of phantoms, from the first watched one on, that are never trained on."""
SHOWN_PHANTOM = 2018
"""The phantom of the demonstrations, which is never trained on either."""


def load_data(config: Config, folder: Path | None = None) -> DataSet:
    """The cases that a configuration names.

    Args:
        folder: of the data set, in place of the configuration's.

    Raises:
        InputError: all that is wrong with the data, as one list.
    """
    if config.data.source == "phantom":
        return _phantoms(config)
    load = load_prepared if config.data.source == "prepared" else _folder
    data = load(config, folder or Path(config.data.folder))
    remarks = data.remarks
    if config.segments is not None and any(count < len(data.train) for count in data.known.values()):
        remarks += ("Not every structure is known in every case, and segments take what is unknown for background.",)
    for remark in remarks:
        logging.getLogger(__name__).warning(remark)
    return data


def training_phantoms(count: int) -> list[int]:
    """Seeds of so many phantoms to train on."""
    seeds = [i if i < FIRST_WATCHED_PHANTOM else i + LEFT_OUT for i in range(count)]
    return [count + LEFT_OUT if seed == SHOWN_PHANTOM else seed for seed in seeds]


def _phantoms(config: Config) -> DataSet:
    def source(seed: int, cache: CaseCache) -> Source:
        name = f"phantom-{seed}"
        return Source(
            name, lambda: case_of(name, *make_phantom(seed, findings=config.data.findings), config.model), cache
        )

    kept = CaseCache(float("inf"))
    once = kept if config.scans is None or config.scans.cache else CaseCache(0.0)
    train, watch, test = config.data.train, config.data.watch, config.data.test
    example, truth = make_phantom(0, findings=config.data.findings)
    digest = hashlib.sha256(sitk.GetArrayViewFromImage(example).tobytes())
    digest.update(sitk.GetArrayViewFromImage(truth).tobytes())
    return DataSet(
        [source(seed, once) for seed in training_phantoms(train)],
        [source(FIRST_WATCHED_PHANTOM + i, kept) for i in range(watch)],
        [source(FIRST_TEST_PHANTOM + i, kept) for i in range(test)],
        digest.hexdigest(),
    )


def _folder(config: Config, folder: Path) -> DataSet:
    train, test = _split(config, folder)
    contoured = contoured_structures(folder)
    unused: list[Unused] = []
    problems: list[str] = []
    digest = hashlib.sha256()
    sources: dict[str, Source] = {}
    for name in train + test[: config.data.test or None]:
        try:
            image, labels, content = _read_pair(folder, name, config.model.num_classes)
            digest.update(content)
            if contoured and name not in contoured:
                raise InputError(f"{CONTOURED} does not list it", "list what was contoured in it")
            known = known_labels(name, contoured.get(name), labels, config.data, config.model)
            unused += unused_contours(name, labels, config.data, config.model).values()
            case = with_known(case_of(name, image, labels, config.model), known)
            if not case.labels.any():
                raise InputError(
                    "It has no foreground on the model's grid", "use smaller voxels, or remove it from the split"
                )
            sources[name] = Source(name, lambda case=case: case)  # type: ignore[misc]
        except AutofocusError as error:
            problems.append(f"{name}: {error}")
    if problems:
        refuse(problems, folder)
    train, watch, test = parts_to_use(train, test, config.data, str(folder / FILE_NAME))
    shapes = {name: sources[name].case.labels.shape for name in train}
    lost = {name: source.case.lost for name, source in sources.items()}
    return DataSet(
        [sources[n] for n in train],
        [sources[n] for n in watch],
        [sources[n] for n in test],
        digest.hexdigest(),
        remark_on_small(shapes, config.segments.size if config.segments is not None else (1, 1, 1))
        + remark_on_lost(lost, config.model)
        + remark_on_unused(unused),
        count_known([sources[n].case.known for n in train], config.model),
    )


def _split(config: Config, folder: Path) -> tuple[list[str], list[str]]:
    """Names to train on and to test on: the split's two parts, or, for a fold, its training part dealt out."""
    names, split = read_split(folder), folder / FILE_NAME
    train, test = names["train"], names["validation"]
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(f"{split} has {both[0]} both in training and in validation", "take it out of one of them")
    if config.data.fold is not None:
        every = sorted(train)
        train = [name for i, name in enumerate(every) if i % config.data.folds != config.data.fold]
        test = [name for i, name in enumerate(every) if i % config.data.folds == config.data.fold]
        if not test:
            raise InputError(f"{split} lists {len(every)} training cases", f"use fewer folds than {config.data.folds}")
    parts_to_use(train, test, config.data, str(split))  # refuses at once, before anything is read
    return train, test


def _read_pair(folder: Path, name: str, num_classes: int) -> tuple[sitk.Image, sitk.Image, bytes]:
    files = [folder / part / f"{name}.nii.gz" for part in ("imagesTr", "labelsTr")]
    for file, what in zip(files, ("image", "labels"), strict=True):
        if not file.is_file():
            raise InputError(
                f"It has no {what}", f"put {file.name} into {file.parent.name}, or remove it from the split"
            )
    scan, truth = (ImageFile(file).read() for file in files)
    if truth.warnings:
        raise InputError(f"Its labels cannot be used: {truth.warnings[0].rstrip('.')}", "export them again")
    image, labels = scan.image, truth.image
    if not Grid.of(image).same_as(Grid.of(labels)):
        raise InputError("Image and labels are not on the same grid", "resample the labels onto the image")
    values = np.unique(sitk.GetArrayViewFromImage(labels))
    unknown = [f"{v:g}" for v in values if v not in range(num_classes)]
    if unknown:
        raise InputError(f"Its labels hold {', '.join(unknown[:5])}", f"use whole numbers from 0 to {num_classes - 1}")
    if len(values) < 2:
        raise InputError("Its labels are all the same value", "label something, or remove it from the split")
    return image, labels, b"".join(file.read_bytes() for file in files)
