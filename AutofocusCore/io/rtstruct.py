"""RT structure sets (RTSTRUCT): the outlines of structures on the slices of a series, for planning systems.

Written with pydicom, and outlines by contourpy, rather than through rt-utils: its last release traces through the
centres of the outermost voxels, which loses half a voxel on every side, writes numbers longer than the 16 characters
that DICOM allows, and needs OpenCV. Attributes are those of PS3.3 A.19 and C.8.8; attributes that importers
require although the standard does not (an interpreter, a description, an approval) are included.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.io.atomic import Staging, joined
from AutofocusCore.io.contours import outlines
from AutofocusCore.io.dicom_objects import (
    FAMILY,
    SOFTWARE,
    UTF_8,
    Algorithm,
    PlaneLike,
    code_item,
    different_headers,
    frame_of_reference,
    need,
    series_number,
    shared_attributes,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from AutofocusCore.models.parts import Code, Structure

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # retired class of studies, which the reference to a study still names


def write_rtstruct(
    path: str | os.PathLike[str],
    labels: npt.NDArray[np.uint8],
    planes: Sequence[PlaneLike],
    structures: Sequence[Structure],
    algorithm: Algorithm,
    *,
    staging: Staging | None = None,
) -> Path:
    """Write a structure set. A structure without a voxel is listed, without a contour.

    Args:
        path: final name.
        labels: (slices, rows, columns) on the planes.
        planes: slices of the source series.
        structures: what each label value means.
        algorithm: what made it.
        staging: the file gets its name when that block ends; default: at once.

    Raises:
        OutputError: contourpy is not installed, or the file system refused.
    """
    need("contourpy", "An RTSTRUCT")
    path = Path(path)
    headers = different_headers(planes)
    data = _frame(headers, algorithm)
    frame = frame_of_reference(headers[0])
    data.ReferencedFrameOfReferenceSequence = [_referenced_series(headers, frame)]
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    for number, structure in enumerate(structures, start=1):
        data.StructureSetROISequence.append(_roi(number, structure, frame, algorithm))
        data.ROIContourSequence.append(_contours(number, structure, labels, planes))
        data.RTROIObservationsSequence.append(_observation(number, structure))
    with joined(staging) as group:
        data.save_as(str(group.aside(path)), enforce_file_format=True)
    return path


def _frame(headers: Sequence[Any], algorithm: Algorithm) -> Any:
    """Everything except the structures: patient, study, algorithm, date."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    now = datetime.now()
    data = Dataset()
    data.SpecificCharacterSet = UTF_8
    for name, value in shared_attributes(headers[0]).items():
        setattr(data, name, value)
    data.SOPClassUID, data.SOPInstanceUID = RT_STRUCTURE_SET, generate_uid()
    data.Modality, data.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    data.SeriesNumber, data.InstanceNumber = series_number(headers[0]), 1
    data.SeriesDescription = f"Structures {algorithm.name}"[:64]
    data.FrameOfReferenceUID = frame_of_reference(headers[0])
    data.setdefault("PositionReferenceIndicator", "")
    data.OperatorsName = ""
    data.Manufacturer, data.ManufacturerModelName = SOFTWARE, algorithm.name[:64]
    data.SoftwareVersions = algorithm.software[:64]
    data.StructureSetLabel, data.StructureSetName = "AUTOFOCUS", algorithm.name[:64]
    data.StructureSetDescription = f"{algorithm.summary}; made by {algorithm.software}; research only"
    for what in ("InstanceCreation", "StructureSet", "Series"):
        setattr(data, f"{what}Date", now.strftime("%Y%m%d"))
        setattr(data, f"{what}Time", now.strftime("%H%M%S"))
    data.ApprovalStatus = "UNAPPROVED"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    return data


def _referenced_series(headers: Sequence[Any], frame: str) -> Any:
    """Frame of reference → study → series → every instance of it."""
    reference, study, series = _item(), _item(), _item()
    series.SeriesInstanceUID = str(headers[0].get("SeriesInstanceUID") or "")
    series.ContourImageSequence = [_referenced_image(header) for header in headers]
    study.ReferencedSOPClassUID = STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = shared_attributes(headers[0])["StudyInstanceUID"]
    study.RTReferencedSeriesSequence = [series]
    reference.FrameOfReferenceUID = frame
    reference.RTReferencedStudySequence = [study]
    return reference


def _referenced_image(header: Any, frame: int | None = None) -> Any:
    item = _item()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def _roi(number: int, structure: Structure, frame: str, algorithm: Algorithm) -> Any:
    item = _item()
    item.ROINumber, item.ROIName, item.ReferencedFrameOfReferenceUID = number, structure.name, frame
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = algorithm.summary
    made_by = _item()
    family = _item()
    family.CodeValue, family.CodingSchemeDesignator, family.CodeMeaning = FAMILY
    made_by.AlgorithmFamilyCodeSequence = [family]
    made_by.AlgorithmName, made_by.AlgorithmVersion = algorithm.name[:64], algorithm.version[:64]
    made_by.AlgorithmSource = SOFTWARE
    made_by.AlgorithmParameters = ", ".join(f"{name}={value}" for name, value in algorithm.parameters.items())
    item.ROIDerivationAlgorithmIdentificationSequence = [made_by]
    return item


def _contours(number: int, structure: Structure, labels: npt.NDArray[np.uint8], planes: Sequence[PlaneLike]) -> Any:
    item = _item()
    item.ReferencedROINumber, item.ROIDisplayColor = number, list(structure.color)
    contours: list[Any] = []
    for plane, own in zip(planes, labels, strict=True):
        for polygon in outlines(own == structure.label):
            contour = _item()
            contour.ContourImageSequence = [_referenced_image(plane.header, plane.frame)]
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(polygon)
            contour.ContourData = [f"{value:.4f}" for value in plane.to_mm(polygon).ravel()]
            contour.ContourNumber = len(contours) + 1
            contours.append(contour)
    if contours:  # importers reject an empty sequence; without it the structure is empty
        item.ContourSequence = contours
    return item


def _observation(number: int, structure: Structure) -> Any:
    item = _item()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = structure.name[:16]
    item.RTROIInterpretedType, item.ROIInterpreter = "ORGAN", ""
    item.RTROIIdentificationCodeSequence = [_code(structure.type, structure.modifier)]
    return item


def _code(kind: Code, modifier: Code | None) -> Any:
    return code_item(kind, [("SegmentedPropertyTypeModifierCodeSequence", modifier)])


def _item() -> Any:
    from pydicom.dataset import Dataset

    return Dataset()
