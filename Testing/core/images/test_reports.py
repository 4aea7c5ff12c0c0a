"""What public reports and audits brought to light: each of these was read wrongly, or refused, without a true word."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import frame_count, read_image
from AutofocusCore.images.geometry import Grid

VALUES = np.random.default_rng(0).integers(0, 200, (12, 14, 16)).astype(np.int16)  # (z, y, x)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
AFFINE[:3, 3] = (-14, -16, -12)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def nifti(
    path: Path,
    values: np.ndarray = VALUES,
    qform: np.ndarray = AFFINE,
    sform: np.ndarray = AFFINE,
    codes: tuple[int, int] = (1, 1),
    kind: type = nibabel.Nifti1Image,
    **fields: bytes,
) -> Path:
    """A NIfTI file; of the header, at<offset>=bytes are replaced."""
    image = kind(values.transpose(2, 1, 0), AFFINE, dtype=values.dtype)
    image.set_qform(qform, codes[0])
    image.set_sform(sform, codes[1])
    raw = bytearray(image.to_bytes())
    for name, value in fields.items():
        at = int(name.removeprefix("at"))
        raw[at : at + len(value)] = value
    path.write_bytes(gzip.compress(raw) if path.suffix.lower() == ".gz" else raw)
    return path


def voxels(path: Path, **options: object) -> np.ndarray:
    return sitk.GetArrayFromImage(read_image(path, **options).image)


def moved(by: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += by
    return affine


# Another file than the one that was named


def test_a_packed_file_is_read_by_its_own_voxels_with_an_unpacked_one_beside_it(tmp_path: Path) -> None:
    nifti(tmp_path / "x.nii", VALUES + 1000)
    np.testing.assert_array_equal(voxels(nifti(tmp_path / "x.nii.gz")), VALUES)


@pytest.mark.parametrize(("named", "other"), [("x.img.gz", "x.img"), ("x.img", "x.img.gz"), ("x.hdr", "x.img.gz")])
def test_a_pair_is_read_by_the_part_that_was_named(tmp_path: Path, named: str, other: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / "x.hdr"))
    plain = (tmp_path / "x.img").read_bytes()
    (tmp_path / "x.img.gz").write_bytes(gzip.compress(plain))
    spoilt = bytes(len(plain))
    (tmp_path / other).write_bytes(gzip.compress(spoilt) if other.endswith("gz") else spoilt)
    np.testing.assert_array_equal(voxels(tmp_path / named), VALUES)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.mha", "x.nrrd", "x.dcm", "x.tif"])
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "named pipe" in refusal(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
@pytest.mark.parametrize("kind", ["mhd", "nhdr", "hdr"])
def test_a_named_pipe_in_the_place_of_the_voxels_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / f"x.{kind}"))
    data = next(path for path in tmp_path.iterdir() if path.suffix != f".{kind}")
    data.unlink()
    os.mkfifo(data)
    assert "named pipe" in refusal(tmp_path / f"x.{kind}")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there are no devices among files")
def test_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").symlink_to("/dev/zero")
    assert "a device" in refusal(tmp_path / "x.nii.gz")


# Headers that a damage switches off


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"at0": struct.pack("<i", 349)}, "length of the header"),
        ({"at344": b"xxx\0"}, "n+1"),
        ({"at344": b"ni1\0"}, "of a pair"),
        ({"at40": struct.pack("<h", 9)}, "9 dimensions"),
        ({"at42": struct.pack("<h", 0)}, "size is 0"),
        ({"at70": struct.pack("<h", 99)}, "type 99"),
        ({"at72": struct.pack("<h", 8)}, "8 bits"),
        ({"at108": struct.pack("<f", 100)}, "within the header"),
        ({"at108": struct.pack("<f", 348)}, "within the header"),
        ({"at46": struct.pack("<h", 3)}, "but there are more"),
        ({"at70": struct.pack("<2h", 2, 8)}, "but there are more"),
        ({"at112": struct.pack("<2f", np.inf, 0)}, "scaled by inf"),
        ({"at123": b"\x07"}, "unit of length"),
        ({"at254": struct.pack("<h", 0), "at256": struct.pack("<f", np.nan)}, "singular"),
        ({"at254": struct.pack("<h", 0), "at256": struct.pack("<3f", 3, 0, 0)}, "singular"),
    ],
)
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_damaged_header_is_refused_and_says_what_is_wrong(
    tmp_path: Path, name: str, fields: dict[str, bytes], said: str
) -> None:
    assert said in refusal(nifti(tmp_path / name, **fields))


def test_voxels_begin_behind_the_header_where_it_does_not_say(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii", at108=struct.pack("<f", 0))
    np.testing.assert_array_equal(voxels(path), VALUES)


@pytest.mark.parametrize("name", ["x.mha", "x.nrrd"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_half_the_voxels_is_refused(tmp_path: Path, name: str, packed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 200, (24, 14, 16)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name), packed)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw.replace(b"16 14 24", b"16 14 12", 1))
    assert "but there are more" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["x.mhd", "x.nhdr"])
def test_a_header_may_pick_one_volume_of_a_file(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / name))
    other = np.full(VALUES.shape, 7, np.int16)
    (tmp_path / "x.raw").write_bytes(other.tobytes() + VALUES.tobytes() + other.tobytes())
    assert "but there are more" in refusal(tmp_path / name)
    header, skip = (tmp_path / name).read_bytes(), VALUES.nbytes
    line = f"HeaderSize = {skip}\nElementDataFile" if name == "x.mhd" else f"byte skip: {skip}\ndata file"
    (tmp_path / name).write_bytes(header.replace(line.split("\n")[1].encode(), line.encode()))
    np.testing.assert_array_equal(voxels(tmp_path / name), VALUES)


@pytest.mark.parametrize("spacings", ["", "spacings: 1 1 nan\n"])
def test_a_nrrd_that_does_not_say_how_large_its_voxels_are_gets_a_warning(tmp_path: Path, spacings: str) -> None:
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 16 14 12\n{spacings}endian: little\nencoding: raw\n\n"
    (tmp_path / "x.nrrd").write_bytes(head.encode() + VALUES.tobytes())
    assert "1 mm was assumed" in read_image(tmp_path / "x.nrrd").warnings[0]


def test_spoilt_bytes_within_a_packed_nrrd_are_found(tmp_path: Path) -> None:
    packed = gzip.compress(VALUES.tobytes())
    packed = packed[:2000] + bytes(200) + packed[2200:]
    head = "type: int16\ndimension: 3\nspace: LPS\nsizes: 16 14 12\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    (tmp_path / "x.nrrd").write_bytes(b"NRRD0005\n" + head.encode() + b"endian: little\nencoding: gzip\n\n" + packed)
    assert "damaged" in refusal(tmp_path / "x.nrrd")


@pytest.mark.parametrize(
    "directions", ["none none none", "(1e300,0,0) (0,1,0) (0,0,1)", "(1,0,0) (0,1,0)", "(1,0) 2 3"]
)
def test_directions_that_are_none_are_not_taken_for_millimetres(tmp_path: Path, directions: str) -> None:
    head = f"type: int16\ndimension: 3\nspace: LPS\nsizes: 16 14 12\nspace directions: {directions}\n"
    (tmp_path / "x.nrrd").write_bytes(
        b"NRRD0005\n" + head.encode() + b"endian: little\nencoding: raw\n\n" + VALUES.tobytes()
    )
    assert "header that makes no sense" in refusal(tmp_path / "x.nrrd")


@pytest.mark.parametrize(
    "line",
    [
        *("NDims = -3", "NDims = 99", "NDims = 2147483647", "DimSize = 16 14", "DimSize = 16 14 -12"),
        *("ElementType = MET_X", "ElementDataFile = %s%s%s%s 1 24 1", "ElementDataFile = %0999999999d.raw 1 3 1"),
        "ElementDataFile = %d%n 1 3 1",
    ],
)
def test_a_metaimage_that_crashes_the_library_is_refused_before_it_sees_it(tmp_path: Path, line: str) -> None:
    fields = {"NDims": "3", "DimSize": "16 14 12", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL"}
    fields |= dict([line.split(" = ")])
    text = "ObjectType = Image\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())
    (tmp_path / "x.mha").write_bytes(text.encode() + VALUES.tobytes())
    assert "header that makes no sense" in refusal(tmp_path / "x.mha")


@pytest.mark.parametrize("pattern", ["a%0999999999d.raw 1 3 1", "%s%s.raw 1 3 1", "%d.raw 1 99999999 1", "a%n.raw 1 2"])
def test_a_nrrd_whose_pattern_crashes_the_library_is_refused(tmp_path: Path, pattern: str) -> None:
    head = f"type: int16\ndimension: 3\nsizes: 16 14 12\nendian: little\nencoding: raw\ndata file: {pattern}\n"
    (tmp_path / "x.nhdr").write_bytes(b"NRRD0005\n" + head.encode())
    assert "pattern of files" in refusal(tmp_path / "x.nhdr")


# Geometry given twice, or not at all


@pytest.mark.parametrize("code", [2, 4])
def test_forms_that_disagree_are_settled_as_itk_does_and_the_distance_is_said(tmp_path: Path, code: int) -> None:
    path = nifti(tmp_path / "x.nii.gz", sform=moved(20), codes=(1, code))
    scan = read_image(path)
    assert Grid.of(scan.image).same_as(Grid.of(sitk.ReadImage(str(path))))
    assert "20.0 mm apart" in scan.warnings[0]


def test_a_sheared_sform_beside_another_qform_gives_way_to_it_with_a_warning(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 2] = 0.3
    path = nifti(tmp_path / "x.nii", sform=sheared, codes=(1, 4))
    scan = read_image(path)
    assert Grid.of(scan.image).same_as(Grid.of(sitk.ReadImage(str(path))))
    assert "3.3 mm apart" in scan.warnings[0]


def test_forms_that_run_to_different_sides_are_refused(tmp_path: Path) -> None:
    flipped = np.diag([-1.0, 1, 1, 1]) @ AFFINE
    text = refusal(nifti(tmp_path / "x.nii", sform=flipped, codes=(1, 2)))
    assert "its axes run to RAS by its qform, to LAS by its sform" in text


def test_voxel_sizes_that_disagree_are_said_or_refused(tmp_path: Path) -> None:
    slightly, much = np.diag([1.03, 1, 1, 1]) @ AFFINE, np.diag([2.0, 1, 1, 1]) @ AFFINE
    assert "1.03" in read_image(nifti(tmp_path / "a.nii", sform=slightly, codes=(0, 1))).warnings[0]
    assert "contradicts itself" in refusal(nifti(tmp_path / "b.nii", sform=much, codes=(0, 1)))


def write_raw(path: Path, head: str) -> Path:
    path.write_bytes(head.encode() + VALUES.tobytes())
    return path


def test_an_image_without_orientation_says_that_left_and_right_are_a_guess(tmp_path: Path) -> None:
    analyze = nibabel.AnalyzeImage(VALUES.transpose(2, 1, 0), AFFINE)
    nibabel.save(analyze, tmp_path / "analyze.img")
    meta = "NDims = 3\nDimSize = 16 14 12\nElementType = MET_SHORT\nElementSpacing = 1 1 1\nElementDataFile = LOCAL\n"
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 16 14 12\nspacings: 1 1 1\nendian: little\nencoding: raw\n\n"
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / "x.tif"))
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / "x.vtk"))
    for path in (
        nifti(tmp_path / "x.nii.gz", codes=(0, 0)),
        tmp_path / "analyze.img",
        tmp_path / "analyze.hdr",
        write_raw(tmp_path / "x.mha", meta),
        write_raw(tmp_path / "x.nrrd", nrrd),
        tmp_path / "x.tif",
        tmp_path / "x.vtk",
    ):
        scan = read_image(path)
        assert "left and right are a guess" in " ".join(scan.warnings), path
        assert Grid.of(scan.image).same_as(Grid.of(sitk.ReadImage(str(path)))), path
        np.testing.assert_array_equal(sitk.GetArrayFromImage(scan.image), VALUES)


@pytest.mark.parametrize(("scale", "said"), [(0.001, "smaller than"), (100, "larger than any patient")])
def test_a_spacing_in_other_units_is_said_before_anything_is_computed(tmp_path: Path, scale: float, said: str) -> None:
    affine = np.diag([scale, scale, scale, 1.0]) @ AFFINE
    assert said in refusal(nifti(tmp_path / "x.nii.gz", qform=affine, sform=affine))


# Usable, though it was refused


def test_nifti_2_and_odd_names_are_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(voxels(nifti(tmp_path / "two.nii.gz", kind=nibabel.Nifti2Image)), VALUES)
    packed = nifti(tmp_path / "x.nii.gz")
    for name in ("Name.Nii.Gz", "packed.nii", "UPPER.NII.GZ"):
        shutil.copy(packed, tmp_path / name)
        np.testing.assert_array_equal(voxels(tmp_path / name), VALUES)
        assert frame_count(tmp_path / name) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"PK\x03\x04....", "zip archive"),
        (b"<!DOCTYPE html><html>", "web page"),
        (bytes(5000), "all zeros"),
        (b"\x89PNG\r\n\x1a\n", "2-D picture"),
        (b"hello world\n" * 40, "a text"),
    ],
)
def test_what_is_no_image_is_called_by_its_name_and_not_damaged(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.abc").write_bytes(content)
    text = refusal(tmp_path / "x.abc")
    assert said in text
    assert "damaged" not in text


@pytest.mark.parametrize("name", ["x.nrrd", "x.mha", "x.nii.gz"])
def test_what_is_packed_once_too_often_is_to_be_unpacked(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / name))
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    for again in (f"{name}.gz", name):
        shutil.copy(tmp_path / f"{name}.gz", tmp_path / f"again_{again}")
        text = refusal(tmp_path / f"again_{again}")
        assert "packed with gzip" in text
        assert text.endswith("; unpack it.")


# Bombs, and headers that promise the sky


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    head = bytearray(nifti(tmp_path / "x.nii").read_bytes()[:352])
    struct.pack_into("<8h", head, 40, 3, 2000, 2000, 2000, 1, 1, 1, 1)
    with gzip.open(tmp_path / "x.nii.gz", "wb", 1) as file:
        file.write(bytes(head) + bytes(1 << 20))
    assert "would unpack to 16 GB" in refusal(tmp_path / "x.nii.gz")


def test_a_file_that_unpacks_to_more_than_it_says_is_not_unpacked_to_the_end(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.nii.gz", "wb", 1) as file:
        file.write(nifti(tmp_path / "x.nii").read_bytes())
        for _ in range(40):
            file.write(bytes(1 << 20))
    assert "but there are more" in refusal(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("size", ["65535 65535 65535", "16 14 999999999"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii", "hex"])
def test_declared_sizes_are_not_believed(tmp_path: Path, size: str, encoding: str) -> None:
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {size}\nendian: little\nencoding: {encoding}\n\n"
    refusal(write_raw(tmp_path / "x.nrrd", head))


def test_a_header_of_many_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nrrd").write_bytes(b"NRRD0004\n" + b"".join(b"key%d:=value\n" % i for i in range(200_000)))
    assert "longer than" in refusal(tmp_path / "x.nrrd")


# ITK's answers, where it has any


@pytest.mark.parametrize("codes", [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 4), (0, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_the_axes_of_nifti_are_those_that_itk_shows(
    tmp_path: Path, codes: tuple[int, int], seed: int, make_grid: Callable[..., Grid]
) -> None:
    grid, other = make_grid(seed, (16, 14, 12)), make_grid(seed, (16, 14, 12))
    form = np.eye(4)
    form[:3, :3], form[:3, 3] = np.diag([-1, -1, 1]) @ grid.matrix, np.diag([-1, -1, 1]) @ np.array(grid.origin)
    second = form.copy()
    second[:3, 3] += 3
    image = nibabel.Nifti1Image(VALUES.transpose(2, 1, 0), form)
    image.set_sform(second, codes[1])
    image.set_qform(form, codes[0])
    nibabel.save(image, tmp_path / "x.nii")
    scan = read_image(tmp_path / "x.nii")
    assert Grid.of(scan.image).same_as(Grid.of(sitk.ReadImage(str(tmp_path / "x.nii"))), 1e-3)
    assert other.size == grid.size
