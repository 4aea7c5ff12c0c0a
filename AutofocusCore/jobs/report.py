"""The report of one case: one HTML file that opens anywhere and loads nothing, and prints on paper or to PDF."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from AutofocusCore.io.atomic import Staging, joined
from AutofocusCore.jobs.page import colour_key, escaped, estimate_cell, facts, figure, page, table
from AutofocusCore.jobs.pictures import PLANES, Window, data_url, mark, picture

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.jobs.measure import Measurement
    from AutofocusCore.models import ModelSpec
    from AutofocusCore.models.parts import Structure
    from AutofocusCore.review import Assessment, Place

PIXELS, PLACE_PIXELS = 520, 260
PLACE_MM = (40.0, 100.0)
MARGIN_MM = 25.0
SHOWN_PLACES = 6


def write_report(
    path: str | os.PathLike[str],
    image: sitk.Image,
    labels: sitk.Image,
    spec: ModelSpec,
    measurements: Sequence[Measurement],
    assessment: Assessment,
    provenance: Mapping[str, Any],
    *,
    structures: Sequence[Structure] | None = None,
    done: Collection[int] = (),
    staging: Staging | None = None,
) -> None:
    """Write the report of a case.

    Args:
        path: final name, .html.
        image: the scan.
        labels: the result, on the scan's grid.
        spec: the model's description.
        measurements: of every structure.
        assessment: estimates, places, warnings.
        provenance: how the result was made.
        structures: what the labels mean; None: as the model says.
        done: numbers, from 0, of the places that were checked.
        staging: the file gets its name when that block ends; default: at once.
    """
    structures = spec.structures if structures is None else structures
    inputs = ", ".join(str(name) for name in (provenance.get("inputs") or {}).values())
    parts = [
        f"<h1>{escaped(spec.title)}</h1>",
        f'<p class="note">{escaped(inputs)} · {_time(provenance)} · {escaped(spec.intended_use)}</p>',
        _summary(assessment, measurements),
        *(f'<p class="warning">{escaped(text)}</p>' for text in provenance.get("warnings") or ()),
        "<h2>Pictures</h2>",
        _planes(image, labels, spec, structures),
        "<h2>Structures</h2>",
        _structures(spec, structures, measurements, assessment),
        "<h2>Places to check</h2>",
        _places(image, labels, spec, structures, assessment, done),
        "<h2>Scan</h2>",
        facts(_scan_rows(image, inputs)),
        "<h2>Model</h2>",
        facts(_model_rows(spec, provenance)),
        "<h2>How it was made</h2>",
        facts(_flat(provenance, ("inputs", "warnings", "intended_use", "model"))),
    ]
    with joined(staging) as group:
        group.aside(path).write_text(page(f"{spec.title}: {inputs}", parts), encoding="utf-8", newline="")


def _time(provenance: Mapping[str, Any]) -> str:
    """2026-11-30 01:50 UTC, of 2026-11-30T01:50:51+00:00."""
    created = str(provenance.get("created", ""))
    return escaped(f"{created[:10]} {created[11:16]} UTC" if created.endswith("+00:00") else created)


def _summary(assessment: Assessment, measurements: Sequence[Measurement]) -> str:
    """The report in a sentence: what was found, and where to begin."""
    found = sum(m.volume_ml > 0 for m in measurements)
    check = [name for name, estimate in assessment.estimates.items() if estimate is not None and estimate.check]
    parts = [f"{found} of {len(measurements)} structures found"]
    if any(assessment.estimates.values()):
        parts.append(f"check first: {', '.join(check)}" if check else "no contour stands out as doubtful")
    count = len(assessment.places)
    parts.append(f"{count} place{'s' * (count != 1)} to look at")
    return f'<p class="summary">{escaped("; ".join(parts))}.</p>'


def _planes(image: sitk.Image, labels: sitk.Image, spec: ModelSpec, structures: Sequence[Structure]) -> str:
    import SimpleITK as sitk

    found = sitk.GetArrayViewFromImage(labels)
    low, high = _box_mm(image, found)
    margin = min(MARGIN_MM, 0.3 * float((high - low).max()))
    middle, size = (low + high) / 2, high - low + 2 * margin
    window = Window.of(image, spec.channels[0].modality)
    figures = []
    for plane, (across, down) in PLANES.items():
        normal = np.abs(np.cross(across, down))
        best = best_plane(image, found, normal)
        x, y, z = (middle if best is None else np.where(normal > 0, best, middle)).tolist()
        extent = (float(np.abs(across) @ size), float(np.abs(down) @ size))
        shown = picture(image, labels, structures, window, plane, (x, y, z), extent, PIXELS)
        figures.append(figure(data_url(shown), f"{plane.capitalize()} through {_point((x, y, z))}"))
    return f'<div class="row planes">{"".join(figures)}</div>'


def best_plane(image: sitk.Image, found: Any, normal: Any) -> Any | None:
    """A point in mm, LPS, of the slice that shows most structures best; None where there are none.

    Of the scan's own slices across the axis that runs nearest to the normal; each structure counts by the root of its
    area there, as a share of its largest one, so that small structures are shown too.
    """
    matrix = np.abs(np.reshape(image.GetDirection(), (3, 3)))
    axis = int(np.argmax(normal @ matrix))  # x, y or z of the image
    across = tuple(a for a in range(3) if a != 2 - axis)
    areas = [(found == label).sum(axis=across) for label in np.unique(found) if label]
    if not areas:
        return None
    scores = np.sum([np.sqrt(area / area.max()) for area in areas], axis=0)
    index = [(n - 1) / 2 for n in image.GetSize()]
    index[axis] = float(np.argmax(scores))
    return np.asarray(image.TransformContinuousIndexToPhysicalPoint(index))


def _box_mm(image: sitk.Image, found: Any) -> tuple[Any, Any]:
    """Corners in mm, LPS, of the box round the labels; round the whole image where there are none."""
    ends = [(0, n - 1) for n in image.GetSize()]
    if found.any():
        for axis in range(3):
            at = np.flatnonzero(found.any(axis=tuple(a for a in range(3) if a != 2 - axis)))
            ends[axis] = (int(at[0]), int(at[-1]))
    corners = [
        image.TransformContinuousIndexToPhysicalPoint((float(i), float(j), float(k)))
        for i in ends[0]
        for j in ends[1]
        for k in ends[2]
    ]
    return np.min(corners, axis=0), np.max(corners, axis=0)


def _structures(
    spec: ModelSpec, structures: Sequence[Structure], measurements: Sequence[Measurement], assessment: Assessment
) -> str:
    volumes = {m.structure: m.volume_ml for m in measurements}
    rows = []
    for structure in structures:
        estimate = assessment.estimates.get(structure.name)
        usual = spec.dice.get(structure.name)
        rows.append(
            (
                f'<span class="name">{colour_key(structure.color)}{escaped(structure.name)}</span>',
                f"{volumes.get(structure.name, 0.0):.2f}",
                estimate_cell(estimate),
                "" if usual is None else f"{usual:.2f}",
            )
        )
    titles = ("Structure", "Volume (mL)", "Estimated Dice (80 % interval)", "Mean Dice of the model")
    shown = table(titles, rows, numbers=(1, 3), raw=True)
    if not any(assessment.estimates.values()):
        shown += '<p class="note">This model is not calibrated: there are no estimates of quality.</p>'
    return f'<div class="keep">{shown}</div>'


def _places(
    image: sitk.Image,
    labels: sitk.Image,
    spec: ModelSpec,
    structures: Sequence[Structure],
    assessment: Assessment,
    done: Collection[int],
) -> str:
    if not assessment.places:
        return "<p>There is no place to check.</p>"
    import SimpleITK as sitk

    window = Window.of(image, spec.channels[0].modality)
    low, high = _box_mm(image, sitk.GetArrayViewFromImage(labels))
    side = float(np.clip(0.7 * (high - low).max(), *PLACE_MM))
    figures = []
    for number, place in enumerate(assessment.places[:SHOWN_PLACES], start=1):
        extent = (side, side)
        shown = picture(image, labels, structures, window, "axial", place.position_mm, extent, PLACE_PIXELS)
        figures.append(figure(data_url(mark(shown, 24)), f"{number}. {place.structure}, {_point(place.position_mm)}"))
    rows = [_place_row(number, place) for number, place in enumerate(assessment.places, start=1)]
    header: tuple[str, ...] = ("", "Structure", "Position (mm, LPS)", "Could change (mL)", "of it inside", "outside")
    if done:
        header = (*header, "Checked")
        rows = [(*row, "yes" if number in done else "") for number, row in enumerate(rows)]
    note = "Regions near a contour where the network is uncertain, ordered by the volume that could change. "
    note += "Position: x to the patient's left, y to the back, z to the head."
    figures_ = "".join(figures)
    return (
        f'<p class="note">{note}</p><div class="row places">{figures_}</div>{table(header, rows, numbers=(0, 3, 4, 5))}'
    )


def _place_row(number: int, place: Place) -> tuple[str, ...]:
    position = ", ".join(f"{v:.1f}" for v in place.position_mm)
    volumes = (f"{v:.2f}" for v in (place.volume_ml, place.inside_ml, place.outside_ml))
    return (str(number), place.structure, position, *volumes)


def _scan_rows(image: sitk.Image, inputs: str) -> list[tuple[str, str]]:
    size = " × ".join(map(str, image.GetSize()))
    spacing = " × ".join(f"{s:.3g}" for s in image.GetSpacing())
    return [("Files", inputs), ("Voxels", size), ("Voxel size", f"{spacing} mm")]


def _model_rows(spec: ModelSpec, provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    model = provenance.get("model") or {}
    rows = [("Name", f"{spec.name} {spec.version}"), ("Weights (SHA-256)", str(model.get("sha256", "")))]
    rows += [("Trained on", spec.training_data), ("Description", spec.description)]
    fitted = str(spec.calibration.get("fitted_on", "")) if spec.calibration else ""
    return rows + [("Calibrated on", fitted)] * bool(fitted)


def _flat(values: Mapping[str, Any], without: Sequence[str] = (), prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if key in without:
            continue
        if isinstance(value, Mapping):
            rows += _flat(value, prefix=f"{name}: ")
        else:
            rows.append((name, str(value)))
    return rows


def _point(point: Sequence[float]) -> str:
    return "({:.0f}, {:.0f}, {:.0f}) mm".format(*point)
