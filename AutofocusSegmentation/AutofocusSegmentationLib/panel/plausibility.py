"""Warnings before a run: the engine's own checks, on a sample of the voxels.

They take milliseconds and are shown beside Segment. The engine's checks of the whole image are shown with the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

from AutofocusCore.errors import AutofocusError
from AutofocusCore.images.checks import check_size
from AutofocusCore.images.intensity import modality_warning, recognise
from AutofocusSegmentationLib.panel.sample_data import is_synthetic
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot, snapshot
from AutofocusSegmentationLib.scene.placing import hierarchy_of, item_of

SAMPLES = 200_000  # voxels that are looked at


def warnings_before(channels: list[Any], model: dict[str, Any]) -> list[str]:
    """Warnings about segmenting these volume nodes with this model."""
    found: list[str] = []
    nodes = [node for node in channels if node is not None and node.GetImageData() is not None]
    for node, channel in zip(nodes, model["channels"], strict=False):
        try:
            image = snapshot(node)
            found += check_size(image.grid, image.name)
            found += _about_values(image, channel, _stated_modality(node))
        except AutofocusError as error:
            found.append(str(error))
    if model.get("synthetic") and not all(is_synthetic(node) for node in nodes):
        found.append(_synthetic(model["title"]))
    return found


def warnings_after(record: dict[str, Any] | None, scan: Any = None) -> list[str]:
    """Warnings from the provenance of a finished run, and one about its model; `scan` is the volume node."""
    found = [str(sentence) for sentence in (record or {}).get("warnings") or ()]
    model = (record or {}).get("model") or {}
    if model.get("synthetic") and not (scan is not None and is_synthetic(scan)):
        found.append(_synthetic(str(model.get("title") or model.get("name"))))
    return found


def _synthetic(model: str) -> str:
    sentence = _(
        "{model} was trained on synthetic images only. On a real scan its contours are wrong: choose another model."
    )
    return sentence.format(model=model)


def _about_values(image: VolumeSnapshot, channel: dict[str, Any], stated: str | None) -> list[str]:
    """Whether the values are of the modality that the model wants."""
    wanted = channel.get("modality") or ""
    values = image.array.reshape(-1)
    sample = np.ascontiguousarray(values[:: max(1, values.size // SAMPLES)], np.float32)
    if sample.size == 0 or not np.isfinite(sample).all():
        return []  # the engine reports what is wrong
    if wanted == "CT" and recognise(sample).kind == "CT+1024":
        sentence = _(
            "{name} looks like a CT stored as HU + 1024. It is brought to Hounsfield units before it is segmented; "
            "check the result with care, or load the original DICOM series."
        )
        return [sentence.format(name=image.name)]
    warning = modality_warning(image.name, wanted, sample, stated, str(channel.get("name")))
    return [] if warning is None else [warning]


def _stated_modality(node: Any) -> str | None:
    """The DICOM modality of a volume, which Slicer keeps in the subject hierarchy."""
    stated = hierarchy_of(node.GetScene()).GetItemAttribute(item_of(node), "DICOM.Modality")
    return str(stated).strip() or None
