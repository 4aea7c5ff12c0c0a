"""Reads a saved segmentation: labels, their meaning, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.atomic import stem_of, suffix_of
from AutofocusCore.io.outputs import SEGMENTATION_FORMATS, check_format, read_sidecar, sidecar_path
from AutofocusCore.io.slicer_nrrd import PROVENANCE_KEY, read_keys, segments_of
from AutofocusCore.jobs.saved_attention import read_attention
from AutofocusCore.result import SegmentationResult

if TYPE_CHECKING:
    from AutofocusCore.models.parts import Structure

MOST_LABELS = 255


def read_result(
    path: str | Path, structures: Sequence[Structure] | None = None, *, attention: str | Path | None = None
) -> SegmentationResult:
    """Read a segmentation: `.seg.nrrd` of this program or of Slicer, or a labelmap with its sidecar beside it.

    Args:
        path: the file.
        structures: what the labels mean, for a labelmap without a sidecar.
        attention: folder in which the same run has written attention maps; they are read too. None: they are not.

    Raises:
        InputError: missing, damaged, overlapping segments, or labels whose meaning is not known.
    """
    path = Path(path)
    labels, listed, provenance = _read_file(path, structures)
    maps = {} if attention is None else read_attention(attention, stem_of(path), listed)
    return SegmentationResult(
        label_array=sitk.GetArrayFromImage(labels),
        grid=Grid.of(labels),
        structures=listed,
        **maps,
        plan=str(provenance.get("plan") or ""),
        device=str(provenance.get("device") or ""),
        precision=str(provenance.get("precision") or ""),
        provenance=provenance,
        files=(str(path),),
    )


def _read_file(
    path: Path, structures: Sequence[Structure] | None
) -> tuple[sitk.Image, tuple[Structure, ...], dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"There is no segmentation {path}", "check its name and place")
    try:
        check_format(path, SEGMENTATION_FORMATS, "The segmentation")
    except AutofocusError as error:
        raise InputError(error.cause, error.remedy) from None
    if suffix_of(path) == ".seg.nrrd":
        return _read_seg_nrrd(path)
    labels, provenance = _read_labels(path)
    sidecar = sidecar_path(path)
    content = read_sidecar(sidecar) if sidecar is not None else None
    if content is not None:
        from AutofocusCore.models.parts import Structure, from_mapping

        listed = tuple(from_mapping(Structure, entry, f"{sidecar} entry") for entry in content["structures"])
        return labels, listed, content.get("provenance") or provenance
    if structures is None:
        raise InputError(
            f"{path} does not say what its labels mean, and it has no sidecar {sidecar}",
            "name the model that made it (--model), or give the .seg.nrrd",
        )
    return labels, tuple(structures), provenance


def _read_labels(path: Path) -> tuple[sitk.Image, dict[str, Any]]:
    import numpy as np

    from AutofocusCore.images import read_image

    image = read_image(path).image
    values = sitk.GetArrayViewFromImage(image)
    if values.min() < 0 or values.max() > MOST_LABELS or not np.array_equal(values, np.rint(values)):
        raise InputError(
            f"{path} has voxels from {values.min():g} to {values.max():g}, which are not labels",
            f"give a labelmap, whose voxels are whole numbers from 0 to {MOST_LABELS}",
        )
    keys = read_keys(path) if suffix_of(path) in (".nrrd", ".seg.nrrd") else {}
    return sitk.Cast(image, sitk.sitkUInt8), provenance_in(keys.get(PROVENANCE_KEY))


def _read_seg_nrrd(path: Path) -> tuple[sitk.Image, tuple[Structure, ...], dict[str, Any]]:
    try:
        keys = read_keys(path)
        segments = segments_of(keys)
        structures = tuple(_structure(segment) for segment in segments)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a segmentation of Slicer, or is damaged ({error})", "save it again") from None
    layers = 1 + max((segment["layer"] for segment in segments), default=0)
    if layers > 1:
        raise InputError(
            f"The segments of {path} overlap (they are stored in {layers} layers)",
            "export it from Slicer as a labelmap, or save the segments that overlap as files of their own",
        )
    labels, provenance = _read_labels(path)
    return labels, structures, provenance


def _structure(segment: Mapping[str, Any]) -> Structure:
    """A segment of Slicer; without a code it is "Tissue", Slicer's default for new segments."""
    from AutofocusCore.models.parts import Code, Structure

    codes = {name: Code(*triplet) for name, triplet in segment["codes"].items()}
    tissue = Code("SCT", "85756007", "Tissue")
    red, green, blue = (round(255 * part) for part in segment["color"])
    return Structure(
        label=segment["label"],
        name=segment["name"][:64],
        color=(red, green, blue),
        category=codes.get("category") or tissue,
        type=codes.get("type") or tissue,
        modifier=codes.get("modifier"),
        region=codes.get("region"),
        region_modifier=codes.get("region_modifier"),
    )


def provenance_in(text: str | None) -> dict[str, Any]:
    """The record in a header's text; empty if there is none, or it cannot be read."""
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
