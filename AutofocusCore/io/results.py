"""Result files: segmentations, attention maps, probabilities, each with its provenance.

* Segmentation: `.seg.nrrd` with names, colours and SNOMED terminology, or a labelmap (`.nii.gz`, `.nii`, `.nrrd`,
  `.mha`) with the meaning of its labels in a `.json` beside it.
* `<stem>_attention-<i>.seq.nrrd`: the weights of autofocus layer i (1 is the first) in Slicer's sequence format: 4-D
  float32, one volume per dilation rate. pynrrd reads (rate, z, y, x) with `index_order="C"`.
* `<stem>_dilation-<i>.nrrd`: the effective dilation, Σₖ Λᵏ rₖ, in millimetres.
* `<stem>_reach.nrrd`: how far the network looked from each voxel, all layers together, in millimetres.
* `<stem>_recalibration.seq.nrrd`, scale streams only: the factor of each class's scores, 0 to 1; 4-D float32, (class,
  z, y, x), background first. Their attention is that of the streams: a stream at half the size counts as dilation 2.

Functions that write take final names; the files appear there whole, at once or, with `staging`, when that block ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import Staging, joined, suffix_of
from AutofocusCore.io.nrrd import ListAxis
from AutofocusCore.io.outputs import SEGMENTATION_FORMATS, VOLUME_FORMATS, check_format, sidecar_path
from AutofocusCore.io.slicer_nrrd import (
    PROVENANCE_KEY,
    AttentionLike,
    GridLike,
    header_json,
    write_seg_nrrd,
    write_sequence,
)

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from AutofocusCore.models.parts import Structure


def write_segmentation(
    path: str | os.PathLike[str],
    labels: sitk.Image,
    structures: Sequence[Structure],
    *,
    provenance: Mapping[str, Any] | None = None,
    staging: Staging | None = None,
) -> list[Path]:
    """Write a labelmap in the format of the file name, with a label sidecar for formats without label names.

    Args:
        path: final name.
        labels: integer labelmap, 3-D.
        structures: what each label value means.
        provenance: how it was made, any JSON.
        staging: the files get their names when that block ends; default: at once.

    Returns:
        The final names.

    Raises:
        OutputError: unknown format, or the file system refused.
    """
    path = Path(path)
    check_format(path, SEGMENTATION_FORMATS, "The segmentation")
    sidecar = sidecar_path(path)
    with joined(staging) as group:
        if sidecar is None:
            write_seg_nrrd(group.aside(path), labels, structures, provenance)
            return [path]
        write_image(group.aside(path), labels, provenance=provenance)
        entries = [structure.to_dict() for structure in structures]
        text = json.dumps({"structures": entries, "provenance": provenance}, indent=2, ensure_ascii=False)
        group.aside(sidecar).write_text(text + "\n", encoding="utf-8", newline="")
        return [path, sidecar]


def write_probabilities(
    path: str | os.PathLike[str],
    image: sitk.Image,
    *,
    provenance: Mapping[str, Any] | None = None,
    staging: Staging | None = None,
) -> Path:
    """Write class probabilities: a vector image with one component per class, background first."""
    path = Path(path)
    check_format(path, VOLUME_FORMATS, "The file of probabilities")
    with joined(staging) as group:
        write_image(group.aside(path), image, provenance=provenance)
    return path


def attention_names(stem: str, layers: Iterable[int]) -> dict[int, tuple[str, str]]:
    """File names (weights, effective dilation) for autofocus layers counted from 0; names count from 1."""
    return {i: (f"{stem}_attention-{i + 1}.seq.nrrd", f"{stem}_dilation-{i + 1}.nrrd") for i in sorted(layers)}


def recalibration_name(stem: str) -> str:
    """File name of the factors of the classes' scores."""
    return f"{stem}_recalibration.seq.nrrd"


def write_attention(
    folder: str | os.PathLike[str],
    stem: str,
    maps: Mapping[int, AttentionLike],
    *,
    provenance: Mapping[str, Any] | None = None,
    staging: Staging | None = None,
) -> list[Path]:
    """Write the attention of every layer in `maps` (layer counted from 0) into an existing folder.

    Returns the final names. With `staging`, the files get them when that block ends.
    """
    finals = []
    with joined(staging) as group:
        for layer, (weights_name, dilation_name) in attention_names(stem, maps).items():
            finals += [Path(folder) / weights_name, Path(folder) / dilation_name]
            one, axis = maps[layer], ListAxis("dilation rate", "voxels")
            rates = [str(rate) for rate in one.rates]
            write_sequence(group.aside(finals[-2]), one.weights, one.grid, axis, rates, provenance)
            dilation = _image_on(one.grid, one.effective_dilation_mm())
            write_image(group.aside(finals[-1]), dilation, provenance=provenance)
    return finals


def reach_name(stem: str) -> str:
    """File name of the reach map."""
    return f"{stem}_reach.nrrd"


def write_reach(
    folder: str | os.PathLike[str],
    stem: str,
    values: np.ndarray,
    grid: GridLike,
    *,
    provenance: Mapping[str, Any] | None = None,
    staging: Staging | None = None,
) -> Path:
    """Write the reach (D, H, W), in mm, into an existing folder. Returns the final name."""
    final = Path(folder) / reach_name(stem)
    with joined(staging) as group:
        write_image(group.aside(final), _image_on(grid, values), provenance=provenance)
    return final


def write_recalibration(
    folder: str | os.PathLike[str],
    stem: str,
    factors: np.ndarray,
    grid: GridLike,
    *,
    provenance: Mapping[str, Any] | None = None,
    staging: Staging | None = None,
) -> Path:
    """Write the factors (classes, D, H, W) of the classes' scores into an existing folder. Returns the final name."""
    final = Path(folder) / recalibration_name(stem)
    values = [str(label) for label in range(len(factors))]
    with joined(staging) as group:
        write_sequence(group.aside(final), factors, grid, ListAxis("class", ""), values, provenance)
    return final


def _image_on(grid: GridLike, values: np.ndarray) -> sitk.Image:
    """(D, H, W) values as an image on the grid."""
    import numpy as np
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values, dtype=np.float32))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def write_image(path: Path, image: sitk.Image, *, provenance: Mapping[str, Any] | None = None) -> None:
    """Write an image through SimpleITK to a temporary name, and read it back: ITK may not notice a full disk."""
    import SimpleITK as sitk

    from AutofocusCore.io.sheared_nifti import is_sheared, put_axes

    if provenance is not None and suffix_of(path) == ".nrrd":
        image = sitk.Image(image)
        image.SetMetaData(PROVENANCE_KEY, header_json(provenance))
    reason = "it reads back differently"
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        sitk.WriteImage(image, str(path), useCompression=suffix_of(path) != ".nii")
        nifti = suffix_of(path) in (".nii", ".nii.gz")
        if nifti and image.GetDimension() == 3 and is_sheared(image.GetDirection()):
            put_axes(path, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        if sitk.Hash(sitk.ReadImage(str(path))) == sitk.Hash(image):
            return
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else "unknown reason"
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
    _provoke_os_error(path)
    raise OutputError(f"Cannot write to {path.parent} ({reason})", "choose another place or format")


def _provoke_os_error(path: Path) -> None:
    """The reason why a file cannot be written, from a test with the operating system: ITK's messages lack it."""
    with path.open("ab") as stream:
        stream.write(b"\0" * 65536)
        stream.flush()
        os.fsync(stream.fileno())
