"""The attention files of `autofocus segment --attention`: the layers, and where to show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images.body import body_mask
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import sample
from AutofocusCore.io.slicer_nrrd import read_keys
from AutofocusCore.models import ModelSpec

LEGEND_TITLE = "Effective dilation (mm)"
REACH = "Reach, all layers together"
REACH_LEGEND = "Reach (mm)"


@dataclass(frozen=True)
class Layer:
    """The effective dilation of one autofocus layer.

    Attributes:
        number: 1 is the first layer.
        path: the volume of effective dilations in mm.
        rates_mm: the layer's dilation rates in mm of that volume.
    """

    number: int
    path: Path
    rates_mm: tuple[float, ...]


def find_layers(written: Iterable[Path]) -> list[Layer]:
    """The layers with attention among the written files, first layer first; empty for networks without such layers."""
    layers = []
    for path in written:
        found = re.fullmatch(r"(.*)_dilation-(\d+)\.nrrd", path.name)
        if found is None:
            continue
        number = int(found[2])
        rates = _rates(path.with_name(f"{found[1]}_attention-{number}.seq.nrrd"))
        spacing = sitk.ReadImage(str(path)).GetSpacing()
        voxel = float(np.prod(spacing)) ** (1 / 3)  # as AttentionMap converts voxels to mm
        layers.append(Layer(number, path, tuple(round(rate * voxel, 3) for rate in rates)))
    return sorted(layers, key=lambda layer: layer.number)


def find_reach(written: Iterable[Path]) -> Path | None:
    """The volume that says how far the network looked from each voxel, in mm; None where the model has no such map."""
    return next((path for path in written if path.name.endswith("_reach.nrrd")), None)


def reach_limits(layers: Sequence[Layer]) -> tuple[float, float]:
    """Two distances in mm: the autofocus layers together look as far as the first at the least, the second at most."""
    return sum(min(layer.rates_mm) for layer in layers), sum(max(layer.rates_mm) for layer in layers)


def words_for(layer: Layer, count: int, spec: ModelSpec) -> tuple[str, str]:
    """The name of one of ``count`` overlays, and the title of its colour legend."""
    if spec.architecture["architecture"] == "scale-streams":
        return "Voxel size of the scale that was used (location attention)", "Voxel size of the scale used (mm)"
    return f"Effective dilation, autofocus layer {layer.number} of {count}", LEGEND_TITLE


def inside_body(overlay: Path, scan: Path, spec: ModelSpec) -> NDArray[np.bool_] | None:
    """The voxels of the body, without air, (z, y, x) on the overlay's grid.

    None (all voxels) for models that use the whole image, such as crops of the brain.
    """
    if spec.normalization.mask == "all":
        return None
    grid = Grid.of(sitk.ReadImage(str(overlay)))
    image = sitk.ReadImage(str(scan))
    darkest = float(sitk.GetArrayViewFromImage(image).min())
    return body_mask(sample(image, grid, darkest), grid)


def _rates(path: Path) -> tuple[float, ...]:
    """The dilation rates in voxels, which are the index values of the sequence of weights."""
    try:
        return tuple(float(value) for value in read_keys(path)["axis 3 index values"].split())
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} holds no attention ({error})", "write it again with: autofocus segment") from error
