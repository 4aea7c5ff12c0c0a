from __future__ import annotations

import dataclasses
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import SettingError
from AutofocusCore.images import read_image
from AutofocusCore.io.results import write_segmentation
from AutofocusCore.models.terminology import structures
from AutofocusCore.worker import exports

NAMED = structures("Mandible")


@pytest.fixture
def case(reference_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    folder = reference_data / "odd_geometry" / "dicom2nifti" / "ct_gantry_tilt_siemens_4slices"
    labels = sitk.Cast(read_image(folder).image > 5000, sitk.sitkUInt8)
    labels[200:260, 220:250, :] = 1
    sitk.WriteImage(labels, str(tmp_path / "labels.nrrd"))
    return folder, tmp_path / "labels.nrrd"


def test_labels_of_the_scene_become_an_rtstruct(case: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("contourpy")
    folder, labels = case
    request = {"labels": str(labels), "dicom": str(folder), "format": "rtstruct", "output": str(tmp_path / "x.dcm")}
    listed = [dataclasses.asdict(structure) for structure in NAMED]
    answer = exports.export({**request, "structures": listed, "provenance": {"model": {"name": "m"}}})
    assert answer == {"files": [str(tmp_path / "x.dcm")]}
    assert pydicom.dcmread(tmp_path / "x.dcm").StructureSetROISequence[0].ROIName == "Mandible"


def test_a_report_is_made_of_a_result_of_the_scene(tiny_model: Path, write_random_image, tmp_path: Path) -> None:
    scan = write_random_image("scan.nrrd")
    labels = sitk.Cast(sitk.ReadImage(str(scan)) > 110, sitk.sitkUInt8)
    sitk.WriteImage(labels, str(tmp_path / "labels.nrrd"))
    place = {"structure": "A", "label": 1, "position_mm": [3, 3, 3], "volume_ml": 1, "inside_ml": 1, "outside_ml": 0}
    request = {"labels": str(tmp_path / "labels.nrrd"), "image": str(scan), "model": str(tiny_model)}
    review = {"estimates": {}, "places": [place], "warnings": [], "calibrated": False}
    exports.report({**request, "review": review, "provenance": {}, "output": str(tmp_path / "x.html")})
    assert "1. A, (3, 3, 3) mm" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_two_results_are_compared(tmp_path: Path, case: tuple[Path, Path]) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", sitk.ReadImage(str(case[1])), NAMED)
    answer = exports.compare({"first": str(tmp_path / "a.seg.nrrd"), "second": str(tmp_path / "a.seg.nrrd")})
    assert answer["structures"][0]["dice"] == 1


def test_a_request_without_a_field_says_which(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="The request's labels is None"):
        exports.export({})
