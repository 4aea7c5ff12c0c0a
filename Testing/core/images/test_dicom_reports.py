"""DICOM as scanners, archives and damages make it: what was segmented wrongly, or refused though it is usable."""

from __future__ import annotations

import os
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from AutofocusCore.errors import InputError
from AutofocusCore.images import frame_count, read_image
from AutofocusCore.images.dicom_planes import read_planes
from AutofocusCore.images.geometry import Grid
from Testing.fuzz.seeds import VALUES, compress, write_seeds

WriteSeries = Callable[..., Path]
PIXELS = np.random.default_rng(3).integers(0, 900, (12, 16, 20)).astype(np.int16)


def axial(places: object) -> list[tuple[float, float, float]]:
    return [(0.0, 0.0, float(z)) for z in places]  # type: ignore[attr-defined]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(path: Path, **attributes: object) -> None:
    """Other attributes in a file; None takes one away."""
    data = pydicom.dcmread(path)
    for name, value in attributes.items():
        if value is None:
            del data[name]
        else:
            setattr(data, name, value)
    data.save_as(path)


def raw_text(path: Path, name: str, text: bytes) -> None:
    """Text in a number's place, as no library writes it."""
    data = pydicom.dcmread(path)
    element = data[name]
    data[name] = pydicom.dataelem.RawDataElement(element.tag, element.VR, len(text), text, 0, False, True)
    data.save_as(path)


@pytest.fixture
def enhanced(tmp_path: Path) -> Path:
    return next(path for path in write_seeds("DICOM", tmp_path / "seeds") if path.name == "enhanced.dcm")


def test_fewer_pixels_than_the_header_promises_are_refused(write_series: WriteSeries, enhanced: Path) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    victim = sorted(folder.iterdir())[4]
    change(victim, PixelData=pydicom.dcmread(victim).PixelData[:-40])
    assert f"{victim} is damaged" in refusal(folder)
    change(enhanced, PixelData=VALUES.tobytes()[:-40])
    assert "damaged" in refusal(enhanced)


def test_eight_bits_over_sixteen_are_refused(write_series: WriteSeries) -> None:
    folder = write_series(axial(range(12)), PIXELS, BitsAllocated=8, BitsStored=8, HighBit=7)
    assert "640 bytes of pixels, but its header describes 320" in refusal(folder)


@pytest.mark.parametrize("slope", [b"nan ", b"inf ", b"abc ", b"0 ", b"1\\2 "])
def test_a_slope_that_is_no_slope_is_refused(write_series: WriteSeries, enhanced: Path, slope: bytes) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    raw_text(sorted(folder.iterdir())[3], "RescaleSlope", slope)
    assert "rescale slope" in refusal(folder)


def test_slope_and_intercept_of_each_slice_are_applied(write_series: WriteSeries) -> None:
    folder = write_series(axial(range(12)), PIXELS, RescaleSlope=2.5, RescaleIntercept=-1024)
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_image(folder).image), PIXELS * 2.5 - 1024)


def test_a_modality_lut_is_applied(write_series: WriteSeries) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [1000, 0, 16], "HU"
    table.add_new("LUTData", "OW", (np.arange(1000, dtype="<u2") * 3 + 7).tobytes())
    folder = write_series(
        axial(range(12)), PIXELS, RescaleSlope=None, PixelRepresentation=0, ModalityLUTSequence=Sequence([table])
    )
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(folder).image), PIXELS * 3 + 7)


def test_monochrome1_is_taken_as_stored_in_slices_and_frames_alike(write_series: WriteSeries, enhanced: Path) -> None:
    folder = write_series(axial(range(12)), PIXELS, PhotometricInterpretation="MONOCHROME1")
    scan = read_image(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), PIXELS)
    assert "MONOCHROME1" in scan.warnings[0]
    change(enhanced, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(enhanced).image), VALUES)


def test_bits_above_those_stored_are_no_part_of_the_value(write_series: WriteSeries) -> None:
    values = (PIXELS | np.int16(0x4000)).astype(np.int16)  # an overlay in bit 14, as old scanners kept it
    folder = write_series(axial(range(12)), values, BitsStored=12, HighBit=11, PixelRepresentation=0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(folder).image), PIXELS)
    signed = write_series(axial(range(12)), -PIXELS & 0xFFF, folder="signed", BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(signed).image), -PIXELS)


@pytest.mark.parametrize("angle", [45.0, 30.0, 17.0])
def test_rounded_direction_cosines_do_not_change_the_spacing(write_series: WriteSeries, angle: float) -> None:
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    places = np.arange(12)[:, None] * np.array([-sine, cosine, 0.0])  # across x' = (cos, sin, 0), y' = z
    folder = write_series(places, PIXELS, (round(cosine, 2), round(sine, 2), 0, 0, 0, 1))
    scan = read_image(folder)
    assert scan.image.GetSpacing() == pytest.approx((1, 1, 1), abs=1e-4)
    assert not Grid.of(scan.image).sheared


def test_a_colour_report_and_a_scout_are_passed_over_with_a_warning(write_series: WriteSeries) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    write_series(
        [(0, 0, 0), (5, 0, 0), (9, 0, 0)],
        PIXELS[:3],
        (0, 1, 0, 0, 0, -1),
        SeriesNumber=1,
        SeriesDescription="scout",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    report = write_series(axial(range(2)), PIXELS[:2], folder="report", SeriesNumber=99, SeriesDescription="Dose")
    for number, path in enumerate(sorted(report.iterdir())):
        data = pydicom.dcmread(path)
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            del data[name]
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = bytes(16 * 20 * 3)
        data.save_as(folder / f"report{number}")
    scan = read_image(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), PIXELS)
    assert '1 "scout"' in scan.warnings[0]
    assert '99 "Dose"' in scan.warnings[0]


def test_a_slice_sent_twice_is_left_out_once(write_series: WriteSeries) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    again = folder / "again"
    shutil.copy(sorted(folder.iterdir())[5], again)
    change(again, SOPInstanceUID="1.2.3.99")
    scan = read_image(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), PIXELS)
    assert "1 slice twice" in scan.warnings[0]
    assert frame_count(folder) == 1
    change(again, PixelData=bytes(len(pydicom.dcmread(again).PixelData)))
    assert "2 different images at one position" in refusal(folder)


def copied(path: Path, number: int, **attributes: object) -> None:
    again = path.with_name(f"again{path.name}")
    shutil.copy(path, again)
    change(again, SOPInstanceUID=f"1.2.3.99.{number}", **attributes)


@pytest.mark.parametrize("files", [12, 11, 6])
@pytest.mark.parametrize("attributes", [{}, {"AcquisitionNumber": 2, "InstanceNumber": 500}])
def test_a_series_that_came_twice_is_used_once_and_this_is_said(
    write_series: WriteSeries, files: int, attributes: dict[str, int]
) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    for number, path in enumerate(sorted(folder.iterdir())[:files]):
        copied(path, number, **attributes)
    scan = read_image(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), PIXELS)
    assert f"{files} slices twice" in scan.warnings[0]
    assert frame_count(folder) == 1
    assert [plane.frame for plane in read_planes(folder)] == [None] * 12


def test_volumes_over_time_that_came_twice_keep_their_frames_though_some_planes_are_empty(
    write_series: WriteSeries,
) -> None:
    empty, later = PIXELS.copy(), PIXELS + 1000
    empty[:2] = later[:2] = 0
    folder = write_series(axial(range(12)), empty, uid="1.2.3.4.555551", TemporalPositionIdentifier=1)
    for path in list(folder.iterdir()):
        path.rename(path.with_name("first" + path.name))
    write_series(axial(range(12)), later, uid="1.2.3.4.555551", TemporalPositionIdentifier=2)
    assert frame_count(folder) == 2
    for number, path in enumerate(sorted(folder.iterdir())):
        copied(path, number)
    assert frame_count(folder) == 2
    for frame, pixels in enumerate((empty, later)):
        scan = read_image(folder, frame=frame)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), pixels)
        assert "24 slices twice" in scan.warnings[0]


def test_two_slice_distances_are_resampled_to_the_thinner_with_a_warning(write_series: WriteSeries) -> None:
    places = [*np.arange(0, 15, 2.5), *np.arange(15, 50, 5.0)]
    pixels = np.broadcast_to(np.array(places).reshape(-1, 1, 1) * 10, (len(places), 16, 20)).astype(np.int16)
    scan = read_image(write_series(axial(places), pixels))
    assert scan.image.GetSpacing()[2] == pytest.approx(2.5)
    values = sitk.GetArrayFromImage(scan.image)[:, 3, 3]
    np.testing.assert_array_equal(values, np.arange(len(values)) * 25)
    assert "6 of 2.50 mm, 6 of 5.00 mm" in scan.warnings[0]


@pytest.mark.parametrize("missing", [1, 5, 10])
def test_a_missing_slice_is_still_refused(write_series: WriteSeries, missing: int) -> None:
    places = [z * 3.0 for z in range(12) if z != missing]
    assert "slices missing" in refusal(write_series(axial(places), PIXELS[:11]))


def test_parts_of_a_series_in_a_subfolder_belong_to_it(write_series: WriteSeries) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    (folder / "more").mkdir()
    for path in sorted(path for path in folder.iterdir() if path.is_file())[:5]:
        path.rename(folder / "more" / path.name)
    scan = read_image(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), PIXELS)
    assert "5 of the 12 slices" in scan.warnings[0]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_linked_series_is_followed_but_not_in_circles(write_series: WriteSeries, tmp_path: Path) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    patient = tmp_path / "patient"
    patient.mkdir()
    (patient / "ct").symlink_to(folder)
    (patient / "round").symlink_to(patient)
    os.mkfifo(patient / "pipe")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(patient).image), PIXELS)


def test_one_of_two_files_of_a_volume_says_that_there_is_another(enhanced: Path) -> None:
    other = enhanced.with_name("other.dcm")
    shutil.copy(enhanced, other)
    change(other, SOPInstanceUID="1.2.3.98")
    assert "further files beside it (other.dcm)" in read_image(enhanced).warnings[0]


def test_frames_with_one_position_follow_the_distance_in_the_header(enhanced: Path) -> None:
    change(enhanced, PerFrameFunctionalGroupsSequence=None, SharedFunctionalGroupsSequence=None)
    assert "does not give the positions of its slices" in refusal(enhanced)
    change(
        enhanced,
        ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[1, 1],
        SpacingBetweenSlices=2,
    )
    scan = read_image(enhanced)
    assert scan.image.GetSpacing() == (1, 1, 2)
    assert "order may be reversed" in scan.warnings[0]


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_compressed_slices_and_frames_are_decoded_exactly(
    write_series: WriteSeries, enhanced: Path, tmp_path: Path, kind: str
) -> None:
    folder = write_series(axial(range(12)), PIXELS)
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in folder.iterdir():
        compress(path, packed / path.name, kind)
    assert pydicom.dcmread(packed / path.name).file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(packed).image), PIXELS)
    whole = tmp_path / "whole" / "e.dcm"
    whole.parent.mkdir()
    compress(enhanced, whole, kind)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(whole).image), VALUES)
    raw = whole.read_bytes()
    whole.write_bytes(raw[: int(len(raw) * 0.9)])
    assert "damaged" in refusal(whole)


def test_jpeg_ls_of_the_reports_is_decoded(reports: Path) -> None:
    frames = read_image(reports / "dicom-enhanced-compressed" / "enhanced" / "e.dcm").image
    slices = read_image(reports / "dicom-enhanced-compressed" / "slices").image
    assert np.mean(sitk.GetArrayViewFromImage(frames)) == pytest.approx(49.691, abs=1e-3)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(frames), sitk.GetArrayViewFromImage(slices))


@pytest.fixture
def reports(reference_data: Path) -> Path:
    found = reference_data.parent / "fixtures" / "reports"
    if not found.is_dir():
        pytest.skip("the inputs that public reports led to are not there")
    return found


@pytest.mark.parametrize("frames", [b"1000000000000", b"-3", b"x", b"70000"])
def test_numbers_of_frames_are_not_believed(enhanced: Path, frames: bytes) -> None:
    raw_text(enhanced, "NumberOfFrames", frames)
    refusal(enhanced)


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("AutofocusCore.images.slices.BOMB_BYTES", 1 << 22)
    deflated = next(path for path in write_seeds("DICOM", tmp_path / "seeds") if path.name == "deflated")
    path = deflated / "0.dcm"
    raw = path.read_bytes()
    start = 144 + pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(bytes(1 << 24)) + packer.flush()
    path.write_bytes(raw[:start] + body)
    assert "which no scan does" in refusal(deflated)


def test_groups_nested_without_end_are_a_sentence(tmp_path: Path, enhanced: Path) -> None:
    item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (tmp_path / "nested.dcm").write_bytes(enhanced.read_bytes()[:340] + item * 5000)
    refusal(tmp_path / "nested.dcm")


def test_frames_that_the_file_cannot_hold_are_refused_at_once(enhanced: Path) -> None:
    change(enhanced, PerFrameFunctionalGroupsSequence=None, NumberOfFrames=100_000)
    change(enhanced, ImagePositionPatient=[0, 0, 0], SpacingBetweenSlices=1)
    assert "says 100000 frames" in refusal(enhanced)


def test_slices_that_do_not_say_how_large_their_pixels_are_say_just_this(write_series: WriteSeries) -> None:
    folder = write_series(axial(range(4)), PIXELS[:4])
    for path in folder.iterdir():
        change(path, PixelSpacing=None)
    assert "does not give its pixel size" in refusal(folder)


@pytest.mark.parametrize("field", ["BitsAllocated", "PixelData"])
def test_compressed_pixels_without_a_field_that_they_need_are_named(tmp_path: Path, field: str) -> None:
    folder = write_seeds("packed DICOM", tmp_path / "sound")[0]
    change(folder / "5.dcm", **{field: None})
    assert f"{folder / '5.dcm'} " in refusal(folder)
    assert "in an unexpected way" not in refusal(folder)
