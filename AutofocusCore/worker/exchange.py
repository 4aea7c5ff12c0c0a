"""Results for another process on this computer: .npy files in a folder, and the rest in the worker's JSON answer.

They are temporary files for Slicer, so speed matters more than size. For result files that users keep, see
io/results.py. `write_exchange_files` is the worker's end, `read_exchange_files` the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import Staging

if TYPE_CHECKING:
    from AutofocusCore.images.geometry import Grid
    from AutofocusCore.models.parts import Structure
    from AutofocusCore.result import AttentionMap, SegmentationResult


def write_exchange_files(
    folder: Path, result: SegmentationResult, report: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Write labels, attention and probabilities (if present) into an existing folder.

    Args:
        folder: folder of the files.
        result: the segmentation.
        report: called with ("write", done, total) before each file and at the end; an error that it raises ends the
            work.

    Returns:
        "labels", "probabilities", "recalibration", "reach", "uncertainty" (all but the first may be None): volumes,
        each with "path" and "index_to_lps"; "attention": see `protocol.py`; "files": all paths; "structures": as in the
        model's metadata; "provenance".

    Raises:
        OutputError: a file cannot be written.
    """
    files: list[str] = []
    extras = (result.probability_array, result.recalibration, result.reach, result.uncertainty)
    total = 1 + 2 * len(result.attention) + sum(extra is not None for extra in extras)

    def write(name: str, array: Any, grid: Grid) -> dict[str, Any]:
        report("write", len(files), total)
        files.append(str(write_array(folder / name, array)))
        return {"path": files[-1], "index_to_lps": grid.index_to_lps.tolist()}

    labels = write("labels.npy", result.label_array, result.grid)
    probabilities = recalibration = reach = uncertainty = None
    if result.probability_array is not None:
        probabilities = write("probabilities.npy", np.moveaxis(result.probability_array, -1, 0), result.grid)
    attention = [_write_attention(layer, result.attention[layer], write) for layer in sorted(result.attention)]
    if result.recalibration is not None:
        recalibration = write("recalibration.npy", result.recalibration.factors, result.recalibration.grid)
    if result.reach is not None:
        reach = write("reach.npy", result.reach.values, result.reach.grid)
    if result.uncertainty is not None:
        uncertainty = write("uncertainty.npy", result.uncertainty.values, result.uncertainty.grid)
    report("write", total, total)
    return {
        "labels": labels,
        "probabilities": probabilities,
        "attention": attention,
        "recalibration": recalibration,
        "reach": reach,
        "uncertainty": uncertainty,
        "files": files,
        "structures": [structure.to_dict() for structure in result.structures],
        "provenance": dict(result.provenance),
    }


def write_array(path: Path, array: Any) -> Path:
    """Write an array as .npy, atomically.

    Raises:
        OutputError: the file system refused.
    """
    with Staging(lasting=False) as staging:
        np.save(staging.aside(path), array, allow_pickle=False)
    return path


def _write_attention(layer: int, found: AttentionMap, write: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return {
        "layer": layer,
        "rates": list(found.rates),
        "rates_mm": list(found.rates_mm),
        "weights": write(f"attention-{layer + 1}.npy", found.weights, found.grid),
        "dilation": write(f"dilation-{layer + 1}.npy", found.dilation_mm, found.grid),
        "air_is_zero": found.patient is not None,
    }


def read_exchange_files(answer: Mapping[str, Any]) -> SegmentationResult:
    """Read the result that a worker's answer to "segment" describes.

    Args:
        answer: the whole answer, with the fields of `write_exchange_files` and of `SegmentationResult.to_dict`.

    Raises:
        InputError: a file is missing or damaged, or the answer is not one to "segment".
    """
    from AutofocusCore.errors import AutofocusError
    from AutofocusCore.jobs.measure import Measurement
    from AutofocusCore.result import SegmentationResult
    from AutofocusCore.review.assessment import Assessment

    try:
        structures = _structures(answer["structures"])
        labels, grid = _read_volume(answer["labels"])
        probabilities = _read_volume(answer["probabilities"])[0] if answer.get("probabilities") else None
        review = answer.get("review")
        return SegmentationResult(
            label_array=labels,
            grid=grid,
            structures=structures,
            probability_array=None if probabilities is None else np.moveaxis(probabilities, 0, -1),
            **_read_maps(answer, structures),
            plan=str(answer.get("plan") or ""),
            device=str(answer.get("device") or ""),
            precision=str(answer.get("precision") or ""),
            seconds=dict(answer.get("seconds") or {}),
            warnings=tuple(answer.get("warnings") or ()),
            measurements=tuple(Measurement(**entry) for entry in answer.get("measurements") or ()),
            assessment=None if review is None else Assessment.from_dict(review),
            provenance=dict(answer.get("provenance") or {}),
            files=tuple(answer.get("files") or ()),
        )
    except AutofocusError as error:
        raise InputError(f"A result of the segmentation cannot be read ({error.cause})", "segment again") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise InputError(f"A result of the segmentation cannot be read ({error})", "segment again") from None


def _structures(entries: Sequence[Any]) -> tuple[Structure, ...]:
    from AutofocusCore.models.parts import Structure, from_mapping

    return tuple(from_mapping(Structure, entry, "structures entry") for entry in entries)


def _read_maps(answer: Mapping[str, Any], structures: Sequence[Structure]) -> dict[str, Any]:
    """The fields "attention", "reach", "recalibration" and "uncertainty" of a result. All layers lie on one grid."""
    from AutofocusCore.result import BACKGROUND, AttentionMap, ReachMap, Recalibration, UncertaintyMap

    attention, patient = {}, None
    for entry in answer.get("attention") or ():
        weights, grid = _read_volume(entry["weights"])
        dilation, _ = _read_volume(entry["dilation"])
        if entry.get("air_is_zero") and patient is None:
            patient = dilation > 0
        attention[int(entry["layer"])] = AttentionMap(weights, tuple(entry["rates"]), grid, patient, dilation)
    reach = recalibration = uncertainty = None
    if answer.get("reach"):
        reach = ReachMap(*_read_volume(answer["reach"]), patient)
    if answer.get("recalibration"):
        classes = (BACKGROUND, *(structure.name for structure in structures))
        recalibration = Recalibration(*_read_volume(answer["recalibration"]), classes)
    if answer.get("uncertainty"):
        uncertainty = UncertaintyMap(*_read_volume(answer["uncertainty"]))
    return {"attention": attention, "reach": reach, "recalibration": recalibration, "uncertainty": uncertainty}


def _read_volume(told: Mapping[str, Any]) -> tuple[Any, Grid]:
    from AutofocusCore.images.geometry import Grid

    array = np.load(told["path"], allow_pickle=False)
    return array, Grid.from_index_to_lps(array.shape[-3:], told["index_to_lps"])
