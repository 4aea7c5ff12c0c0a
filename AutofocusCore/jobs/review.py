"""The review of a job's result: done after the run, written as a list of places, an uncertainty map and a report."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from AutofocusCore.io.atomic import Staging, joined, suffix_of
from AutofocusCore.io.texts import csv_cell

if TYPE_CHECKING:
    from AutofocusCore.jobs.run import CheckedJob
    from AutofocusCore.result import SegmentationResult
    from AutofocusCore.review import Calibration, Place

COLUMNS = ("place", "structure", "label", "x_mm", "y_mm", "z_mm", "axes", "volume_ml", "inside_ml", "outside_ml")
AXES = "LPS"
POINTS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_review_files(checked: CheckedJob, result: SegmentationResult, staging: Staging) -> None:
    """Write the files of the review that the job wants."""
    out, assessment, evidence = checked.job.outputs, result.assessment, result.evidence
    if assessment is None or evidence is None:
        return
    if out.uncertainty is not None:
        from AutofocusCore.io.results import write_image
        from AutofocusCore.review.assessment import uncertainty_on_scan

        uncertainty = uncertainty_on_scan(evidence, checked.calibration)
        write_image(staging.aside(out.uncertainty), uncertainty, provenance=result.provenance)
    if out.review is not None:
        write_places(out.review, assessment.places, staging=staging)
    if out.report is not None:
        assert result.scan is not None
        from AutofocusCore.jobs.report import write_report

        write_report(
            out.report,
            result.scan,
            result.labels,
            checked.model.spec,
            result.measurements,
            assessment,
            result.provenance,
            staging=staging,
        )


def with_uncertainty(result: SegmentationResult, calibration: Calibration | None) -> SegmentationResult:
    """The result with its map of uncertainty on the model's grid, if it has evidence."""
    from AutofocusCore.result import UncertaintyMap
    from AutofocusCore.review.assessment import uncertainty_on_model_grid

    if result.evidence is None:
        return result
    uncertainty = uncertainty_on_model_grid(result.evidence, calibration)
    return dataclasses.replace(result, uncertainty=UncertaintyMap(uncertainty, result.evidence.grid))


def write_places(path: str | os.PathLike[str], places: Sequence[Place], *, staging: Staging | None = None) -> None:
    """Write places to check, as a table (`.csv`) or as points for Slicer (`.mrk.json`). Positions are in mm, LPS."""
    text = points_text(places) if suffix_of(path) == ".mrk.json" else table_text(places)
    with joined(staging) as group:
        group.aside(path).write_text(text, encoding="utf-8", newline="")


def table_text(places: Sequence[Place]) -> str:
    """A row for each place, the most important first."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, place in enumerate(places, start=1):
        volumes = (f"{v:.3f}" for v in (place.volume_ml, place.inside_ml, place.outside_ml))
        position = (f"{v:.1f}" for v in place.position_mm)
        writer.writerow([number, csv_cell(place.structure, name=True), place.label, *position, AXES, *volumes])
    return table.getvalue()


def points_text(places: Sequence[Place]) -> str:
    """Slicer's markups file: a point list, a point for each place."""
    points = [
        {
            "id": str(number),
            "label": f"{number} {place.structure}",
            "description": f"{place.volume_ml:.2f} mL could change",
            "position": list(place.position_mm),
        }
        for number, place in enumerate(places, start=1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": AXES, "coordinateUnits": "mm", "controlPoints": points}
    return json.dumps({"@schema": POINTS_SCHEMA, "markups": [markup]}, indent=1, ensure_ascii=False) + "\n"


def estimate_text(estimate: Mapping[str, Any] | None) -> str:
    """An estimate for tables: 0.84 (0.78 to 0.89), or that there is none."""
    from AutofocusCore.review.assessment import NO_ESTIMATE

    if estimate is None:
        return NO_ESTIMATE
    return f"{estimate['dice']:.2f} ({estimate['low']:.2f} to {estimate['high']:.2f})"
