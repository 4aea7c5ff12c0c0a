from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon

from AutofocusCore.errors import InputError, OutputError, SettingError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.dicom_planes import labels_on_planes, read_planes
from AutofocusCore.io.dicom_objects import Algorithm
from AutofocusCore.io.dicom_seg import write_dicom_seg
from AutofocusCore.io.rtstruct import write_rtstruct
from AutofocusCore.jobs.dicom_export import check_dicom_export, export_dicom
from AutofocusCore.models.terminology import structures
from Testing.core.jobs.conftest import KINDS, SHAPE

pytest.importorskip("highdicom")
pytest.importorskip("contourpy")

NAMED = structures("Prostate", "Left femur", "Rectum")
MADE_BY = Algorithm("pelvis", "1.0.0", "ab" * 32)
RECORD = {"software": "AutofocusSegmentation 9", "model": {"name": "pelvis", "version": "1.0.0", "sha256": "ab" * 32}}


def rasterised(path: Path, folder: Path) -> dict[str, np.ndarray]:
    """Masks of an RTSTRUCT's structures on a series, by matplotlib: voxel centres inside, contours by exclusive or."""
    planes = read_planes(folder)
    by_instance = {str(plane.header.SOPInstanceUID): k for k, plane in enumerate(planes)}
    data = pydicom.dcmread(path)
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in data.StructureSetROISequence}
    rows, columns = planes[0].shape
    centres = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    masks = {}
    for item in data.ROIContourSequence:
        mask = np.zeros((len(planes), rows, columns), dtype=bool)
        for contour in item.get("ContourSequence", []):
            k = by_instance[str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)]
            plane = planes[k]
            points = np.reshape(np.asarray(contour.ContourData, dtype=float), (-1, 3)) - plane.position
            assert np.abs(points @ plane.normal).max() < 0.001, "a contour lies in its slice"
            pixels = np.stack([points @ plane.row / plane.spacing[0], points @ plane.column / plane.spacing[1]], axis=1)
            mask[k] ^= Polygon(pixels).contains_points(centres).reshape(rows, columns)
        masks[names[int(item.ReferencedROINumber)]] = mask
    return masks


def frames_of_seg(path: Path, count: int) -> np.ndarray:
    """Labels (slices, rows, columns) of a SEG, its frames placed by their positions, with pydicom alone."""
    data = pydicom.dcmread(path)
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    normal = np.cross(shared[:3], shared[3:])
    source = sorted(
        {round(float(np.dot(f.PlanePositionSequence[0].ImagePositionPatient, normal)), 2) for f in frames_in(data)}
    )
    labels = np.zeros((len(source), data.Rows, data.Columns), dtype=np.uint8)
    for frame, plane in zip(frames_in(data), pixels, strict=True):
        k = source.index(round(float(np.dot(frame.PlanePositionSequence[0].ImagePositionPatient, normal)), 2))
        labels[k][plane > 0] = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert len(labels) == count, "every slice has a frame"
    return labels


def frames_in(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    return list(data.PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize("kind", KINDS)
def test_an_rtstruct_read_back_is_the_mask_voxel_for_voxel(
    kind: str, series_of_kind: Callable[..., Path], awkward_labels: np.ndarray, tmp_path: Path
) -> None:
    folder = series_of_kind(kind)
    path = write_rtstruct(tmp_path / "rs.dcm", awkward_labels, read_planes(folder), NAMED, MADE_BY)
    found = rasterised(path, folder)
    assert list(found) == ["Prostate", "Left femur", "Rectum"]
    for structure in NAMED:
        np.testing.assert_array_equal(found[structure.name], awkward_labels == structure.label)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dicom_segmentation_read_back_is_the_labels_voxel_for_voxel(
    kind: str, series_of_kind: Callable[..., Path], awkward_labels: np.ndarray, tmp_path: Path
) -> None:
    folder = series_of_kind(kind)
    path = write_dicom_seg(tmp_path / "seg.dcm", awkward_labels, read_planes(folder), NAMED, MADE_BY)
    np.testing.assert_array_equal(frames_of_seg(path, SHAPE[0]), awkward_labels)
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path))) > 0
    assert voxels.sum() == (awkward_labels > 0).sum(), "SimpleITK finds the same voxels"


def test_both_objects_name_the_patient_the_series_the_frame_of_reference_and_the_algorithm(
    series_of_kind: Callable[..., Path], awkward_labels: np.ndarray, tmp_path: Path
) -> None:
    folder = series_of_kind("oblique", FrameOfReferenceUID="1.2.9", PatientSex="F", StudyDate="20200102")
    planes = read_planes(folder)
    instances = {str(plane.header.SOPInstanceUID) for plane in planes}
    seg = pydicom.dcmread(write_dicom_seg(tmp_path / "seg.dcm", awkward_labels, planes, NAMED, MADE_BY))
    plan = pydicom.dcmread(write_rtstruct(tmp_path / "rs.dcm", awkward_labels, planes, NAMED, MADE_BY))
    for data in (seg, plan):
        assert str(data.PatientName) == "Näher^Jürgen"
        assert (data.PatientID, data.PatientSex, data.StudyDate, data.StudyInstanceUID) == (
            "7",
            "F",
            "20200102",
            "1.2.3",
        )
        assert data.FrameOfReferenceUID == "1.2.9"
    reference = plan.ReferencedFrameOfReferenceSequence[0]
    assert reference.FrameOfReferenceUID == "1.2.9"
    images = reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in images} == instances
    listed = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in listed} == instances

    femur = seg.SegmentSequence[1]
    assert femur.SegmentLabel == "Left femur"
    kind = femur.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("71341001", "Left")
    made_by = femur.SegmentationAlgorithmIdentificationSequence[0]
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("pelvis", "1.0.0")
    assert "ab" * 32 in str(made_by.AlgorithmParameters).replace("', '", "")

    rois = plan.StructureSetROISequence
    assert rois[0].ROIGenerationDescription == "pelvis 1.0.0 sha256 abababababab"
    assert [list(item.ROIDisplayColor) for item in plan.ROIContourSequence] == [list(s.color) for s in NAMED]
    assert plan.RTROIObservationsSequence[1].RTROIIdentificationCodeSequence[0].CodeValue == "71341001"
    assert "ContourSequence" not in plan.ROIContourSequence[2], "an empty structure is listed without contours"
    assert len(seg.SegmentSequence) == 3


def test_numbers_of_contours_fit_the_sixteen_characters_of_dicom(
    series_of_kind: Callable[..., Path], awkward_labels: np.ndarray, tmp_path: Path
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", awkward_labels, read_planes(series_of_kind("oblique")), NAMED, MADE_BY)
    data = pydicom.dcmread(path)
    raw = [str(v) for item in data.ROIContourSequence[0].ContourSequence for v in item.ContourData]
    assert max(map(len, raw)) <= 16


def test_a_series_without_a_frame_of_reference_gets_the_same_one_in_both_objects(
    series_of_kind: Callable[..., Path], awkward_labels: np.ndarray, tmp_path: Path
) -> None:
    planes = read_planes(series_of_kind("axial"))
    seg = pydicom.dcmread(write_dicom_seg(tmp_path / "seg.dcm", awkward_labels, planes, NAMED, MADE_BY))
    plan = pydicom.dcmread(write_rtstruct(tmp_path / "rs.dcm", awkward_labels, planes, NAMED, MADE_BY))
    assert seg.FrameOfReferenceUID == plan.FrameOfReferenceUID != ""


def test_labels_of_a_scan_with_tilted_gantry_go_back_onto_its_slices(series_of_kind: Callable[..., Path]) -> None:
    folder = series_of_kind("gantry")
    image = read_image(folder).image
    labels = sitk.Cast(image > -1000, sitk.sitkUInt8)
    placed = labels_on_planes(labels, read_planes(folder))
    assert placed.shape == SHAPE
    assert placed.mean() > 0.9, "the labels lie on the slices themselves"


def test_labels_of_another_place_are_refused(series_of_kind: Callable[..., Path], tmp_path: Path) -> None:
    labels = sitk.Image(8, 8, 8, sitk.sitkUInt8) + 1
    labels.SetOrigin((5000.0, 0.0, 0.0))
    with pytest.raises(InputError, match="do not overlap"):
        export_dicom(tmp_path / "x.dcm", "seg", labels, NAMED, RECORD, series_of_kind("axial"))


def test_what_could_not_be_written_is_refused_before_computing(
    tmp_path: Path, write_random_image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_random_image()
    with pytest.raises(SettingError, match=r"\.dcm"):
        check_dicom_export(tmp_path / "x.seg.nrrd", "seg", scan)
    with pytest.raises(InputError, match="DICOM folder of the scan"):
        check_dicom_export(tmp_path / "x.dcm", "rtstruct", scan)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(OutputError, match=r"pip install .*\[dicom\]"):
        check_dicom_export(tmp_path / "x.dcm", "seg", tmp_path)


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed (the extra dicom-readers).")
    return found


@pytest.fixture
def oblique_case(reference_data: Path) -> tuple[Path, sitk.Image]:
    """A real oblique MR, and labels on it: a ring, a part beside it, and a cylinder."""
    folder = reference_data / "odd_geometry" / "prostatex_mr_oblique" / "ProstateX-0218_t2_tra"
    image = read_image(folder).image
    z, y, x = np.meshgrid(*map(np.arange, Grid.of(image).shape), indexing="ij")
    ring = np.hypot(x - 150, y - 140)
    labels = np.zeros(z.shape, dtype=np.uint8)
    labels[(ring < 40) & (z > 3) & (z < 12) & ~((ring < 20) & (z > 5) & (z < 9))] = 1
    labels[(np.hypot(x - 250, y - 100) < 15) & (z > 3) & (z < 8)] = 1
    labels[np.hypot(x - 70, y - 200) < 9] = 2
    made = sitk.GetImageFromArray(labels)
    made.CopyInformation(image)
    return folder, made


def test_plastimatch_reads_the_rtstruct_of_a_real_oblique_series_voxel_for_voxel(
    oblique_case: tuple[Path, sitk.Image], tmp_path: Path
) -> None:
    folder, labels = oblique_case
    path = export_dicom(tmp_path / "rs.dcm", "rtstruct", labels, NAMED, RECORD, folder)
    command = [program("plastimatch"), "convert", "--input", path, "--referenced-ct", folder]
    # The list of structures makes it take the grid of the referenced series instead of one of its own.
    command += ["--output-prefix", tmp_path / "out", "--prefix-format", "nrrd", "--output-ss-list", tmp_path / "list"]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    for structure in NAMED[:2]:
        found = sitk.ReadImage(str(tmp_path / "out" / f"{structure.name}.nrrd"))
        on_labels = sitk.Resample(found, labels, sitk.Transform(), sitk.sitkNearestNeighbor)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(on_labels) > 0, sitk.GetArrayFromImage(labels) == structure.label
        )


def test_dcmqi_reads_the_segmentation_of_a_real_oblique_series_voxel_for_voxel(
    oblique_case: tuple[Path, sitk.Image], tmp_path: Path
) -> None:
    folder, labels = oblique_case
    path = export_dicom(tmp_path / "seg.dcm", "seg", labels, NAMED[:2], RECORD, folder)
    command = [program("segimage2itkimage"), "--inputDICOM", path, "--outputDirectory", tmp_path, "--prefix", "s"]
    subprocess.run([*command, "--outputType", "nrrd", "--mergeSegments"], check=True, timeout=120)
    found = sitk.ReadImage(str(tmp_path / "s-1.nrrd"))
    on_labels = sitk.Resample(found, labels, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(on_labels), sitk.GetArrayFromImage(labels))


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_real_series_of_other_makers_can_be_referred_to(kind: str, reference_data: Path, tmp_path: Path) -> None:
    for folder in (
        reference_data / "ct_totalsegmentator" / "example_ct_dicom",
        reference_data / "odd_geometry" / "dicom2nifti" / "mr_enhanced_multiframe" / "IM-0001-0170-0001.dcm",
    ):
        planes = read_planes(folder)
        labels = sitk.Image(1, 1, 1, sitk.sitkUInt8) + 1
        labels.SetOrigin(planes[1].to_mm(np.array([[planes[0].shape[1] / 2, planes[0].shape[0] / 2]]))[0].tolist())
        labels.SetSpacing([40.0] * 3)
        path = export_dicom(tmp_path / "x.dcm", kind, labels, NAMED, RECORD, folder)
        data = pydicom.dcmread(path)
        assert data.PatientID == planes[0].header.PatientID
        if kind == "rtstruct":
            images = data.ROIContourSequence[0].ContourSequence[0].ContourImageSequence
            assert ("ReferencedFrameNumber" in images[0]) == (planes[0].frame is not None)
