"""Damaged files: cut short or spoilt, alone or in two parts, they are refused in one sentence and nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import frame_count, read_image

NOISE = np.random.default_rng(0).integers(0, 60000, (20, 20, 20)).astype(np.uint16)
WHOLE = ["a.nii.gz", "a.nii", "a.mha", "packed.mha", "a.nrrd", "packed.nrrd"]
IN_PARTS = [
    ("a.hdr", "a.img"),
    ("a.img", "a.img"),
    ("a.img.gz", "a.img.gz"),
    ("a.hdr.gz", "a.img.gz"),
    ("A.HDR", "A.IMG"),
    ("analyze.hdr", "analyze.img"),
    ("a.mhd", "a.raw"),
    ("packed.mhd", "packed.zraw"),
    ("a.nhdr", "a.raw"),
    ("packed.nhdr", "packed.raw.gz"),
]
"""What the user names, and the file that holds the voxels."""


def write(path: Path) -> Path:
    """The noise as an image of the format that the name says."""
    if path.name.startswith("analyze"):
        nibabel.save(nibabel.AnalyzeImage(NOISE.T.astype(np.int16), np.eye(4)), path)
    elif path.suffix.isupper():
        sitk.WriteImage(sitk.GetImageFromArray(NOISE), str(path.with_name(path.name.lower())))
        for part in path.parent.glob("a.*"):
            part.rename(part.with_name(part.name.upper()))
    else:
        written = path.with_name(path.name.replace(".hdr.gz", ".img.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(NOISE), str(written), path.name.startswith("packed"))
    return path


def refusal(path: Path, capfd: pytest.CaptureFixture[str], part: str = "") -> str:
    """The one sentence that a user sees: the error names the file, or a part of it, and no library adds remarks."""
    with pytest.raises(InputError) as caught:
        read_image(path)
    text = str(caught.value)
    assert str(path) in text or (part and str(path.with_name(part)) in text)
    assert "\n" not in text
    assert capfd.readouterr().err == ""
    return text


@pytest.mark.parametrize(("name", "part"), [*((name, name) for name in WHOLE), *IN_PARTS])
def test_a_whole_file_is_read_without_remarks(
    tmp_path: Path, name: str, part: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name)
    assert (tmp_path / part).is_file()
    image = read_image(path).image
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).astype(np.uint16), NOISE)
    assert frame_count(path) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "part"), [*((name, name) for name in WHOLE), *IN_PARTS])
@pytest.mark.parametrize("share", [0.97, 0.7, 0.1])
def test_a_truncated_file_is_never_read_as_zeros(
    tmp_path: Path, name: str, part: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path, cut = write(tmp_path / name), tmp_path / part
    whole = cut.read_bytes()
    cut.write_bytes(whole[: int(len(whole) * share)])
    assert "damaged or incomplete" in refusal(path, capfd, part)


@pytest.mark.parametrize(("name", "part"), [pair for pair in IN_PARTS if pair[0] != pair[1]])
def test_a_header_without_its_voxels_says_so(
    tmp_path: Path, name: str, part: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name)
    (tmp_path / part).unlink()
    text = refusal(path, capfd)
    plain = part if name.endswith(".nhdr") else part.removesuffix(".gz")
    assert f"its voxels, {plain}, is missing" in text


def test_voxels_that_may_not_be_read_are_no_crash(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = write(tmp_path / "packed.mhd"), Path.open

    def locked(path: Path, *arguments: str) -> object:
        if path.suffix == ".zraw":
            raise PermissionError(13, "Permission denied")
        return whole(path, *arguments)

    monkeypatch.setattr(Path, "open", locked)
    assert "cannot be read (Permission denied)" in refusal(path, capfd)


@pytest.mark.parametrize("name", ["a.nii.gz", "packed.mha", "packed.nrrd"])
def test_a_spoilt_byte_in_packed_voxels_is_noticed(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    assert "damaged" in refusal(path, capfd)


def test_a_spoilt_byte_that_unpacks_all_the_same_is_noticed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.nii")
    packed = bytearray(gzip.compress(path.read_bytes(), compresslevel=0))
    packed[700] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(packed)
    assert "damaged" in refusal(tmp_path / "a.nii.gz", capfd)


@pytest.mark.parametrize("skip", [b"64", b"-1"])
def test_bytes_before_the_voxels_of_a_separate_file_are_no_voxels(
    tmp_path: Path, skip: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path, raw = write(tmp_path / "a.mhd"), tmp_path / "a.raw"
    path.write_bytes(path.read_bytes().replace(b"ElementDataFile", b"HeaderSize = " + skip + b"\nElementDataFile"))
    raw.write_bytes(bytes(64) + raw.read_bytes())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(path).image), NOISE)
    raw.write_bytes(raw.read_bytes()[:-65])
    assert "damaged" in refusal(path, capfd, raw.name)


def test_a_metaimage_of_written_numbers_is_not_measured_in_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mhd")
    path.write_bytes(path.read_bytes().replace(b"BinaryData = True", b"BinaryData = False").replace(b"a.raw", b"LOCAL"))
    with path.open("ab") as file:
        file.write(b"7 " * NOISE.size)
    path.write_bytes(path.read_bytes().replace(b"MET_USHORT", b"MET_FLOAT").replace(b"7 7 ", b"8 7 ", 1))
    assert sitk.GetArrayFromImage(read_image(path).image).sum() == 7 * NOISE.size + 1


@pytest.mark.parametrize("end", ["hdr", "img"])
@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (2, 2)])
def test_a_sheared_pair_is_straightened_like_a_single_file(tmp_path: Path, end: str, sform: int, qform: int) -> None:
    affine = np.array([[1, 0, 0, -20], [0, 1, 0.9, -30], [0, 0, 3, -15], [0, 0, 0, 1]])
    images = []
    for kind, name in ((nibabel.Nifti1Image, "a.nii"), (nibabel.Nifti1Pair, f"a.{end}")):
        image = kind(NOISE.T.astype(np.float32), affine)
        image.set_qform(affine, qform, strip_shears=True)
        image.set_sform(affine, sform)
        nibabel.save(image, tmp_path / name)
        scan = read_image(tmp_path / name)
        assert "sheared" in scan.warnings[0]
        images.append(scan.image)
    assert sitk.Hash(images[0]) == sitk.Hash(images[1])
    assert images[0].GetDirection() == images[1].GetDirection()
    assert images[0].GetOrigin() == images[1].GetOrigin()
