"""Dice of a segmentation against a true one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError


def dice(segmentation: Path, truth: Path, names: Mapping[str, int]) -> dict[str, float | None]:
    """Dice coefficient, 2 |A ∩ B| / (|A| + |B|), of each structure of the truth; None if neither has a voxel of it.

    Args:
        segmentation: the predicted segmentation, `.seg.nrrd`.
        truth: a `.seg.nrrd`, or a labelmap with the label values of `names`; on any grid over the same scan.
        names: the label value of each structure of the model.

    Raises:
        InputError: the truth cannot be read, or contains none of the structures.
    """
    predicted, predicted_labels = _read(segmentation, names)
    true, true_labels = _read(truth, names)
    common = [name for name in true_labels if name in predicted_labels]
    if not common:
        raise InputError(f"{truth} has none of the structures {', '.join(names)}", "give the truth for this model")
    predicted = sitk.Resample(predicted, true, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    found, wanted = sitk.GetArrayViewFromImage(predicted), sitk.GetArrayViewFromImage(true)
    return {name: _dice(found == predicted_labels[name], wanted == true_labels[name]) for name in common}


def _dice(found: np.ndarray, wanted: np.ndarray) -> float | None:
    total = int(found.sum()) + int(wanted.sum())
    return 2 * int((found & wanted).sum()) / total if total else None


def _read(path: Path, names: Mapping[str, int]) -> tuple[sitk.Image, dict[str, int]]:
    """The labelmap, and the label value of each structure in it."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as a labelmap", "give a .seg.nrrd, .nii.gz, .nrrd or .mha") from error
    if not path.name.endswith(".seg.nrrd"):
        return image, dict(names)
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"The segments of {path} overlap", "export them from Slicer as a labelmap")
    keys = [key for key in image.GetMetaDataKeys() if key.startswith("Segment") and key.endswith("_Name")]
    prefixes = [key[: -len("_Name")] for key in sorted(keys)]
    labels = {image.GetMetaData(f"{p}_Name"): int(image.GetMetaData(f"{p}_LabelValue")) for p in prefixes}
    return image, labels
