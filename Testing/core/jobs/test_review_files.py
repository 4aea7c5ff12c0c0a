from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from AutofocusCore.jobs.review import write_places
from AutofocusCore.review import Place

PLACES = [
    Place("Ball", 1, (1.0, -2.5, 30.0), 1.25, 1.0, 0.25),
    Place("Far <ball>", 2, (-7.0, 8.0, 9.0), 0.5, 0.1, 0.4),
]


def test_places_are_a_table_with_millimetres_of_named_axes(tmp_path: Path) -> None:
    write_places(tmp_path / "x.csv", PLACES)
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()))
    assert [(r["place"], r["structure"], r["x_mm"], r["y_mm"], r["z_mm"], r["axes"]) for r in rows] == [
        ("1", "Ball", "1.0", "-2.5", "30.0", "LPS"),
        ("2", "Far <ball>", "-7.0", "8.0", "9.0", "LPS"),
    ]
    assert float(rows[0]["volume_ml"]) == 1.25


def test_places_are_points_for_slicer(tmp_path: Path) -> None:
    write_places(tmp_path / "x.mrk.json", PLACES)
    markup = json.loads((tmp_path / "x.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert (markup["type"], markup["coordinateSystem"]) == ("Fiducial", "LPS")
    assert [p["position"] for p in markup["controlPoints"]] == [[1.0, -2.5, 30.0], [-7.0, 8.0, 9.0]]


@pytest.fixture
def scan(write_random_image: Callable[..., Path]) -> Path:
    return write_random_image("scan.nii.gz", shape=(12, 14, 16))


def test_a_run_writes_its_review_beside_the_segmentation(
    scan: Path, tiny_model: Path, autofocus_here: Callable[..., object], tmp_path: Path
) -> None:
    wanted = ["--review", "x.csv", "--uncertainty", "doubt.nrrd", "--report", "x.html"]
    done = autofocus_here("segment", scan, "-m", tiny_model, "-o", "x.seg.nrrd", "--precision", "float32", *wanted)
    assert done.returncode == 0, done.stderr
    doubt = sitk.ReadImage(str(tmp_path / "doubt.nrrd"))
    assert doubt.GetSize() == sitk.ReadImage(str(scan)).GetSize()
    values = sitk.GetArrayFromImage(doubt)
    assert 0 <= values.min() < values.max() <= 1.6
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "No estimate" in page
    assert "scan.nii.gz" in page
    assert page.count("data:image/png;base64,") >= 3
    assert "http" not in page.replace("https://doi", ""), "the page loads nothing"
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").startswith("place,structure")


def test_review_files_have_names_that_say_their_format(
    scan: Path, tiny_model: Path, autofocus_here: Callable[..., object]
) -> None:
    done = autofocus_here("segment", scan, "-m", tiny_model, "-o", "x.seg.nrrd", "--report", "x.pdf")
    assert done.returncode == 1
    assert "use .html" in done.stderr


def test_a_dicom_series_is_segmented_into_an_rtstruct(
    series_of_kind: Callable[..., Path], tiny_model: Path, autofocus_here: Callable[..., object], tmp_path: Path
) -> None:
    pytest.importorskip("contourpy")
    folder = series_of_kind("axial", Modality="MR")
    done = autofocus_here(
        "segment", folder, "-m", tiny_model, "-o", "x.dcm", "--format", "rtstruct", "--precision", "float32"
    )
    assert done.returncode == 0, done.stderr
    data = pydicom.dcmread(tmp_path / "x.dcm")
    assert len(data.StructureSetROISequence) == 2
    assert any("ContourSequence" in item for item in data.ROIContourSequence)


def test_a_dicom_format_needs_a_dicom_scan(scan: Path, tiny_model: Path, autofocus_here: Callable[..., object]) -> None:
    done = autofocus_here("segment", scan, "-m", tiny_model, "-o", "x.dcm", "--format", "seg")
    assert done.returncode == 1
    assert "scan.nii.gz is not one; give the DICOM folder of the scan" in done.stderr
