"""DICOM segmentation objects (SEG): labels on the slices of a series, written through highdicom.

One segment a structure, also for a structure without a voxel; empty frames are left out. Codes, colours and the
algorithm with its checksum are in each segment's description (PS3.3, C.8.20.4).
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore._version import __version__
from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.io.atomic import Staging, joined
from AutofocusCore.io.dicom_objects import (
    FAMILY,
    SOFTWARE,
    UTF_8,
    Algorithm,
    PlaneLike,
    code_item,
    different_headers,
    frame_of_reference,
    made_uid,
    need,
    series_number,
    shared_attributes,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from AutofocusCore.models.parts import Structure

EVEN = 0.001
"""Distances between slices that differ by less than this share are one distance."""


def write_dicom_seg(
    path: str | os.PathLike[str],
    labels: npt.NDArray[np.uint8],
    planes: Sequence[PlaneLike],
    structures: Sequence[Structure],
    algorithm: Algorithm,
    *,
    staging: Staging | None = None,
) -> Path:
    """Write a SEG object.

    Args:
        path: final name.
        labels: (slices, rows, columns) on the planes.
        planes: slices of the source series, in order.
        structures: what each label value means.
        algorithm: what made it.
        staging: the file gets its name when that block ends; default: at once.

    Raises:
        OutputError: highdicom is not installed, or the file system refused.
        InputError: the series' headers do not allow a SEG.
    """
    import numpy as np

    highdicom = need("highdicom", "A DICOM segmentation")
    path = Path(path)
    numbers = np.zeros(256, dtype=np.uint8)
    for number, structure in enumerate(structures, start=1):
        numbers[structure.label] = number
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about empty frames and attributes of the source
            seg = _object(highdicom, numbers[labels], planes, structures, algorithm)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"The DICOM series does not allow a segmentation object ({error})",
            "export the series again from its source, or write an RTSTRUCT or .seg.nrrd",
        ) from error
    with joined(staging) as group:
        try:
            seg.save_as(str(group.aside(path)))
        except ValueError as error:
            raise OutputError(f"The DICOM segmentation {path.name} cannot be written ({error})", "report it") from error
    return path


def _completed(header: Any, geometry: Mapping[str, Any]) -> Any:
    """A copy of a header with the attributes that highdicom needs and some files lack."""
    complete = copy.deepcopy(header)
    for name, value in shared_attributes(header).items():
        setattr(complete, name, value)
    complete.FrameOfReferenceUID = frame_of_reference(header)
    complete.SeriesInstanceUID = header.get("SeriesInstanceUID") or made_uid(header, "series")
    for name in ("StudyDate", "StudyTime"):
        if not complete.get(name):
            setattr(complete, name, None)
    measures = geometry["pixel_measures"]
    complete.SliceThickness = measures[0].SliceThickness
    for groups in complete.get("SharedFunctionalGroupsSequence") or []:
        groups.setdefault("PixelMeasuresSequence", measures)
        groups.setdefault("PlaneOrientationSequence", geometry["plane_orientation"])
    return complete


def _geometry(highdicom: Any, planes: Sequence[PlaneLike]) -> dict[str, Any]:
    """Position and orientation of the planes, because not every file has them where highdicom reads them."""
    import numpy as np

    first = planes[0]
    places = np.array([plane.position @ first.normal for plane in planes])
    distances = np.diff(places)
    usual = float(np.median(distances)) if len(distances) else 1.0
    even = len(distances) > 0 and float(np.ptp(distances)) < EVEN * usual
    thickness = first.header.get("SliceThickness")
    across, down = first.spacing
    return {
        "plane_positions": [
            highdicom.PlanePositionSequence("PATIENT", [round(float(v), 6) for v in plane.position]) for plane in planes
        ],
        "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", [*first.row, *first.column]),
        "pixel_measures": highdicom.PixelMeasuresSequence(
            pixel_spacing=(down, across),
            slice_thickness=float(thickness) if thickness else usual,
            spacing_between_slices=usual if even else None,
        ),
    }


def _object(
    highdicom: Any,
    pixels: npt.NDArray[np.uint8],
    planes: Sequence[PlaneLike],
    structures: Sequence[Structure],
    algorithm: Algorithm,
) -> Any:
    geometry = _geometry(highdicom, planes)
    sources = [_completed(header, geometry) for header in different_headers(planes)]
    source = sources[0]
    seg = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type="BINARY",
        segment_descriptions=[_segment(highdicom, n, s, algorithm) for n, s in enumerate(structures, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=series_number(source),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name=algorithm.name[:64],
        software_versions=algorithm.software[:64],
        device_serial_number=algorithm.checksum[:16] or "none",
        content_label="SEGMENTATION",
        content_description=algorithm.summary,
        specific_character_set=UTF_8,
        series_description=f"Segmentation {algorithm.name}"[:64],
        **geometry,
    )
    for name, value in shared_attributes(source).items():
        if name not in seg:
            setattr(seg, name, value)
    return seg


def _segment(highdicom: Any, number: int, structure: Structure, algorithm: Algorithm) -> Any:
    from pydicom.sr.coding import Code as DicomCode

    def coded(code: Any) -> Any:
        return DicomCode(code.value, code.scheme, code.meaning)

    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=coded(structure.category),
        segmented_property_type=coded(structure.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=algorithm.name[:64],
            family=DicomCode(*FAMILY),
            version=algorithm.version[:64],
            source=SOFTWARE,
            parameters=algorithm.parameters | {"version of AutofocusSegmentation": __version__},
        ),
        anatomic_regions=[coded(structure.region)] if structure.region is not None else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*structure.color),
    )
    if structure.modifier is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [code_item(structure.modifier)]
    if structure.region is not None and structure.region_modifier is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [code_item(structure.region_modifier)]
    return description
