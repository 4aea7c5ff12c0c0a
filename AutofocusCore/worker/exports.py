"""Requests about results that exist already: "export" to RTSTRUCT or DICOM SEG, "report", and "compare".

    {"id": 11, "request": "export", "labels": "labels.nrrd", "structures": [{"label", "name", "color", "type", …}, …],
     "provenance": {…}, "format": "rtstruct", "dicom": "folder", "series": null, "frame": null, "output": "out.dcm"}
                                           -> "files": ["out.dcm"]
    {"id": 12, "request": "report", "labels": "labels.nrrd", "image": "ct.nrrd", "model": "head-neck-ct",
     "structures": […], "review": {…}, "done": [0, 2], "provenance": {…}, "output": "report.html"}
                                           -> "files": ["report.html"]
    {"id": 13, "request": "compare", "first": "a.seg.nrrd", "second": "b.nrrd", "second_structures": […]}
                                           -> "structures": [{"structure", "first_ml", "second_ml", "dice", …}, …],
                                              "warnings": […]

Label maps and images are files that AutofocusCore reads; structures, review and provenance are those of a result.
"dicom" may also be a list of the files of one volume. "structures" are the meaning of the labels, for a label map
that does not contain it; a report without them uses the model's. "done": numbers, from 0, of the checked places.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import SettingError
from AutofocusCore.io.outputs import check_writable
from AutofocusCore.worker.fields import text

if TYPE_CHECKING:
    from AutofocusCore.models.parts import Structure


def export(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the request "export".

    Raises:
        AutofocusError: an error that the user can correct.
    """
    from AutofocusCore.jobs.dicom_export import check_dicom_export, export_dicom
    from AutofocusCore.jobs.saved_result import read_result

    labels, output, kind = (text(request, name) for name in ("labels", "output", "format"))
    scan = _scan(request)
    check_dicom_export(output, kind, scan)
    check_writable([output], [labels])
    result = read_result(labels, _structures(request, "structures"))
    provenance = request.get("provenance") or result.provenance
    series, frame = request.get("series"), request.get("frame")
    structures = _structures(request, "structures") or result.structures
    path = export_dicom(output, kind, result.labels, structures, provenance, scan, series=series, frame=frame)
    return {"files": [str(path)]}


def report(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the request "report".

    Raises:
        AutofocusError: an error that the user can correct.
    """
    from AutofocusCore.images import read_image
    from AutofocusCore.jobs.measure import measure
    from AutofocusCore.jobs.report import write_report
    from AutofocusCore.jobs.saved_result import read_result
    from AutofocusCore.models import find_model
    from AutofocusCore.review import Assessment

    labels, image, output = (text(request, name) for name in ("labels", "image", "output"))
    check_writable([output], [labels, image])
    spec = find_model(text(request, "model")).spec
    structures = _structures(request, "structures") or spec.structures
    scan, result = read_image(image).image, read_result(labels, structures)
    assessment = Assessment.from_dict(request.get("review") or {})
    provenance = request.get("provenance") or result.provenance
    measurements = measure(result.labels, structures, scan)
    done = frozenset(number for number in request.get("done") or () if isinstance(number, int))
    write_report(
        output, scan, result.labels, spec, measurements, assessment, provenance, structures=structures, done=done
    )
    return {"files": [output]}


def compare(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the request "compare".

    Raises:
        AutofocusError: an error that the user can correct.
    """
    from AutofocusCore.jobs.compare import compare_results
    from AutofocusCore.jobs.saved_result import read_result

    first, second = (
        read_result(text(request, name), _structures(request, f"{name}_structures")) for name in ("first", "second")
    )
    found = compare_results(first, second)
    return {"structures": [dataclasses.asdict(row) for row in found.rows], "warnings": list(found.warnings)}


def _scan(request: Mapping[str, Any]) -> str | list[str]:
    given = request.get("dicom")
    if isinstance(given, list) and given and all(isinstance(path, str) and path for path in given):
        return given
    return text(request, "dicom")


def _structures(request: Mapping[str, Any], field: str) -> tuple[Structure, ...] | None:
    from AutofocusCore.models.parts import Structure, from_mapping

    given = request.get(field)
    if given is None:
        return None
    if not isinstance(given, list):
        raise SettingError(f"The request's {field} are {given!r}", "give a list")
    return tuple(from_mapping(Structure, entry, "structures entry") for entry in given)
