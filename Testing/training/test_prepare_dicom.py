"""DICOM CT with structure sets, written here by pydicom, prepared and compared with what was drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from contourpy import contour_generator
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.resampling import sample
from Training.prepare import main
from Training.preparing.contours import rasterise
from Training.preparing.found import Contours

SHAPE = (24, 40, 44)
SPACING = (1.5, 1.25, 2.5)
ORIGIN = (-30.0, -20.0, 100.0)
CENTRE = np.array([2.0, 5.0, 128.0])


@dataclass
class Patient:
    """A patient's CT in a folder, and what a structure set refers to."""

    folder: Path
    series: str = field(default_factory=generate_uid)
    frame: str = field(default_factory=generate_uid)
    study: str = field(default_factory=generate_uid)

    @property
    def depths(self) -> list[float]:
        return [ORIGIN[2] + k * SPACING[2] for k in range(SHAPE[0])]

    def write_ct(self) -> NDArray[np.int16]:
        z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
        inside = ((x - 22) / 20) ** 2 + ((y - 20) / 18) ** 2 < 1
        hu = np.where(inside, 40 + z, -1000).astype(np.int16)
        self.folder.mkdir(parents=True, exist_ok=True)
        for k, depth in enumerate(self.depths):
            one = _header(CTImageStorage, "CT", self)
            one.SeriesInstanceUID, one.FrameOfReferenceUID, one.InstanceNumber = self.series, self.frame, k + 1
            one.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], depth]
            one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            one.PixelSpacing, one.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
            one.Rows, one.Columns = SHAPE[1], SHAPE[2]
            one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
            one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
            one.RescaleSlope, one.RescaleIntercept = 1, -1024
            one.PixelData = (hu[k] + 1024).astype(np.uint16).tobytes()
            # Names in another order than the slices lie.
            one.save_as(self.folder / f"ct_{(k * 7) % SHAPE[0]:03d}.dcm", enforce_file_format=True)
        return hu

    def write_structures(self, name: str, regions: dict[str, Sequence[tuple[str, NDArray[np.float64]]]]) -> Path:
        one = _header(RTStructureSetStorage, "RTSTRUCT", self)
        one.SeriesInstanceUID = generate_uid()
        series = Dataset()
        series.SeriesInstanceUID = self.series
        study = Dataset()
        study.RTReferencedSeriesSequence = [series]
        reference = Dataset()
        reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = self.frame, [study]
        one.ReferencedFrameOfReferenceSequence = [reference]
        one.StructureSetROISequence, one.ROIContourSequence = [], []
        for number, (region, contours) in enumerate(regions.items(), start=1):
            named = Dataset()
            named.ROINumber, named.ROIName, named.ReferencedFrameOfReferenceUID = number, region, self.frame
            one.StructureSetROISequence.append(named)
            drawn = Dataset()
            drawn.ReferencedROINumber, drawn.ContourSequence = number, []
            for kind, points in contours:
                contour = Dataset()
                contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
                contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
                drawn.ContourSequence.append(contour)
            one.ROIContourSequence.append(drawn)
        path = self.folder / name
        one.save_as(path, enforce_file_format=True)
        return path


def _header(kind: str, modality: str, patient: Patient) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID, one.SOPInstanceUID, one.Modality = kind, generate_uid(), modality
    one.file_meta.MediaStorageSOPClassUID = kind
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.PatientID, one.StudyInstanceUID = "anonymous", patient.study
    return one


def circle(radius: float, depth: float, centre: Sequence[float] = CENTRE) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return np.stack([x, y, np.full_like(x, depth)], axis=1)


def sphere(radius: float, depths: Sequence[float]) -> list[tuple[str, NDArray[np.float64]]]:
    cut = [(d, radius**2 - (d - CENTRE[2]) ** 2) for d in depths]
    return [("CLOSED_PLANAR", circle(np.sqrt(square), d)) for d, square in cut if square > 0.01]


def truth_of_sphere(radius: float) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    points = np.stack([x, y, z], axis=-1) * SPACING + ORIGIN
    return ((points - CENTRE) ** 2).sum(-1) < radius**2


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path / "patients" / "Patient 1")


@pytest.fixture
def grid() -> Grid:
    return Grid((SHAPE[2], SHAPE[1], SHAPE[0]), SPACING, ORIGIN, (1, 0, 0, 0, 1, 0, 0, 0, 1))


def table(folder: Path, names: dict[str, list[str]]) -> str:
    path = folder / "names.json"
    path.write_text(json.dumps(names), encoding="utf-8")
    return str(path)


def prepared(tmp_path: Path, names: dict[str, list[str]], *more: str) -> dict:
    out = tmp_path / "out"
    source = str(tmp_path / "patients")
    assert main(["dicom", source, str(out), "--structures", table(tmp_path, names), *more]) == 0
    return json.loads((out / "data.json").read_text(encoding="utf-8"))


def test_a_sphere_drawn_as_contours_becomes_a_sphere_of_voxels_on_the_ct(patient: Patient, tmp_path: Path) -> None:
    hu = patient.write_ct()
    patient.write_structures("rs.dcm", {"External": [], "prostate": sphere(11.0, patient.depths)})
    data = prepared(tmp_path, {"Bladder": ["bladder"], "Prostate": ["PROST*"]})
    case = data["cases"][0]
    assert (case["name"], data["channels"], case["absent"]) == ("Patient_1", ["CT"], [])
    assert case["unknown"] == ["Bladder"]  # nobody contoured it, so that it may be anywhere
    assert any("has no Bladder" in problem["problem"] for problem in data["problems"])

    image, labels = (sitk.ReadImage(str(tmp_path / "out" / path)) for path in (case["images"][0], case["labels"]))
    assert np.array_equal(sitk.GetArrayFromImage(image), hu)
    np.testing.assert_allclose(image.GetSpacing(), SPACING, atol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), ORIGIN, atol=1e-4)
    found = sitk.GetArrayFromImage(labels)
    assert set(np.unique(found)) == {0, 2}
    assert dice(found == 2, truth_of_sphere(11.0)) > 0.97
    roi = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / case["roi"])))
    assert roi[found > 0].all()
    assert not roi.all()


def test_a_structure_without_a_contour_is_absent_only_where_the_user_says_so(patient: Patient, tmp_path: Path) -> None:
    patient.write_ct()
    patient.write_structures("rs.dcm", {"bladder": sphere(9.0, patient.depths), "cord": []})
    names = {"Bladder": ["bladder"], "Cord": ["cord"], "Prostate": ["prostate"], "Rectum": ["rectum"]}
    case = prepared(tmp_path, names, "--absent", "Prostate")["cases"][0]
    assert case["unknown"] == ["Cord", "Rectum"]
    assert case["absent"] == ["Prostate"]
    again = prepared(tmp_path, names, "--absent", "Prostate, Rectum")["cases"][0]  # made anew, from the same files
    assert (again["unknown"], again["absent"]) == (["Cord"], ["Prostate", "Rectum"])


def test_a_structure_that_is_to_count_as_absent_must_be_one(
    patient: Patient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient.write_ct()
    patient.write_structures("rs.dcm", {"bladder": sphere(9.0, patient.depths)})
    words = ["dicom", str(tmp_path / "patients"), str(tmp_path / "out"), "--absent", "Prostata"]
    assert main([*words, "--structures", table(tmp_path, {"Bladder": ["bladder"]})]) == 1
    assert "--absent names 'Prostata'; use Bladder" in capsys.readouterr().err


def test_an_ambiguous_name_is_refused_until_a_narrower_pattern_comes_first(patient: Patient, grid: Grid) -> None:
    patient.folder.mkdir(parents=True)
    depths = patient.depths
    path = patient.write_structures("rs.dcm", {"Femur_L": sphere(6.0, depths), "Femur_L_old": sphere(9.0, depths)})
    with pytest.raises(InputError, match="'Femur_L', 'Femur_L_old', which are all Left femur"):
        rasterise(Contours(path, ((1, ("femur_l*",)),), patient.frame), grid, {1: "Left femur"})
    labels, _, _ = rasterise(Contours(path, ((1, ("femur_l", "femur_l*")),), patient.frame), grid, {1: "Left femur"})
    assert dice(labels == 1, truth_of_sphere(6.0)) > 0.9


def test_regions_of_another_frame_of_reference_do_not_count(patient: Patient, grid: Grid) -> None:
    patient.folder.mkdir(parents=True)
    path = patient.write_structures("rs.dcm", {"Bladder": sphere(8.0, patient.depths)})
    labels, unknown, remarks = rasterise(Contours(path, ((1, ("bladder",)),), generate_uid()), grid, {1: "Bladder"})
    assert not labels.any()
    assert "has no Bladder" in remarks[0]
    assert unknown == (1,)


def test_the_series_that_the_contours_were_drawn_on_is_taken(patient: Patient, tmp_path: Path) -> None:
    other = Patient(patient.folder / "other", frame=patient.frame)
    other.write_ct()
    first = Patient(patient.folder / "planning", series=patient.series, frame=patient.frame)
    first.write_ct()
    patient.write_structures("rs.dcm", {"Prostate": sphere(11.0, patient.depths)})
    data = prepared(tmp_path, {"Prostate": ["prostate"]})
    assert data["cases"][0]["sources"][0] == "Patient 1/planning"


def test_contours_of_real_organs_become_those_organs_again(reference_data: Path, tmp_path: Path) -> None:
    """Outlines of a real labelling, holes included, on a compressed CT without UIDs of series and frame."""
    real = reference_data / "ct_totalsegmentator"
    image = read_image(real / "example_ct_dicom").image
    truth = sample(sitk.ReadImage(str(real / "example_seg_dicom.nii.gz")), Grid.of(image), 0.0, nearest=True)
    patient = Patient(tmp_path / "patients" / "one", series="", frame="")
    patient.folder.mkdir(parents=True)
    for path in (real / "example_ct_dicom").iterdir():
        (patient.folder / path.name).write_bytes(path.read_bytes())
    organs = {"Liver": 5, "Colon": 20, "Aorta": 52}
    regions = {}
    for name, label in organs.items():
        contours = []
        for k in np.flatnonzero((truth == label).any(axis=(1, 2))):
            for line in contour_generator(z=(truth[k] == label).astype(float)).lines(0.5):
                index = np.column_stack([line, np.full(len(line), k)])
                contours.append(("CLOSED_PLANAR", Grid.of(image).to_mm(index)))
        regions[name] = contours
    patient.write_structures("rs.dcm", regions)
    data = prepared(tmp_path, {name: [name.lower()] for name in organs})
    assert [problem for problem in data["problems"] if problem["left_out"]] == []
    made = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / data["cases"][0]["labels"])))
    for label, given in enumerate(organs.values(), start=1):
        assert dice(made == label, truth == given) > 0.995
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / data["cases"][0]["images"][0])))
    assert np.array_equal(values, sitk.GetArrayFromImage(image))


def test_a_patient_none_of_whose_contours_can_be_used_is_named_with_the_reason(
    patient: Patient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient.write_ct()
    patient.write_structures("rs.dcm", {"prostate": sphere(11.0, patient.depths), "CTV": []})
    beside = Patient(tmp_path / "patients" / "Patient 2")
    beside.write_ct()
    beside.write_structures("rs.dcm", {"prostata": [("CLOSED_PLANAR", circle(8.0, -500.0))]})
    names = table(tmp_path, {"Prostate": ["prostata*"]})
    assert main(["dicom", str(tmp_path / "patients"), str(tmp_path / "out"), "--structures", names]) == 1
    error = capsys.readouterr().err
    missing = f"{patient.folder / 'rs.dcm'} has no Prostate, which is unknown here (it has CTV, prostate)"
    assert f"Its labels are empty: {missing}; correct the table of --structures" in error
    assert "Its labels are empty: Prostate has 1 contour outside the series; Prostate has no voxel" in error


def test_patients_whose_names_differ_in_umlauts_alone_are_both_prepared(tmp_path: Path) -> None:
    for name in ("Müller", "Möller"):
        one = Patient(tmp_path / "patients" / name)
        one.write_ct()
        one.write_structures("rs.dcm", {"Prostate": sphere(11.0, one.depths)})
    data = prepared(tmp_path, {"Prostate": ["prostate"]}, "--folds", "2")
    assert {case["name"]: case["sources"][0] for case in data["cases"]} == {"M_ller_1": "Möller", "M_ller_2": "Müller"}
    assert {case["fold"] for case in data["cases"]} == {0, 1}


def test_every_patient_who_cannot_be_used_is_named_with_the_reason(patient: Patient, tmp_path: Path) -> None:
    patient.write_ct()
    patient.write_structures("rs.dcm", {"Prostate": sphere(11.0, patient.depths)})
    folder = tmp_path / "patients"
    without = Patient(folder / "no contours")
    without.write_ct()
    lost = Patient(folder / "no images")
    lost.folder.mkdir()
    lost.write_structures("rs.dcm", {"Prostate": sphere(11.0, lost.depths)})
    elsewhere = Patient(folder / "another series")
    elsewhere.write_ct()
    Patient(elsewhere.folder).write_structures("rs.dcm", {"Prostate": sphere(11.0, lost.depths)})
    twice = Patient(folder / "two sets")
    twice.write_ct()
    for name in ("a.dcm", "b.dcm"):
        twice.write_structures(name, {"Prostate": sphere(11.0, twice.depths)})
    gap = Patient(folder / "missing slice")
    gap.write_ct()
    gap.write_structures("rs.dcm", {"Prostate": sphere(11.0, gap.depths)})
    (gap.folder / "ct_000.dcm").rename(tmp_path / "first.dcm")
    next(p for p in gap.folder.glob("ct_*") if pydicom.dcmread(p).InstanceNumber == 12).unlink()
    data = prepared(tmp_path, {"Prostate": ["prostate"]})
    assert [case["name"] for case in data["cases"]] == ["Patient_1"]
    text = {problem["case"]: problem["problem"] for problem in data["problems"]}
    assert "no structure set" in text["no contours"]
    assert "no image series" in text["no images"]
    assert "series that is missing" in text["another series"]
    assert "2 structure sets" in text["two sets"]
    assert "missing" in text["missing_slice"]
