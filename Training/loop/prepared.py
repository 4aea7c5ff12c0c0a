"""Cases of a prepared folder: all problems are reported together at the start; each case is loaded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.geometry import model_grid
from AutofocusCore.images.resampling import sample
from AutofocusCore.models import ModelSpec
from AutofocusCore.teaching.case import Case, case_of, each_or_all, with_known
from AutofocusCore.teaching.sampled_labels import SampledLabels
from Training.configuration.config import Config
from Training.loop.cases import CaseCache, DataSet, Source, parts_to_use, refuse, remark_on_lost, remark_on_small, some
from Training.loop.known import (
    Unused,
    contoured_in,
    contoured_structures,
    count_known,
    known_labels,
    remark_on_suspects,
    remark_on_unused,
    unused_contours,
)
from Training.preparing.data_list import CaseEntry, DataList, read_data_list, sha256_of

NOTHING_USED = "None of its contours is used, as data.unknown and data.volume_ml say."


def load_prepared(config: Config, folder: Path) -> DataSet:
    """The cases of a prepared folder: those of the fold to test on and the others to train on, or by their parts.

    Raises:
        InputError: the folder is not for this model, has no such fold, or all that is wrong with its cases.
    """
    listed = read_data_list(folder)
    check_fits(listed, config.model, folder)
    by_name = {case.name: case for case in listed.cases}
    train, test = parts_of(listed, config.data.fold, folder)
    train, watch, test = parts_to_use(train, test, config.data, str(folder))

    beside = contoured_structures(folder)
    contoured = {name: contoured_in(case, listed, beside, config.model) for name, case in by_name.items()}
    problems: list[str] = []
    looked: dict[str, _Examined] = {}
    digest = hashlib.sha256()
    parts = {"train": train, "watch": watch, "test": [name for name in test if name not in watch]}
    for part, names in parts.items():
        for name in names:
            case = by_name[name]
            looked[name] = _examine(case, folder, config, contoured[name])
            problems += [f"{name}: {' '.join(looked[name].faults)}"] if looked[name].faults else []
            told = f" unknown {case.unknown}" if case.unknown else ""
            digest.update(f"{part} {name} {' '.join(case.sha256[path] for path in case.files)}{told}\n".encode())
    empty = [name for name in by_name if name in looked and not looked[name].is_known]
    if not problems and set(train) <= set(empty):
        problems = [f"{name}: {NOTHING_USED}" for name in train]
    if problems:
        refuse(problems, folder)
    train, watch, test = ([name for name in names if name not in empty] for names in (train, watch, test))
    looked = {name: one for name, one in looked.items() if name not in empty}
    grids = {name: _grid_of(folder / by_name[name].images[0]) for name in train}
    shapes = {n: model_grid(g, config.model.orientation, config.model.spacing).shape for n, g in grids.items()}
    cache = CaseCache(None if config.scans is None or config.scans.cache else 0.0)
    normalised = listed.preparation.get("normalization") is not None

    def sources(names: Sequence[str]) -> list[Source]:
        return [Source(n, lambda n=n: _load(by_name[n], folder, config, normalised, looked[n]), cache) for n in names]

    size = config.segments.size if config.segments is not None else (1, 1, 1)
    known = {name: looked[name].known for name in train}
    remarks = remark_on_small(shapes, size)
    remarks += (f"Left out, because none of their contours is used: {some(empty)}.",) if empty else ()
    remarks += remark_on_lost({name: one.lost for name, one in looked.items()}, config.model)
    remarks += remark_on_unused([contour for one in looked.values() for contour in one.unused])
    remarks += remark_on_suspects(listed, known)
    counts = count_known(list(known.values()), config.model)
    return DataSet(sources(train), sources(watch), sources(test), digest.hexdigest(), remarks, counts)


def check_fits(listed: DataList, model: ModelSpec, folder: Path) -> None:
    """Refuse data whose channels, structures or normalisation are not the model's.

    Raises:
        InputError: which, and what to do.
    """
    wanted = {str(structure.label): structure.name for structure in model.structures}
    if {k: _plain(v) for k, v in listed.structures.items()} != {k: _plain(v) for k, v in wanted.items()}:
        raise InputError(
            f"{folder} has the structures {', '.join(listed.structures.values())}, but the model "
            f"{', '.join(wanted.values())}",
            "name them alike, in the same order, in [model] and with prepare.py's --structures",
        )
    if [_plain(name) for name in listed.channels] != [_plain(channel.name) for channel in model.channels]:
        raise InputError(
            f"{folder} has the channels {', '.join(listed.channels)}, but the model "
            f"{', '.join(channel.name for channel in model.channels)}",
            "name them alike, in the same order, in [[model.channels]] and in the preparation",
        )
    done = listed.preparation.get("normalization")
    own = asdict(model.normalization)
    if done is not None and {k: _tuple(v) for k, v in done.items()} != {k: _tuple(v) for k, v in own.items()}:
        raise InputError(
            f"{folder} is normalised already, by {done}, and the model asks for {own}",
            "write the former into [model.normalization], or prepare the data without --normalise",
        )


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def parts_of(listed: DataList, fold: int | None, folder: Path) -> tuple[list[str], list[str]]:
    """Names to train on and to test on.

    Raises:
        InputError: there is no such fold.
    """
    train = [case for case in listed.cases if case.part == "train"]
    if fold is None:
        return [c.name for c in train], [c.name for c in listed.cases if c.part == "test" and c.labels is not None]
    folds = sorted({case.fold for case in train if case.fold is not None})
    if fold not in folds:
        raise InputError(
            f"{folder} has no fold {fold}",
            f"it has {', '.join(map(str, folds))}" if folds else "prepare it with --folds, or leave data.fold out",
        )
    return [c.name for c in train if c.fold != fold], [c.name for c in train if c.fold == fold]


@dataclass(frozen=True)
class _Examined:
    """Result of checking a case's files.

    Args:
        faults: problems that would stop or spoil a training, one sentence each.
        labels: on the model's grid; None where a problem was found before they were sampled.
        known: labels of the structures that are known; None for all.
        lost: labels of these that are not there on the model's grid.
        unused: contours that are there and not used.
        is_known: whether any contour is used.
    """

    faults: tuple[str, ...]
    labels: SampledLabels | None = None
    known: tuple[int, ...] | None = None
    lost: tuple[int, ...] = ()
    unused: tuple[Unused, ...] = ()
    is_known: bool = True


def _examine(case: CaseEntry, folder: Path, config: Config, contoured: Sequence[str] | None) -> _Examined:
    if case.labels is None:
        return _Examined(("It has no labels; remove it from data.json, or make it part of the tests.",))
    missing = [path for path in case.files if not (folder / path).is_file()]
    if missing:
        return _Examined((f"{missing[0]} is not there; run prepare.py again.",))
    changed = [path for path in case.files if sha256_of(folder / path) != case.sha256[path]]
    if changed:
        return _Examined((f"{changed[0]} is not what data.json says (checksum); run prepare.py again.",))
    problems = []
    try:
        grids = {path: _grid_of(folder / path) for path in case.files}
        grid = grids[case.images[0]]
        problems += [f"{p} is not on the grid of {case.images[0]}." for p, g in grids.items() if not g.same_as(grid)]
        labels = sitk.ReadImage(str(folder / case.labels))
    except RuntimeError:
        return _Examined((*problems, "A file of it cannot be read; run prepare.py again."))
    values = np.unique(sitk.GetArrayViewFromImage(labels))
    strange = [f"{v:g}" for v in values if v not in range(config.model.num_classes)]
    if strange:
        problems.append(f"Its labels hold {', '.join(strange[:5])}; use 0 to {config.model.num_classes - 1}.")
    if not values.any():
        problems.append("It has no foreground; take it out.")
    if problems:
        return _Examined(tuple(problems))
    model = config.model
    known = known_labels(case.name, contoured, labels, config.data, model)
    unused = tuple(unused_contours(case.name, labels, config.data, model).values())
    sampled = SampledLabels.of(labels, model_grid(grid, model.orientation, model.spacing))
    on_grid = sampled.whole()
    if not on_grid.any():
        problems.append("It has no foreground on the model's grid; use smaller voxels, or take it out.")
    is_known = known is None or bool(np.isin(on_grid, known).any())
    lost = tuple(label for label in sampled.lost(on_grid) if known is None or label in known)
    return _Examined(tuple(problems), sampled, known, lost, unused, is_known)


def _grid_of(path: Path) -> Grid:
    """The grid of an image file, from its header alone."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return Grid(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())


def _load(case: CaseEntry, folder: Path, config: Config, normalised: bool, examined: _Examined) -> Case:
    model, labels = config.model, examined.labels
    assert labels is not None  # the training is refused otherwise
    try:
        images = [read_image(folder / path).image for path in case.images]
        roi = read_image(folder / case.roi).image if case.roi and config.scans is None else None
        if not normalised:
            return with_known(case_of(case.name, images, labels, model, roi), examined.known)
    except AutofocusError as error:
        raise InputError(f"{case.name}: {error.cause}", error.remedy) from None
    grid = model_grid(Grid.of(images[0]), model.orientation, model.spacing)
    background = case.background or (0.0,) * len(images)
    volume = np.stack([sample(image, grid, value) for image, value in zip(images, background, strict=True)])
    within = np.ones(grid.shape, dtype=bool) if roi is None else sample(roi, grid, 0.0, nearest=True) > 0
    truth = labels.within(grid)
    lost, spacing = labels.lost(truth), grid.spacing[::-1]
    ready = Case(case.name, volume, truth, within, each_or_all(background), lost=lost, spacing=spacing)
    return with_known(ready, examined.known)
