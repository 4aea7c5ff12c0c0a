"""Measures the label maps in a folder, from any program, against the true ones in another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.io.atomic import stem_of, suffix_of
from AutofocusCore.io.outputs import SEGMENTATION_FORMATS
from Training.configuration.config import Config
from Training.evaluation.measures import Labels, Measures, measure_case
from Training.loop.known import contoured_in, contoured_structures, known_labels
from Training.loop.prepared import check_fits, parts_of
from Training.preparing.data_list import read_data_list

SHOWN = 5

Known = Callable[[str, sitk.Image], tuple[int, ...] | None]
"""The label values that are known in a case, None for all, by its name and its true label map."""


def label_maps(folder: Path) -> dict[str, list[Path]]:
    """The label maps of a folder by case, the file's name without its ending.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}", "check its path")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and suffix_of(path) in SEGMENTATION_FORMATS and not path.name.startswith("."):
            found.setdefault(stem_of(path), []).append(path)
    return found


Truth = Path | Mapping[str, Path]
"""A folder of true label maps, or their files by case."""


def pairs(predictions: Path, truth: Truth) -> dict[str, tuple[Path, Path]]:
    """Prediction and truth by case, for every true label map.

    Raises:
        InputError: no truth at all, a truth without a prediction, or two files of one case.
    """
    found = label_maps(predictions)
    true = label_maps(truth) if isinstance(truth, Path) else {case: [path] for case, path in truth.items()}
    if not true:
        raise InputError(f"{truth} holds no label map", f"give a folder of {', '.join(SEGMENTATION_FORMATS)}")
    missing = [case for case in true if case not in found]
    if missing:
        named = ", ".join(missing[:SHOWN]) + ("" if len(missing) <= SHOWN else f" and {len(missing) - SHOWN} more")
        raise InputError(f"{predictions} has no label map for {named}", "predict these too, or take their truth away")
    for case in true:
        for several in (found[case], true[case]):
            if len(several) > 1:
                raise InputError(f"{case} has two files: {several[0].name} and {several[1].name}", "keep one of them")
    return {case: (found[case][0], true[case][0]) for case in true}


def measure_label_maps(
    predictions: Path,
    truth: Truth,
    labels: Labels | None = None,
    say: Callable[[str], None] = print,
    known: Known | None = None,
) -> list[Measures]:
    """Measure every pair on the truth's own grid, in millimetres.

    Args:
        predictions: folder of label maps.
        truth: a folder with files of the same names, whatever their formats, or the files by case.
        labels: label values by structure; None: every value that occurs, as "label 1" and so on.
        say: receives a line for each case, and one for predictions without a truth.
        known: the label values that are known in a case, from its name and true label map; None: all in all cases. A
            case of which nothing is known is left out.

    Raises:
        InputError: what `pairs` says; no contour is used; a file that cannot be read or holds no labels; nothing but
            background; two grids that differ, or a grid that is sheared.
    """
    cases = pairs(predictions, truth)
    extra = sorted(label_maps(predictions).keys() - cases.keys())
    if extra:
        say(f"{len(extra)} predictions have no truth and are left out: {', '.join(extra[:SHOWN])}")
    if labels is None:
        values = sorted({int(v) for files in cases.values() for file in files for v in np.unique(_read(file)[1])} - {0})
        if not values:
            raise InputError("No label map holds anything but background", "check that these are the right folders")
        labels = {f"label {value}": (value,) for value in values}
    results = []
    for case, files in cases.items():
        (other, found), (grid, true) = (_read(path) for path in files)
        if not grid.same_as(other):
            raise InputError(f"Prediction and truth of {case} are not on the same grid", "resample the prediction")
        if grid.sheared:
            raise InputError(f"The axes of {case} are not perpendicular", "resample both onto perpendicular axes")
        there = known(case, read_image(files[1]).image) if known is not None else None
        if there == ():
            say(f"{case}: none of its contours is used")
            continue
        axis = 2 - int(np.abs(np.asarray(grid.direction).reshape(3, 3)[2]).argmax())  # from feet to head
        measured = measure_case(case, true, found, labels, tuple(reversed(grid.spacing)), known=there, axis=axis)
        say(f"{case}: " + "  ".join(f"{one.structure} {one.state} {one.dice:.3f}" for one in measured))
        results += measured
    if not results:
        raise InputError(
            "None of the contours in the true label maps is used", "look at data.unknown and data.volume_ml"
        )
    return results


def prepared_truth(config: Config, folder: Path | None = None) -> tuple[dict[str, Path], Known]:
    """The true label maps of a prepared folder's test cases on their scans' own grids, and what is known in them.

    Args:
        config: names the folder, its fold to test on, and contours that are not used.
        folder: in place of the configuration's.

    Raises:
        SettingError: the configuration's data are not prepared.
        InputError: the folder cannot be used, or does not fit the model.
    """
    if config.data.source != "prepared":
        raise SettingError(f"The data of {config.model.name} are not a prepared folder", "give --truth")
    place = Path(folder or config.data.folder)
    listed = read_data_list(place)
    check_fits(listed, config.model, place)
    beside, cases = contoured_structures(place), {case.name: case for case in listed.cases}
    _, test = parts_of(listed, config.data.fold, place)

    def known(case: str, labels: sitk.Image) -> tuple[int, ...] | None:
        contoured = contoured_in(cases[case], listed, beside, config.model)
        return known_labels(case, contoured, labels, config.data, config.model)

    return {name: place / str(cases[name].labels) for name in test}, known


def _read(path: Path) -> tuple[Grid, np.ndarray]:
    """The grid and the labels (D, H, W) of a label map."""
    scan = read_image(path)
    if scan.warnings:
        raise InputError(f"The labels of {path} cannot be used: {scan.warnings[0].rstrip('.')}", "correct it")
    values = sitk.GetArrayFromImage(scan.image)
    whole = np.rint(values)
    if (values != whole).any():
        raise InputError(
            f"{path} holds {values[values != whole].flat[0]:g}, which is not a label", "give whole numbers"
        )
    return Grid.of(scan.image), values
