"""Results for another process on this computer: .npy files in a folder, and their place in the patient as JSON.

They are temporary files for Slicer, so speed matters more than size. For result files that users keep, see
io/results.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.nrrd import grid_matrix

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.images.geometry import Grid
    from AutofocusCore.models import ModelSpec
    from AutofocusCore.segmentation import AttentionMap, Segmentation


def write_exchange_files(
    folder: Path,
    spec: ModelSpec,
    result: Segmentation,
    provenance: Mapping[str, Any],
    report: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Write labels, attention and probabilities (if present) into an existing folder.

    Args:
        folder: folder of the files.
        spec: the model's description.
        result: the segmentation.
        provenance: how it was made, any JSON.
        report: called with ("write", done, total) before each file and at the end; an error that it raises ends the
            work.

    Returns:
        "labels", "probabilities" (or None), "recalibration" (or None), "reach" (or None): volumes, each with "path"
        and "index_to_lps"; "attention": see `protocol.py`; "files": all paths; "structures": as in the model's
        metadata; "provenance".

    Raises:
        OutputError: a file cannot be written.
    """
    files: list[str] = []
    extras = (result.probabilities, result.recalibration, result.reach)
    total = 1 + 2 * len(result.attention) + sum(extra is not None for extra in extras)

    def write(name: str, array: Any, matrix: Any) -> dict[str, Any]:
        report("write", len(files), total)
        files.append(str(write_array(folder / name, array)))
        return {"path": files[-1], "index_to_lps": matrix.tolist()}

    matrix = _matrix_of(result.labels)
    labels = write("labels.npy", _array_of(result.labels), matrix)
    probabilities = None
    if result.probabilities is not None:
        probabilities = write("probabilities.npy", _array_of(result.probabilities), matrix)
    attention = [_write_attention(layer, result.attention[layer], write) for layer in sorted(result.attention)]
    recalibration = None
    if result.recalibration is not None:
        recalibration = write(
            "recalibration.npy", result.recalibration.factors, _matrix_of_grid(result.recalibration.grid)
        )
    reach = None
    if result.reach is not None:
        reach = write("reach.npy", result.reach.values, _matrix_of_grid(result.reach.grid))
    report("write", total, total)
    return {
        "labels": labels,
        "probabilities": probabilities,
        "attention": attention,
        "recalibration": recalibration,
        "reach": reach,
        "files": files,
        "structures": [structure.to_dict() for structure in spec.structures],
        "provenance": dict(provenance),
    }


def write_array(path: Path, array: Any) -> Path:
    """Write an array as .npy; the file has its name only when all of it is there.

    Raises:
        OutputError: the file system refused.
    """
    import numpy as np

    with Staging(lasting=False) as staging:
        np.save(staging.aside(path), array, allow_pickle=False)
    return path


def _write_attention(layer: int, found: AttentionMap, write: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    matrix = _matrix_of_grid(found.grid)
    edge = found.grid.voxel_mm3 ** (1 / 3)
    dilation = found.effective_dilation_mm()
    if found.patient is not None:
        dilation[~found.patient] = 0.0
    return {
        "layer": layer,
        "rates": list(found.rates),
        "rates_mm": [rate * edge for rate in found.rates],
        "weights": write(f"attention-{layer + 1}.npy", found.weights, matrix),
        "dilation": write(f"dilation-{layer + 1}.npy", dilation, matrix),
        "air_is_zero": found.patient is not None,
    }


def _matrix_of(image: sitk.Image) -> Any:
    return grid_matrix(image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _matrix_of_grid(grid: Grid) -> Any:
    return grid_matrix(grid.spacing, grid.origin, grid.direction)


def _array_of(image: sitk.Image) -> Any:
    """A view (z, y, x), or (component, z, y, x), of the image's own memory."""
    import numpy as np
    import SimpleITK as sitk

    view = sitk.GetArrayViewFromImage(image)
    return view if image.GetNumberOfComponentsPerPixel() == 1 else np.moveaxis(view, -1, 0)
