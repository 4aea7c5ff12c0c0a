from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from AutofocusCore.images import read_image
from AutofocusCore.io.results import write_segmentation
from AutofocusCore.models.terminology import structures

pytest.importorskip("highdicom")


@pytest.fixture
def case(reference_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A DICOM folder, and a segmentation of it."""
    folder = reference_data / "odd_geometry" / "dicom2nifti" / "ct_gantry_tilt_siemens_4slices"
    labels = sitk.Cast(read_image(folder).image > 5000, sitk.sitkUInt8)
    labels[200:260, 220:250, :] = 1
    record = {"model": {"name": "made-up", "version": "2.1.0", "sha256": "cd" * 32}}
    write_segmentation(tmp_path / "x.seg.nrrd", labels, structures("Mandible"), provenance=record)
    return folder, tmp_path / "x.seg.nrrd"


@pytest.mark.parametrize(("kind", "modality"), [("seg", "SEG"), ("rtstruct", "RTSTRUCT")])
def test_a_result_becomes_a_dicom_object(
    kind: str, modality: str, case: tuple[Path, Path], autofocus_here: Callable[..., object], tmp_path: Path
) -> None:
    folder, result = case
    done = autofocus_here("convert", result, "--format", kind, "--dicom", folder, "-o", tmp_path / "o.dcm")
    assert done.returncode == 0, done.stderr
    data = pydicom.dcmread(tmp_path / "o.dcm")
    assert (data.Modality, data.ManufacturerModelName) == (modality, "made-up")


def test_the_output_of_a_conversion_ends_in_dcm(
    case: tuple[Path, Path], autofocus_here: Callable[..., object], tmp_path: Path
) -> None:
    folder, result = case
    done = autofocus_here("convert", result, "--format", "seg", "--dicom", folder, "-o", tmp_path / "o.nii.gz")
    assert done.returncode == 1
    assert "let the name end in .dcm" in done.stderr
