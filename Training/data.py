"""Cases for training: read, checked and brought onto the model's grid by the very code that inference uses.

Every problem with the data is named before training starts, not hours into it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.body import body_mask
from AutofocusCore.images.preparing import prepare
from AutofocusCore.images.resampling import sample
from AutofocusCore.models import ModelSpec
from AutofocusCore.phantom import make_phantom

from .config import Config
from .sampling import Case

FIRST_TEST_PHANTOM = 1000
FIRST_WATCHED_PHANTOM = 900
SHOWN_PROBLEMS = 8


@dataclass
class Source:
    """A case that is prepared when it is first needed, and then kept."""

    name: str
    load: Callable[[], Case]
    _case: Case | None = field(default=None, repr=False)

    @property
    def case(self) -> Case:
        if self._case is None:
            self._case = self.load()
        return self._case


@dataclass(frozen=True)
class DataSet:
    """The cases to train on, those set aside from them to watch, and those to report on; and what identifies them."""

    train: list[Source]
    watch: list[Source]
    test: list[Source]
    checksum: str


def case_of(name: str, image: sitk.Image, labels: sitk.Image, spec: ModelSpec) -> Case:
    """An image and its labels on the model's grid, normalised as for inference; the ROI is the body, or everything."""
    prepared = prepare([image], spec)
    values = sample(labels, prepared.grid, 0.0, nearest=True).astype(np.uint8)
    roi = np.ones(values.shape, dtype=bool)
    if spec.normalization.mask == "body":
        roi = body_mask(sample(image, prepared.grid, float(sitk.GetArrayViewFromImage(image).min())), prepared.grid)
    return Case(name, prepared.volume, values, roi, prepared.background[0])


def load_data(config: Config, folder: Path | None = None) -> DataSet:
    """The cases that a configuration names.

    Args:
        folder: of the data set, in place of the configuration's.

    Raises:
        InputError: all that is wrong with the data, as one list.
    """
    if config.data.source == "phantom":
        return _phantoms(config)
    return _folder(config, folder or Path(config.data.folder))


def _phantoms(config: Config) -> DataSet:
    def source(seed: int) -> Source:
        name = f"phantom-{seed}"
        return Source(name, functools.cache(lambda: case_of(name, *make_phantom(seed), config.model)))  # made once

    def sources(first: int, count: int) -> list[Source]:
        return [source(first + i) for i in range(count)]

    train, watch, test = config.data.train, config.data.watch, config.data.test
    example, truth = make_phantom(0)
    digest = hashlib.sha256(sitk.GetArrayViewFromImage(example).tobytes())
    digest.update(sitk.GetArrayViewFromImage(truth).tobytes())
    return DataSet(
        sources(0, train), sources(FIRST_WATCHED_PHANTOM, watch), sources(FIRST_TEST_PHANTOM, test), digest.hexdigest()
    )


def _folder(config: Config, folder: Path) -> DataSet:
    split = folder / "split.json"
    try:
        names = json.loads(split.read_text(encoding="utf-8"))
        train, test = list(names["train"]), list(names["validation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{split} cannot be used ({error!r})", 'give a JSON file with the lists "train" and "validation", or --data'
        ) from None
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(f"{split} has {both[0]} both in training and in validation", "take it out of one of them")
    if config.data.watch >= len(train):
        raise InputError(f"{split} lists {len(train)} training cases", f"have more than data.watch={config.data.watch}")

    problems: list[str] = []
    digest = hashlib.sha256()
    sources: dict[str, Source] = {}
    for name in train + test[: config.data.test or None]:
        try:
            image, labels, content = _read_pair(folder, name, config.model.num_classes)
            digest.update(content)
            case = case_of(name, image, labels, config.model)
            sources[name] = Source(name, lambda case=case: case)  # type: ignore[misc]
        except AutofocusError as error:
            problems.append(f"{name}: {error}")
    if problems:
        more = f" (and {len(problems) - SHOWN_PROBLEMS} more)" if len(problems) > SHOWN_PROBLEMS else ""
        listed = " ".join(problems[:SHOWN_PROBLEMS])
        raise InputError(f"{len(problems)} cases of {folder} cannot be used: {listed}{more}", "mend or remove them")
    spaced = max(1, len(train) // max(config.data.watch, 1))
    watched = set(train[::spaced][: config.data.watch])
    return DataSet(
        [sources[n] for n in train if n not in watched],
        [sources[n] for n in train if n in watched],
        [sources[n] for n in test[: config.data.test or None]],
        digest.hexdigest(),
    )


def _read_pair(folder: Path, name: str, num_classes: int) -> tuple[sitk.Image, sitk.Image, bytes]:
    files = [folder / part / f"{name}.nii.gz" for part in ("imagesTr", "labelsTr")]
    for file, what in zip(files, ("image", "labels"), strict=True):
        if not file.is_file():
            raise InputError(f"It has no {what}", f"put {file.name} into {file.parent.name}, or take it off the split")
    image, labels = (read_image(file).image for file in files)
    if not Grid.of(image).same_as(Grid.of(labels)):
        raise InputError("Image and labels are not on the same grid", "resample the labels onto the image")
    values = np.unique(sitk.GetArrayViewFromImage(labels))
    unknown = [f"{v:g}" for v in values if v not in range(num_classes)]
    if unknown:
        raise InputError(f"Its labels hold {', '.join(unknown[:5])}", f"use whole numbers from 0 to {num_classes - 1}")
    if len(values) < 2:
        raise InputError("Its labels are all the same value", "label something, or take it off the split")
    return image, labels, b"".join(file.read_bytes() for file in files)


def names_of(sources: Sequence[Source]) -> list[str]:
    """The cases' names."""
    return [source.name for source in sources]
