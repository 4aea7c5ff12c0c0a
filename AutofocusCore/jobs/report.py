"""The report of one case: one HTML file that opens anywhere and loads nothing, and prints on paper or to PDF."""

from __future__ import annotations

import html
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from AutofocusCore.io.atomic import Staging, joined
from AutofocusCore.jobs.pictures import PLANES, Point, Window, data_url, mark, picture

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.jobs.measure import Measurement
    from AutofocusCore.models import ModelSpec
    from AutofocusCore.models.parts import Structure
    from AutofocusCore.review import Assessment, Estimate, Place

PIXELS, PLACE_PIXELS = 640, 300
PLACE_MM = (40.0, 100.0)
MARGIN_MM = 25.0
SHOWN_PLACES = 6

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2rem }
.note { color: #57606a } .warning { background: #fff4d6; border-left: 4px solid #d9a300; padding: .5rem .8rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem }
tr { border-bottom: 1px solid #e3e6ea } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
th[data-sort] { cursor: pointer } .check { color: #9a3b00; font-weight: 600 }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; margin-right: .45rem }
.row { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 } figure img { display: block; background: #000 }
.planes img { height: 300px } .places img { width: 220px }
figcaption { font-size: .85rem; color: #57606a; max-width: 22rem }
code { font-size: .85em; overflow-wrap: anywhere } @media print { body { margin: 0; max-width: none } }
"""


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
        f"<h1>{_e(spec.title)}</h1>",
        f'<p class="note">{_e(inputs)} · {_e(provenance.get("created", ""))} · {_e(spec.intended_use)}</p>',
        *(f'<p class="warning">{_e(text)}</p>' for text in provenance.get("warnings") or ()),
        "<h2>Pictures</h2>",
        _planes(image, labels, spec, structures),
        "<h2>Structures</h2>",
        _structures(spec, structures, measurements, assessment),
        "<h2>Places to check</h2>",
        _places(image, labels, spec, structures, assessment, done),
        "<h2>Scan</h2>",
        _table(("", ""), _scan_rows(image, inputs)),
        "<h2>Model</h2>",
        _table(("", ""), _model_rows(spec, provenance)),
        "<h2>How it was made</h2>",
        _table(("", ""), _flat(provenance, ("inputs", "warnings", "intended_use", "model"))),
    ]
    with joined(staging) as group:
        group.aside(path).write_text(page(f"{spec.title}: {inputs}", parts), encoding="utf-8", newline="")


def page(title: str, parts: Iterable[str]) -> str:
    """A complete page that loads no other file."""
    head = f'<meta charset="utf-8"><title>{_e(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"


def _planes(image: sitk.Image, labels: sitk.Image, spec: ModelSpec, structures: Sequence[Structure]) -> str:
    import SimpleITK as sitk

    found = sitk.GetArrayViewFromImage(labels)
    low, high = _box_mm(image, found)
    margin = min(MARGIN_MM, 0.3 * float((high - low).max()))
    middle, size = (low + high) / 2, high - low + 2 * margin
    centre: Point = (float(middle[0]), float(middle[1]), float(middle[2]))
    window = Window.of(image, spec.channels[0].modality)
    figures = []
    for plane, (across, down) in PLANES.items():
        extent = (float(np.abs(across) @ size), float(np.abs(down) @ size))
        shown = picture(image, labels, structures, window, plane, centre, extent, PIXELS)
        figures.append(_figure(data_url(shown), f"{plane.capitalize()} through {_point(centre)}"))
    return f'<div class="row planes">{"".join(figures)}</div>'


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
                f"{_key(structure)}{_e(structure.name)}",
                f"{volumes.get(structure.name, 0.0):.2f}",
                estimate_cell(estimate),
                "" if usual is None else f"{usual:.2f}",
            )
        )
    table = _table(
        ("Structure", "Volume (mL)", "Estimated Dice (80 % interval)", "Mean Dice of the model"), rows, raw=True
    )
    if not any(assessment.estimates.values()):
        table += '<p class="note">This model is not calibrated: there are no estimates of quality.</p>'
    return table


def estimate_cell(estimate: Estimate | None) -> str:
    """An estimate as HTML, marked where the contour is among the quarter to check first."""
    if estimate is None:
        return "No estimate"
    text = f"{estimate.dice:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
    return f'<span class="check">{text} · check this contour</span>' if estimate.check else text


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
        figures.append(_figure(data_url(mark(shown, 24)), f"{number}. {place.structure}, {_point(place.position_mm)}"))
    rows = [_place_row(number, place) for number, place in enumerate(assessment.places, start=1)]
    header: tuple[str, ...] = ("", "Structure", "Position (mm, LPS)", "Could change (mL)", "of it inside", "outside")
    if done:
        header = (*header, "Checked")
        rows = [(*row, "yes" if number in done else "") for number, row in enumerate(rows)]
    note = "Regions near a contour where the network is uncertain, ordered by the volume that could change. "
    note += "Position: x to the patient's left, y to the back, z to the head."
    figures_ = "".join(figures)
    return f'<p class="note">{note}</p><div class="row places">{figures_}</div>{_table(header, rows)}'


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


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, raw: bool = False) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if raw else _e(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    titles = "".join(f"<th>{_e(title)}</th>" for title in header)
    return f"<table>{f'<tr>{titles}</tr>' if any(header) else ''}\n{body}</table>"


def _figure(source: str, caption: str) -> str:
    return f'<figure><img src="{source}" alt="{_e(caption)}"><figcaption>{_e(caption)}</figcaption></figure>'


def _key(structure: Structure) -> str:
    red, green, blue = structure.color
    return f'<span class="key" style="background:rgb({red},{green},{blue})"></span>'


def _point(point: Sequence[float]) -> str:
    return "({:.0f}, {:.0f}, {:.0f}) mm".format(*point)


def _e(text: object) -> str:
    return html.escape(str(text))
