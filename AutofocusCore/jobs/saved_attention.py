"""Reads attention maps that `io/results.py` wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.results import reach_name, recalibration_name
from AutofocusCore.result import BACKGROUND, AttentionMap, ReachMap, Recalibration, rates_of

if TYPE_CHECKING:
    from AutofocusCore.models.parts import Structure

RATES_KEY = "axis 3 index values"


def read_attention(folder: str | Path, stem: str, structures: Sequence[Structure]) -> dict[str, Any]:
    """The fields "attention", "reach" and "recalibration" of a `SegmentationResult`.

    Args:
        folder: where the maps are; one that does not exist has none.
        stem: how their names begin, which is the segmentation's name without its extension.
        structures: of the segmentation.

    Raises:
        InputError: a file is damaged, or does not say what it contains.
    """
    folder = Path(folder)
    reach = recalibration = patient = None
    path = folder / reach_name(stem)
    if path.is_file():
        image = _read(path)
        values = sitk.GetArrayFromImage(image)
        patient = values > 0 if (values == 0).any() else None
        reach = ReachMap(values, Grid.of(image), patient)
    path = folder / recalibration_name(stem)
    if path.is_file():
        image = _read(path)
        classes = (BACKGROUND, *(structure.name for structure in structures))
        recalibration = Recalibration(_maps(image), Grid.of(image), classes)
    attention = {}
    name = re.compile(re.escape(stem) + r"_attention-(\d+)\.seq\.nrrd")
    for path in folder.iterdir() if folder.is_dir() else ():
        named = name.fullmatch(path.name)
        if named is not None:
            image = _read(path)
            grid = Grid.of(image)
            here = patient if patient is not None and patient.shape == grid.shape else None
            attention[int(named[1]) - 1] = AttentionMap(_maps(image), _rates(image, path), grid, here)
    return {"attention": dict(sorted(attention.items())), "reach": reach, "recalibration": recalibration}


def _rates(image: sitk.Image, path: Path) -> tuple[float, ...]:
    if not image.HasMetaDataKey(RATES_KEY):
        raise InputError(f"{path} does not say which dilation rates it holds", "delete it and segment again")
    return rates_of(image.GetMetaData(RATES_KEY))


def _maps(image: sitk.Image) -> Any:
    """(K, z, y, x), also for a single map."""
    view = sitk.GetArrayViewFromImage(image)
    view = view if image.GetNumberOfComponentsPerPixel() > 1 else view[..., None]
    return np.array(np.moveaxis(view, -1, 0), order="C")


def _read(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise InputError(f"{path} cannot be read", "delete it and segment again") from None
