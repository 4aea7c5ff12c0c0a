"""DICOM folders: series, order, gaps, tilt, frames."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import frame_count, read_image
from AutofocusCore.images.geometry import Grid

WriteSeries = Callable[..., Path]
OBLIQUE = (0.9, 0.3, np.sqrt(1 - 0.9**2 - 0.3**2))


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path, **options)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value)


def axial(count: int = 6, distance: float = 2.5, start: float = -40.0) -> np.ndarray:
    return np.array([[-10.0, -20.0, start + distance * k] for k in range(count)])


def test_slices_are_put_in_order_by_where_they_lie(write_series: WriteSeries) -> None:
    pixels = np.random.default_rng(0).integers(-1000, 1000, (6, 16, 20)).astype(np.int16)
    scan = read_image(write_series(axial(), pixels, spacing=(0.5, 0.75)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), pixels)
    assert scan.image.GetSpacing() == pytest.approx((0.75, 0.5, 2.5))  # x is the distance between columns
    assert scan.image.GetOrigin() == pytest.approx((-10, -20, -40))
    assert scan.modality == "CT"
    assert scan.warnings == ()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the file system refuses such names itself")
def test_a_slice_whose_name_is_not_unicode_is_refused(write_series: WriteSeries) -> None:
    folder = write_series(axial())
    slice_ = min(folder.iterdir())
    slice_.rename(folder / os.fsdecode(b"sch\xe4del"))
    assert "rename it" in refusal(folder)


def test_slope_and_intercept_of_each_slice_are_applied(write_series: WriteSeries) -> None:
    pixels = np.random.default_rng(0).integers(0, 1000, (4, 8, 8)).astype(np.int16)
    folder = write_series(axial(4), pixels, RescaleSlope=0.5, RescaleIntercept=-1024)
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_image(folder).image), pixels * 0.5 - 1024)


def test_an_oblique_stack_lies_where_its_slices_do(
    write_series: WriteSeries, make_grid: Callable, make_blob: Callable, find_blob: Callable
) -> None:
    grid = make_grid(4)
    if np.linalg.det(grid.matrix) < 0:
        grid = Grid.from_matrix(grid.size, grid.matrix * (1, 1, -1), np.array(grid.origin))
    at = grid.to_mm((12, 15, 11))
    pixels = np.round(sitk.GetArrayFromImage(make_blob(grid, at)) * 10)
    cosines = np.array(grid.direction).reshape(3, 3)[:, :2].T.ravel()
    positions = [grid.to_mm((0, 0, k)) for k in range(grid.size[2])]
    image = read_image(write_series(positions, pixels, cosines, spacing=grid.spacing[1::-1])).image
    assert Grid.of(image).same_as(grid, 0.01)
    np.testing.assert_allclose(find_blob(sitk.GetArrayFromImage(image), Grid.of(image)), at, atol=0.1)


def test_several_series_are_named_and_one_is_asked_for(write_series: WriteSeries) -> None:
    write_series(axial(5), uid="1.2.826.0.1.111111")
    folder = write_series(axial(7), uid="1.2.826.0.1.222222", SeriesNumber=8, SeriesDescription="Abdomen soft")
    text = refusal(folder)
    for part in ("2 series", '7 "Thorax" (CT, 5 slices)', '8 "Abdomen soft" (CT, 7 slices)', "choose one"):
        assert part in text
    for wanted, count in ((8, 7), ("8", 7), ("abdomen SOFT", 7), ("1.2.826.0.1.111111", 5), ("Thorax", 5)):
        assert read_image(folder, series=wanted).image.GetSize()[2] == count
    assert "no series named 9" in refusal(folder, series=9)


def test_series_of_the_same_name_are_told_apart_by_uid(write_series: WriteSeries) -> None:
    write_series(axial(5), uid="1.2.826.0.1.111111")
    folder = write_series(axial(7), uid="1.2.826.0.1.222222")
    assert "UID 1.2.826.0.1.222222" in refusal(folder)
    assert "2 series named Thorax" in refusal(folder, series="Thorax")


def test_a_localizer_and_foreign_files_are_passed_over(write_series: WriteSeries) -> None:
    write_series(axial(1), uid="1.2.826.0.1.111111", SeriesNumber=1, SeriesDescription="Topogram")
    folder = write_series(axial(6), uid="1.2.826.0.1.222222")
    (folder / "notes.txt").write_text("read me", encoding="utf-8")
    (folder / "Thumbs.db").write_bytes(b"\0" * 200)
    scan = read_image(folder)
    assert scan.image.GetSize()[2] == 6
    assert '1 "Topogram" (CT, 1 slice)' in scan.warnings[0]


def test_a_localizer_within_the_series_is_passed_over(write_series: WriteSeries) -> None:
    uid = "1.2.826.0.1.333333"
    kinds = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    folder = write_series(axial(1), uid=uid, cosines=(0, 1, 0, 0, 0, -1), ImageType=kinds)
    for path in folder.iterdir():
        path.rename(path.with_name("localizer"))
    write_series(axial(6), uid=uid)
    assert read_image(folder).image.GetSize()[2] == 6


def test_a_copy_of_a_slice_under_another_name_changes_nothing(write_series: WriteSeries) -> None:
    folder = write_series(axial())
    shutil.copy(next(folder.iterdir()), folder / "copy")
    assert read_image(folder).image.GetSize()[2] == 6


def test_a_missing_slice_is_named(write_series: WriteSeries) -> None:
    text = refusal(write_series(np.delete(axial(9), 4, axis=0)))
    for part in ("slices missing", "2.5 mm apart", "5.0 mm between the positions -32.5 and -27.5 mm"):
        assert part in text


def test_uneven_distances_are_refused_and_small_ones_noted(write_series: WriteSeries) -> None:
    uneven = axial(6)
    uneven[3, 2] += 1.0
    assert "uneven distances" in refusal(write_series(uneven))
    slight = axial(6)
    slight[3, 2] += 0.1
    assert "treated as evenly spaced" in read_image(write_series(slight, folder="slight")).warnings[0]


def test_mixed_orientations_are_named(write_series: WriteSeries) -> None:
    uid = "1.2.826.0.1.444444"
    write_series(axial(3), uid=uid, folder="mixed")
    for path in (write_series(axial(1), folder="mixed").parent / "mixed").iterdir():
        path.rename(path.with_name("a" + path.name))
    folder = write_series(axial(4), uid=uid, cosines=(0, 1, 0, 0, 0, -1), folder="mixed")
    text = refusal(folder, series=uid)
    assert "different orientation" in text
    assert "axial" in text
    assert "sagittal" in text


def test_a_tilted_gantry_keeps_the_grid_that_it_truly_lies_on(
    write_series: WriteSeries, make_blob: Callable, find_blob: Callable
) -> None:
    tilt = np.radians(20)
    steps = np.array([[1.0, 0, 0], [0, np.cos(tilt), 0], [0, np.sin(tilt), 3.0]])
    grid = Grid.from_matrix((30, 40, 12), steps, np.array([-15.0, -18.0, 100.0]))
    at = grid.to_mm((14, 20, 6))
    pixels = np.round(sitk.GetArrayFromImage(make_blob(grid, at)) * 10 - 1000)
    positions = [grid.to_mm((0, 0, k)) for k in range(12)]
    scan = read_image(write_series(positions, pixels, (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))))
    values = sitk.GetArrayFromImage(scan.image)
    assert Grid.of(scan.image).same_as(grid)
    np.testing.assert_array_equal(values, pixels)
    np.testing.assert_allclose(find_blob(values + 1000, Grid.of(scan.image)), at, atol=0.1)
    assert "lean by 20.0°" in scan.warnings[0]


def test_volumes_over_time_in_one_series_are_frames(write_series: WriteSeries) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (5, 8, 8))
    uid = "1.2.826.0.1.555555"
    folder = write_series(axial(5), pixels, uid=uid, TemporalPositionIdentifier=1)
    for path in list(folder.iterdir()):
        path.rename(path.with_name("first" + path.name))
    write_series(axial(5), pixels + 500, uid=uid, TemporalPositionIdentifier=2)
    assert frame_count(folder) == 2
    assert "2 volumes" in refusal(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(folder, frame=1).image), pixels + 500)
    next(path for path in folder.iterdir() if path.name.startswith("first")).unlink()
    assert "2 slices at most positions, but 1" in refusal(folder)


def test_a_single_slice_file_points_to_its_folder(write_series: WriteSeries) -> None:
    folder = write_series(axial(6))
    text = refusal(next(folder.iterdir()))
    assert "one of the 6 slices" in text
    assert str(folder) in text


def test_a_folder_without_dicom_and_one_with_a_single_slice_are_refused(
    tmp_path: Path, write_series: WriteSeries
) -> None:
    (tmp_path / "empty").mkdir()
    assert "no DICOM image" in refusal(tmp_path / "empty")
    assert "single 2-D slices" in refusal(write_series(axial(1)))


def test_series_in_subfolders_are_found(write_series: WriteSeries, tmp_path: Path) -> None:
    folder = write_series(axial(6))
    study = tmp_path / "study"
    shutil.move(folder, study / "CT" / "1")
    assert read_image(study).image.GetSize()[2] == 6


def test_a_truncated_slice_is_named(write_series: WriteSeries) -> None:
    folder = write_series(axial(6))
    victim = sorted(folder.iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:-100])
    text = refusal(folder)
    assert str(victim) in text
    assert "damaged" in text


def test_colour_and_positionless_series_are_refused(write_series: WriteSeries) -> None:
    assert "colour" in refusal(write_series(axial(3), SamplesPerPixel=3, folder="colour"))
    lost = write_series(axial(3), folder="lost", ImagePositionPatient=None)
    assert "the positions of its slices" in refusal(lost)


@pytest.mark.parametrize(
    ("name", "size", "spacing"),
    [
        ("odd_geometry/prostatex_mr_oblique/ProstateX-0218_t2_tra", (320, 320, 20), (0.625, 0.625, 3.6)),
        ("odd_geometry/dicom2nifti/mr_enhanced_multiframe", (256, 256, 8), (1, 1, 1.2)),
        ("odd_geometry/dicom2nifti/mr_ge_sagittal", (256, 256, 4), (1, 1, 1)),
        ("odd_geometry/dicom2nifti/mr_two_slices_only", (256, 256, 2), (1, 1, 1)),
        ("ct_totalsegmentator/example_ct_dicom", (512, 512, 20), (0.9765625, 0.9765625, 2)),
    ],
)
def test_real_series_are_read(reference_data: Path, name: str, size: tuple, spacing: tuple) -> None:
    scan = read_image(reference_data / name)
    assert scan.image.GetSize() == size
    assert scan.image.GetSpacing() == pytest.approx(spacing, abs=1e-3)
    assert scan.warnings == ()


def test_the_real_compressed_ct_agrees_with_its_labels_in_place_and_scale(reference_data: Path) -> None:
    scan = read_image(reference_data / "ct_totalsegmentator" / "example_ct_dicom")
    labels = sitk.ReadImage(str(reference_data / "ct_totalsegmentator" / "example_seg_dicom.nii.gz"))
    bones = sitk.Resample(labels, scan.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    of_vertebrae = np.isin(sitk.GetArrayFromImage(bones), range(26, 51))  # sacrum to C1 in that labelling
    values = sitk.GetArrayFromImage(scan.image)
    assert values.min() == -1024
    assert of_vertebrae.sum() > 1000
    assert 100 < values[of_vertebrae].mean() < 600


def test_the_real_enhanced_file_is_read_by_itself_and_placed_as_by_simpleitk(reference_data: Path) -> None:
    folder = reference_data / "odd_geometry" / "dicom2nifti" / "mr_enhanced_multiframe"
    path = next(folder.iterdir())
    image, other = read_image(path).image, sitk.ReadImage(str(path))
    assert Grid.of(image).same_as(Grid.of(other), 0.01)
    np.testing.assert_allclose(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(other), rtol=1e-5)


def test_the_real_tilted_series_keeps_its_slices(reference_data: Path) -> None:
    scan = read_image(reference_data / "odd_geometry" / "dicom2nifti" / "ct_gantry_tilt_siemens_4slices")
    assert "lean by 14.0°" in scan.warnings[0]
    assert scan.image.GetSize()[2] == 4
    assert Grid.of(scan.image).voxel_mm3 == pytest.approx(
        np.prod(scan.image.GetSpacing()[:2]) * 5 * np.cos(np.radians(14)), rel=1e-3
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("prostatex_mr_oblique/missing_slice", ("slices missing", "6.0 mm between", "3.0 mm apart")),
        ("dicom2nifti/mr_mixed_orientation", ("different orientation", "2 sagittal", "2 axial")),
        ("dicom2nifti/mr_siemens_mosaic_4d", ("mosaic", "dcm2niix")),
        ("prostatex_mr_oblique", ("2 series", "t2_tse_tra_320_p2", "ep2d_diff_tra_DYNDISTCALC_BVAL", "choose one")),
    ],
)
def test_real_series_that_are_no_volume_are_refused(reference_data: Path, name: str, parts: tuple[str, ...]) -> None:
    text = refusal(reference_data / "odd_geometry" / name)
    for part in parts:
        assert part in text
