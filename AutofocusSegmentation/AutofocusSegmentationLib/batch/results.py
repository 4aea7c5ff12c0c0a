"""What a batch has written for a case, read back in the form in which the module shows a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.io.outputs import sidecar_path
from AutofocusCore.io.results import reach_name
from AutofocusCore.io.slicer_nrrd import PROVENANCE_KEY
from AutofocusSegmentationLib.scene.attention_layer import Layer, Reach, rates_of
from AutofocusSegmentationLib.scene.image_node import index_to_lps
from AutofocusSegmentationLib.worker.run import Result

if TYPE_CHECKING:
    from AutofocusCore.jobs.job import Job
    from AutofocusCore.models import Model

WEIGHTS_NAME = re.compile(r"-(\d+)\.seq\.nrrd")
RATES_KEY = "axis 3 index values"


def read_result(job: Job, outcome: Mapping[str, Any], model: Model) -> Result:
    """Labels, attention and provenance of a case that is done.

    Raises:
        InputError: a file cannot be read.
    """
    path = Path(job.outputs.segmentation)
    labels = _read(path)
    return Result(
        labels=sitk.GetArrayFromImage(labels).astype(np.uint8, copy=False),
        index_to_lps=index_to_lps(labels),
        structures=list(model.spec.to_metadata()["autofocus"]["structures"]),
        layers=[] if job.outputs.attention is None else _layers(Path(job.outputs.attention)),
        provenance=_provenance(path, labels),
        message=dict(outcome),
        reach=_reach(job),
    )


def _reach(job: Job) -> Reach | None:
    if job.outputs.attention is None:
        return None
    path = Path(job.outputs.attention) / reach_name(job.outputs.stem)
    if not path.is_file():
        return None  # written by an earlier version, or of some layers only
    image = _read(path)
    values = sitk.GetArrayFromImage(image)
    return Reach(values, index_to_lps(image), bool((values == 0).any()))


def _layers(folder: Path) -> list[Layer]:
    """The attention of every layer that has a file `…-<layer from 1>.seq.nrrd` there."""
    found = []
    for path in sorted(folder.glob("*.seq.nrrd")) if folder.is_dir() else []:
        named = WEIGHTS_NAME.search(path.name)
        if named is None:
            continue
        image = _read(path)  # an image of K values a voxel
        if not image.HasMetaDataKey(RATES_KEY):
            raise InputError(f"{path} does not say which dilation rates it holds", "delete it and run the batch again")
        rates = rates_of(image.GetMetaData(RATES_KEY))
        edge = float(np.prod(image.GetSpacing())) ** (1 / 3)  # a voxel of unequal edges counts as a cube
        found.append(
            Layer(
                index=int(named[1]) - 1,
                rates=rates,
                rates_mm=tuple(rate * edge for rate in rates),
                weights=np.ascontiguousarray(np.moveaxis(_view(image), -1, 0)),
                index_to_lps=index_to_lps(image),
            )
        )
    return sorted(found, key=lambda layer: layer.index)


def _view(image: sitk.Image) -> Any:
    """(z, y, x, K) of the image's own memory, also for a single rate."""
    view = sitk.GetArrayViewFromImage(image)
    return view if image.GetNumberOfComponentsPerPixel() > 1 else view[..., None]


def _provenance(path: Path, image: sitk.Image) -> dict[str, Any]:
    sidecar = sidecar_path(path)
    try:
        if sidecar is not None:
            record = json.loads(sidecar.read_text(encoding="utf-8"))["provenance"]
        else:
            record = json.loads(image.GetMetaData(PROVENANCE_KEY)) if image.HasMetaDataKey(PROVENANCE_KEY) else {}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{sidecar or path} cannot be read ({error})", "run the batch again") from None
    return dict(record or {})


def _read(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise InputError(f"{path} cannot be read", "look whether it is still there, and run the batch again") from None
