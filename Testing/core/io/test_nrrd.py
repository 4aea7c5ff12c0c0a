"""Volumes between processes: the bits that were written come back, here, through ITK and through pynrrd."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.io import nrrd as exchange
from AutofocusCore.io.nrrd import grid_matrix, read_nrrd, write_nrrd

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
SPACING, ORIGIN = (0.7, 1 / 3, 2.5), (-11.5, 20.25, 1e3 / 7)
ANGLE = np.deg2rad(33.0)
OBLIQUE = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0.0], [np.sin(ANGLE), np.cos(ANGLE), 0.0], [0.0, 0.0, -1.0]]
) @ np.array([[1.0, 0.0, 0.0], [0.0, 0.6, -0.8], [0.0, 0.8, 0.6]])
MATRIX = grid_matrix(SPACING, ORIGIN, OBLIQUE.ravel())


def volume(kind: str = "int16", shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 120, shape)
    return (values * (0.37 if kind.startswith("float") else 1)).astype(kind)


@pytest.mark.parametrize("shape", [(4, 5, 6), (3, 4, 5, 6), (1, 4, 5, 6), (1, 1, 1)])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_comes_back_bit_for_bit(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    array = volume(kind, shape)
    back = read_nrrd(write_nrrd(tmp_path / "a ü.nrrd", array, MATRIX, fields={"note": "ü\nx: \\n := y", "empty": ""}))
    assert back.array.dtype == array.dtype
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_array_equal(back.index_to_lps, MATRIX)
    assert back.fields == {"note": "ü\nx: \\n := y", "empty": ""}
    assert [path.name for path in tmp_path.iterdir()] == ["a ü.nrrd"]


@pytest.mark.parametrize("kind", TYPES)
def test_itk_sees_the_same_voxels_in_the_same_places(tmp_path: Path, kind: str) -> None:
    array = volume(kind)
    image = sitk.ReadImage(str(write_nrrd(tmp_path / "a.nrrd", array, MATRIX)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    assert sitk.GetArrayFromImage(image).dtype == array.dtype
    np.testing.assert_allclose(image.GetDirection(), OBLIQUE.ravel(), atol=1e-12)
    np.testing.assert_allclose(image.GetSpacing(), SPACING, rtol=1e-12)
    point = image.TransformIndexToPhysicalPoint((5, 3, 2))
    np.testing.assert_allclose(point, (MATRIX @ [5, 3, 2, 1])[:3], rtol=1e-12)


def test_a_list_of_maps_is_a_vector_image_to_itk(tmp_path: Path) -> None:
    array = volume("float32", (3, 4, 5, 6))
    image = sitk.ReadImage(str(write_nrrd(tmp_path / "a.nrrd", array, MATRIX)))
    assert image.GetNumberOfComponentsPerPixel() == 3
    np.testing.assert_array_equal(np.moveaxis(sitk.GetArrayFromImage(image), -1, 0), array)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((5, 3, 2)), (MATRIX @ [5, 3, 2, 1])[:3], rtol=1e-12)


def test_pynrrd_reads_voxels_axes_and_keys(tmp_path: Path) -> None:
    array = volume("float32", (3, 4, 5, 6))
    data, header = nrrd.read(str(write_nrrd(tmp_path / "a.nrrd", array, MATRIX, fields={"key": "text"})))
    np.testing.assert_array_equal(data.transpose(3, 2, 1, 0), array)  # (i, j, k, list) -> (list, k, j, i)
    assert (header["kinds"], header["space"]) == (["domain"] * 3 + ["list"], "left-posterior-superior")
    np.testing.assert_array_equal(header["space directions"][:3].T, MATRIX[:3, :3])
    assert np.isnan(header["space directions"][3]).all()
    np.testing.assert_array_equal(header["space origin"], MATRIX[:3, 3])
    assert header["key"] == "text"


@pytest.mark.parametrize("components", [1, 3])
def test_what_itk_writes_without_compression_is_read(tmp_path: Path, components: int) -> None:
    array = volume("int16", (4, 5, 6, components)) if components > 1 else volume("int16")
    image = sitk.GetImageFromArray(array, isVector=components > 1)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(OBLIQUE.ravel())
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"), useCompression=False)
    back = read_nrrd(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(back.array, np.moveaxis(array, -1, 0) if components > 1 else array)
    np.testing.assert_allclose(back.index_to_lps, MATRIX, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS"])
def test_other_byte_order_and_space_are_turned_round(tmp_path: Path, space: str) -> None:
    array = volume("float32")
    header = (
        f"NRRD0005\r\n# a comment\r\ntype: float\r\ndimension: 3\r\nspace: {space}\r\nsizes: 6 5 4\r\n"
        "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)\r\nkinds: domain domain domain\r\nendian: big\r\n"
        "encoding: raw\r\nspace origin: (1,2,3)\r\n\r\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + array.astype(">f4").tobytes())
    back = read_nrrd(tmp_path / "a.nrrd")
    assert back.array.dtype.isnative
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_array_equal(back.index_to_lps @ [0, 0, 0, 1], [-1, -2, 3, 1])
    np.testing.assert_array_equal(back.index_to_lps @ [2, 2, 1, 1], [-2, -3, 5, 1])


@pytest.mark.parametrize("make", [
    lambda a: a[::-1, :, ::2], lambda a: a.transpose(2, 1, 0), lambda a: a.astype(">i2"), np.asfortranarray,
])  # fmt: skip
@pytest.mark.parametrize("ndim", [3, 4])
def test_any_memory_layout_is_written_right_also_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, ndim: int
) -> None:
    monkeypatch.setattr(exchange, "CHUNK", 100)  # bytes: some pieces, none a divisor of the rows
    array = make(volume("int16", (7, 8, 9)))  # type: ignore[operator]
    array = np.stack([array, array + 1])[:, 1:] if ndim == 4 else array
    np.testing.assert_array_equal(read_nrrd(write_nrrd(tmp_path / "a.nrrd", array, MATRIX)).array, array)
    contiguous = np.ascontiguousarray(array)
    np.testing.assert_array_equal(read_nrrd(write_nrrd(tmp_path / "b.nrrd", contiguous, MATRIX)).array, array)


@pytest.mark.parametrize(("array", "matrix", "fields", "cause"), [
    (np.zeros((2, 2)), MATRIX, {}, r"shape \(2, 2\)"),
    (np.zeros((0, 2, 2)), MATRIX, {}, r"shape \(0, 2, 2\)"),
    (np.zeros((2, 2, 2), np.int64), MATRIX, {}, "int64"),
    (np.zeros((2, 2, 2), bool), MATRIX, {}, "bool"),
    (np.zeros((2, 2, 2), np.float16), MATRIX, {}, "float16"),
    (np.zeros((2, 2, 2)), np.eye(3), {}, "matrix"),
    (np.zeros((2, 2, 2)), np.diag([1, 1, 0, 1]), {}, "matrix"),
    (np.zeros((2, 2, 2)), MATRIX * np.nan, {}, "matrix"),
    (np.zeros((2, 2, 2)), MATRIX, {"a:=b": "c"}, "key"),
    (np.zeros((2, 2, 2)), MATRIX, {"": "c"}, "key"),
])  # fmt: skip
def test_what_is_no_volume_is_refused_and_leaves_no_file(
    tmp_path: Path, array: np.ndarray, matrix: np.ndarray, fields: dict[str, str], cause: str
) -> None:
    with pytest.raises(InputError, match=cause):
        write_nrrd(tmp_path / "a.nrrd", array, matrix, fields=fields)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write .*missing"):
        write_nrrd(tmp_path / "missing" / "a.nrrd", volume(), MATRIX)


GOOD = {
    "type": "short", "dimension": "3", "space": "LPS", "sizes": "6 5 4", "space directions": "(1,0,0) (0,1,0) (0,0,1)",
    "endian": "little", "encoding": "raw", "space origin": "(0,0,0)",
}  # fmt: skip


def spoiled(path: Path, **changes: str | None) -> Path:
    fields = {**GOOD, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + volume().tobytes())
    return path


def test_the_header_that_the_next_test_spoils_is_sound(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_nrrd(spoiled(tmp_path / "a.nrrd")).array, volume())


@pytest.mark.parametrize(("changes", "cause"), [
    ({"encoding": "gzip"}, "encoded as 'gzip'"),
    ({"encoding": None}, "no 'encoding'"),
    ({"datafile": "a.raw"}, "in another file"),
    ({"byte_skip": "-1"}, "skips bytes"),
    ({"type": "long long"}, "'long long'"),
    ({"type": "block"}, "'block'"),
    ({"endian": None}, "order its bytes"),
    ({"space": "scanner-xyz"}, "scanner-xyz"),
    ({"space": None}, "no 'space'"),
    ({"sizes": "6 20", "dimension": "2"}, "no volume"),
    ({"sizes": "6 5 4 1"}, "no volume"),
    ({"sizes": "-6 -5 4"}, "no volume"),
    ({"sizes": "6 5 4.0"}, "damaged header"),
    ({"sizes": "6 5 5"}, "cut short"),
    ({"sizes": "6 5 99999999999999999999"}, "cut short"),
    ({"sizes": "6 5 3"}, "too many"),
    ({"space_directions": "(1,0,0) (0,1,0)"}, "where its axes lie"),
    ({"space_directions": "(1,0,0) (0,1,0) none"}, "where its axes lie"),
    ({"space_directions": "(1,0,0) (0,1,0) (1,1,0)"}, "span no volume"),
    ({"space_directions": "(1,0,0) (0,1,0) (0,0,nan)"}, "span no volume"),
    ({"space_directions": "(1,0,0) (0,1,0) (0,1)"}, "damaged header"),
    ({"space_origin": None}, "no 'space origin'"),
    ({"space_origin": "none"}, "where its axes lie"),
])  # fmt: skip
def test_files_that_are_not_read_here_are_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, str | None], cause: str
) -> None:
    with pytest.raises(InputError, match=cause):
        read_nrrd(spoiled(tmp_path / "a.nrrd", **changes))


@pytest.mark.parametrize("data", [b"", b"NRRD0004\ntype: short", b"NRRD0009\n\n", b"\x89P", b"NRRD0004\nnonsense\n\n"])
def test_what_is_no_nrrd_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.nrrd").write_bytes(data)
    with pytest.raises(InputError, match=r"not a NRRD file|no whole header|means nothing"):
        read_nrrd(tmp_path / "a.nrrd")
    with pytest.raises(InputError, match="cannot be read"):
        read_nrrd(tmp_path / "b.nrrd")


def test_other_threads_go_on_while_a_large_volume_is_read_and_written(tmp_path: Path) -> None:
    array = np.zeros((100, 512, 512), np.float32)  # 100 MiB
    pauses: list[float] = []
    ended = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not ended.wait(0.001):
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    for _ in range(3):
        read_nrrd(write_nrrd(tmp_path / "a.nrrd", array, MATRIX))
    total = time.perf_counter() - start
    ended.set()
    ticker.join()
    # One call that held the lock would pause the other thread for about a sixth of the time.
    assert max(pauses) < max(0.1, total / 12), (max(pauses), total)
