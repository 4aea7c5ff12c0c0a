"""Compressed DICOM frames are checked before a decoder sees them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from AutofocusCore.errors import InputError
from AutofocusCore.images.codestreams import check_frames, size_of

ROWS, COLUMNS = 24, 40
PLANE = np.random.default_rng(1).integers(0, 900, (1, ROWS, COLUMNS)).astype(np.int16)


def compressed(kind: str, folder: Path) -> bytes:
    """A slice as GDCM compresses it."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(folder / "slice.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(kind)
    writer.Execute(sitk.GetImageFromArray(PLANE))
    packed = pydicom.dcmread(folder / "slice.dcm")
    return next(iter(generate_frames(packed.PixelData, number_of_frames=1)))


@pytest.fixture(params=["JPEG", "JPEG2000"])
def frame(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    return compressed(request.param, tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "scan.dcm"
    path.write_bytes(bytes(4096))
    return path


def described(frames: list[bytes], *, rows: int = ROWS, columns: int = COLUMNS, bits: int = 16) -> Dataset:
    data = Dataset()
    data.Rows, data.Columns, data.BitsAllocated = rows, columns, bits
    data.PixelData = encapsulate(frames)
    return data


def refusal(data: Dataset, frames: int, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        check_frames(data, frames, path)
    return str(caught.value)


def test_the_size_of_a_slice_is_read_from_its_compressed_form(frame: bytes) -> None:
    width, height, bits = size_of(frame) or (0, 0, 0)
    assert (width, height) == (COLUMNS, ROWS)
    assert 10 <= bits <= 16


def test_the_size_of_an_ordinary_jpeg_picture_is_read(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(PLANE[0].astype(np.uint8)), str(tmp_path / "picture.jpg"))
    assert size_of((tmp_path / "picture.jpg").read_bytes()) == (COLUMNS, ROWS, 8)


def test_a_jpeg_2000_file_has_the_size_of_the_code_stream_in_it(tmp_path: Path) -> None:
    boxes = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 8, b"jp2c")
    stream = b"\xff\x4f\xff\x51" + struct.pack(">HH8IHB", 41, 0, 47, 33, 7, 9, 40, 24, 0, 0, 1, 11) + b"\x01\x01"
    assert size_of(boxes + stream) == size_of(stream) == (40, 24, 12)


def test_fill_bytes_and_markers_without_a_length_are_passed_over(tmp_path: Path) -> None:
    frame = compressed("JPEG", tmp_path)
    assert size_of(frame[:2] + b"\xff\xff" + b"\xff\x01" + frame[2:]) == size_of(frame)


@pytest.mark.parametrize(
    "other", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x04ab", b"RLE lossless", b"\x00\x00\x00\x0cjP  "]
)
def test_data_without_a_size_give_none(other: bytes) -> None:
    assert size_of(other) is None


def test_whole_frames_of_the_described_size_pass(frame: bytes, path: Path) -> None:
    check_frames(described([frame, frame, frame]), 3, path)


def test_frames_of_a_kind_that_states_no_size_are_left_to_the_decoder(path: Path) -> None:
    check_frames(described([bytes(64)]), 1, path)


def test_a_missing_frame_is_refused(frame: bytes, path: Path) -> None:
    assert "3 frames, but it has 2" in refusal(described([frame, frame]), 3, path)


def test_another_size_than_the_header_describes_is_refused(frame: bytes, path: Path) -> None:
    said = refusal(described([frame], rows=ROWS + 1), 1, path)
    assert f"compressed pixels of {COLUMNS} × {ROWS}" in said
    assert f"its header describes {COLUMNS} × {ROWS + 1}" in said


def test_more_bits_than_the_header_describes_are_refused(frame: bytes, path: Path) -> None:
    assert f"its header describes {COLUMNS} × {ROWS} with 8;" in refusal(described([frame], bits=8), 1, path)


def test_a_frame_that_was_cut_short_is_refused(frame: bytes, path: Path) -> None:
    assert "a compressed frame is cut short" in refusal(described([frame[: len(frame) // 2]]), 1, path)


def test_frames_that_are_no_items_are_refused(path: Path) -> None:
    data = described([bytes(64)])
    data.PixelData = b"\x01\x02\x03\x04" + bytes(40)
    assert "its compressed frames are inconsistent" in refusal(data, 1, path)
