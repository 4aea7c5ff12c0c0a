"""Files: every pixel type and format, headers that lie, volumes with four dimensions, voxels without a value."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import frame_count, read_image
from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.nrrd import ListAxis
from AutofocusCore.io.slicer_nrrd import write_sequence

VALUES = np.random.default_rng(0).integers(0, 200, (5, 6, 7))
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "TransformMatrix = {matrix}\nOffset = 0 0 0\nElementSpacing = {spacing}\nDimSize = 7 6 5\n"
    "ElementType = MET_FLOAT\nElementDataFile = LOCAL\n"
)
NRRD = "NRRD0004\ntype: float\ndimension: 3\nsizes: 7 6 5\n{geometry}endian: little\nencoding: raw\n\n"


def sentence(path: Path, **options: object) -> str:
    """The error that reading gives, which names the file and ends with a remedy."""
    with pytest.raises(InputError) as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert str(path) in text
    assert caught.value.remedy
    assert "\n" not in text
    assert "itk" not in text.lower()
    return text


def write(path: Path, header: str) -> Path:
    path.write_bytes(header.encode() + VALUES.astype("<f4").tobytes())
    return path


def write_nifti(path: Path, **fields: bytes) -> Path:
    """A NIfTI file with bytes of its header replaced: at<offset>=bytes."""
    sitk.WriteImage(sitk.GetImageFromArray(VALUES.astype(np.float32)), str(path))
    raw = bytearray(path.read_bytes())
    for name, value in fields.items():
        at = int(name.removeprefix("at"))
        raw[at : at + len(value)] = value
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8"])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_every_pixel_type_is_read(tmp_path: Path, kind: str, name: str) -> None:
    values = (VALUES // 2).astype(kind)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path / name).image), values)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.astype(np.uint8), np.eye(4))
    image.header.set_slope_inter(2, -1024)
    raw = bytearray(image.to_bytes())
    raw[112:120] = struct.pack("<2f", 2, -1024)
    (tmp_path / "a.nii").write_bytes(raw)
    values = sitk.GetArrayFromImage(read_image(tmp_path / "a.nii").image)
    np.testing.assert_array_equal(values, VALUES.T * 2.0 - 1024)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "There is no file" in sentence(tmp_path / "nowhere.nii.gz")


@pytest.mark.parametrize(("name", "content"), [("a.txt", b"hello"), ("a.nii.gz", b"hello"), ("a.pdf", b"%PDF-1.4")])
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "not an image" in sentence(tmp_path / name)


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"")
    assert "empty file" in sentence(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.png", "a.mha"])
def test_a_single_slice_is_refused(tmp_path: Path, name: str, dimensions: int) -> None:
    slice_ = VALUES[0].astype(np.uint8) if dimensions == 2 else VALUES[:1].astype(np.uint8)
    if name.endswith("png"):
        slice_ = VALUES[0].astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(slice_), str(tmp_path / name))
    assert "2-D" in sentence(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii.gz"])
@pytest.mark.parametrize("components", [2, 3, 4])
def test_colours_and_vectors_are_refused(tmp_path: Path, name: str, components: int) -> None:
    image = sitk.Compose([sitk.GetImageFromArray(VALUES.astype(np.uint8))] * components)
    sitk.WriteImage(image, str(tmp_path / name))
    assert "values per voxel" in sentence(tmp_path / name)


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), float("inf")])
def test_an_impossible_spacing_in_a_nifti_is_refused(tmp_path: Path, value: float) -> None:
    path = write_nifti(tmp_path / "a.nii", at84=struct.pack("<f", value))
    assert "spacing" in sentence(path)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert f"1 × {value:g} × 1 mm" in sentence(packed)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "x"])
def test_an_impossible_spacing_in_a_metaimage_is_refused(tmp_path: Path, value: str) -> None:
    header = META.format(matrix="1 0 0 0 1 0 0 0 1", spacing=f"1 1 {value}")
    assert "spacing" in sentence(write(tmp_path / "a.mha", header))


@pytest.mark.parametrize(
    "geometry",
    [
        "spacings: 1 1 0\n",
        "spacings: 1 1 -1\n",
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,0)\nspace origin: (0,0,0)\n",
    ],
)
def test_an_impossible_spacing_in_a_nrrd_is_refused(tmp_path: Path, geometry: str) -> None:
    assert "spacing" in sentence(write(tmp_path / "a.nrrd", NRRD.format(geometry=geometry)))


def test_singular_directions_are_refused(tmp_path: Path) -> None:
    rows = struct.pack("<12f", 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
    vectors = "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (1,0,0)\nspace origin: (0,0,0)\n"
    for path in (
        write(tmp_path / "a.mha", META.format(matrix="1 0 0 0 1 0 1 0 0", spacing="1 1 1")),
        write(tmp_path / "a.nrrd", NRRD.format(geometry=vectors)),
        write_nifti(tmp_path / "a.nii", at280=rows),
        write_nifti(tmp_path / "b.nii", at252=struct.pack("<2h", 0, 1), at280=rows),
    ):
        assert "singular direction matrix" in sentence(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_each_frame_of_a_four_dimensional_image_is_read_on_request(tmp_path: Path, name: str) -> None:
    frames = [sitk.GetImageFromArray((VALUES + 1000 * i).astype(np.int16)) for i in range(3)]
    for frame in frames:
        frame.SetSpacing((0.5, 0.75, 2))
        frame.SetOrigin((-3, 4, 5))
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / name))
    assert frame_count(tmp_path / name) == 3
    text = sentence(tmp_path / name)
    assert "3 volumes" in text
    assert "0 to 2" in text
    for i in range(3):
        image = read_image(tmp_path / name, frame=i).image
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VALUES + 1000 * i)
        assert Grid.of(image).same_as(Grid.of(frames[0]))
    assert "no frame 3" in sentence(tmp_path / name, frame=3)


@pytest.mark.parametrize("last", [False, True])  # as the application writes them, and as slicerio does
def test_a_sequence_of_the_application_is_four_dimensional(tmp_path: Path, last: bool) -> None:
    order = "7 6 5 2|(1,0,0) (0,1,0) (0,0,2) none|domain domain domain list"
    if not last:
        order = "2 7 6 5|none (1,0,0) (0,1,0) (0,0,2)|list domain domain domain"
    sizes, directions, kinds = order.split("|")
    header = (
        f"NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: {sizes}\n"
        f"space directions: {directions}\nkinds: {kinds}\nendian: little\n"
        "encoding: raw\nspace origin: (3,4,5)\n\n"
    )
    both = np.stack([VALUES, VALUES + 500], axis=0 if last else -1).astype("<i2")
    path = tmp_path / "a.seq.nrrd"
    path.write_bytes(header.encode() + both.tobytes())
    assert frame_count(path) == 2
    image = read_image(path, frame=1).image
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), VALUES + 500)
    assert (image.GetSpacing(), image.GetOrigin()) == ((1, 1, 2), (3, 4, 5))
    assert "2 volumes" in sentence(path)


def test_maps_that_the_program_wrote_are_read_one_by_one(tmp_path: Path, make_grid: Callable) -> None:
    grid = make_grid(3, (7, 6, 5))
    maps = np.random.default_rng(0).uniform(0, 1, (4, 5, 6, 7)).astype(np.float32)
    path = tmp_path / "x_attention-2.seq.nrrd"
    axis = ListAxis("dilation rate", "voxels")
    write_sequence(path, maps, grid, axis, ["2", "6", "10", "14"], {"model": "hippocampus-mr"})
    assert frame_count(path) == 4
    for i in range(4):
        image = read_image(path, frame=i).image
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), maps[i])
        assert Grid.of(image).same_as(grid)


def test_an_ordinary_image_has_one_frame(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii")
    assert frame_count(path) == 1
    assert read_image(path, frame=0).image.GetSize() == (7, 6, 5)
    assert "no frame 1" in sentence(path, frame=1)


@pytest.mark.parametrize("file", ["a.mha", "a.nrrd", "a.nii", "a.nii.gz", "a.hdr", "a.img", "a.img.gz"])
def test_single_voxels_without_a_value_are_filled_and_counted(tmp_path: Path, file: str) -> None:
    # ITK reads NaN in NIfTI as 0.
    values = np.full((8, 8, 8), 10, dtype=np.float32)
    values[..., 4:] = 20
    values[2, 2, 6], values[5, 5, 1], values[4, 4, 6] = np.nan, np.inf, -np.inf
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / file))
    scan = read_image(tmp_path / file)
    filled = sitk.GetArrayFromImage(scan.image)
    assert (filled[2, 2, 6], filled[5, 5, 1], filled[4, 4, 6]) == pytest.approx((20, 10, 20))
    assert len(scan.warnings) == 1
    assert "3 voxels" in scan.warnings[0]


def test_a_margin_without_values_becomes_the_lowest_value(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-900, 100, (12, 12, 12))
    values[:, :4] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.mha"))
    filled = sitk.GetArrayFromImage(read_image(tmp_path / "a.mha").image)
    assert np.all(filled[:, :3] == np.nanmin(values))


def test_a_frame_of_nifti_without_values_is_told_from_the_others(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 2, (2, 5, 6, 7))
    values[1, 2, 3, 4] = np.nan
    frames = [sitk.GetImageFromArray(frame) for frame in values]
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / "a.nii.gz"))
    assert read_image(tmp_path / "a.nii.gz", frame=0).warnings == ()
    assert "1 voxel " in read_image(tmp_path / "a.nii.gz", frame=1).warnings[0]


def test_more_than_half_without_a_value_is_refused(tmp_path: Path) -> None:
    values = np.zeros((8, 8, 8), dtype=np.float32)
    values[:5] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.mha"))
    assert "more than half" in sentence(tmp_path / "a.mha")


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (2, 2)])
def test_a_sheared_nifti_keeps_the_grid_that_it_truly_lies_on(
    tmp_path: Path, sform: int, qform: int, make_blob: Callable, find_blob: Callable
) -> None:
    steps = np.array([[-1.0, 0, 0], [0, -1, -0.9], [0, 0, 3]])  # LPS
    grid = Grid.from_matrix((30, 40, 14), steps, np.array([20.0, 30.0, -15.0]))
    at = grid.to_mm((15, 19, 7))
    blob = sitk.GetArrayFromImage(make_blob(grid, at))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.diag([-1, -1, 1]) @ steps, np.diag([-1, -1, 1]) @ np.array(grid.origin)
    image = nibabel.Nifti1Image(blob.T, affine)
    image.set_qform(affine, qform, strip_shears=True)
    image.set_sform(affine, sform)
    nibabel.save(image, tmp_path / "a.nii.gz")
    scan = read_image(tmp_path / "a.nii.gz")
    assert Grid.of(scan.image).same_as(grid)
    np.testing.assert_allclose(find_blob(sitk.GetArrayFromImage(scan.image), Grid.of(scan.image)), at, atol=0.1)
    assert "sheared" in scan.warnings[0]


def test_the_real_sheared_head_is_read_by_its_sform(reference_data: Path) -> None:
    path = reference_data / "odd_geometry" / "niivue" / "shear.nii.gz"
    scan = read_image(path)
    assert "lean by 18.5°" in scan.warnings[0]
    straight, original = Grid.of(scan.image), nibabel.load(path)
    values = original.get_fdata()
    for index in ((150, 210, 27), (100, 150, 40), (200, 300, 10)):  # plain tissue or air, far from edges
        mm = np.diag([-1, -1, 1]) @ (original.affine @ (*index, 1))[:3]
        x, y, z = np.round(straight.to_index(mm)).astype(int).tolist()
        around = values[tuple(slice(i - 2, i + 3) for i in index)]
        assert around.min() - 8 <= scan.image[x, y, z] <= around.max() + 8


@pytest.mark.parametrize("name", ["niivue/FLAIR.nrrd", "pyradiomics_brain_tumour_aniso/brain1_image.nrrd"])
def test_real_odd_files_are_read_as_they_are(reference_data: Path, name: str) -> None:
    path = reference_data / "odd_geometry" / name
    scan = read_image(path)
    assert Grid.of(scan.image) == Grid.of(sitk.ReadImage(str(path)))
    assert scan.warnings == ()
