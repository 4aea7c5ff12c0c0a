"""NRRD files: the bits that were written come back, through pynrrd and through ITK."""

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
from AutofocusCore.io.nrrd import ListAxis, grid_matrix, write_nrrd, write_nrrd_to
from AutofocusCore.io.slicer_nrrd import read_keys
from AutofocusCore.worker.exchange import write_array

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


def read(path: Path) -> np.ndarray:
    """The voxels by another program, (z, y, x) or (k, z, y, x)."""
    return nrrd.read(str(path), index_order="C")[0]


@pytest.mark.parametrize("compression", [None, 1])
@pytest.mark.parametrize("shape", [(4, 5, 6), (3, 4, 5, 6), (1, 4, 5, 6), (1, 1, 1)])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_comes_back_bit_for_bit(
    tmp_path: Path, kind: str, shape: tuple[int, ...], compression: int | None
) -> None:
    array, path = volume(kind, shape), tmp_path / "a ü.nrrd"
    fields = {"note": "ü\nx: \\n := y", "empty": ""}
    write_nrrd_to(path, array, MATRIX, fields=fields, compression=compression)
    back, header = nrrd.read(str(path), index_order="C")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(header["space directions"][:3], MATRIX[:3, :3].T)
    assert read_keys(path) == fields


def test_equal_volumes_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.nrrd", "b.nrrd"):
        write_nrrd_to(tmp_path / name, volume(), MATRIX, compression=6)
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_the_axis_of_a_list_has_a_name_and_a_unit(tmp_path: Path) -> None:
    axis = ListAxis("dilation rate", "voxels")
    write_nrrd_to(tmp_path / "a.nrrd", volume("float32", (2, 3, 4, 5)), MATRIX, list_axis=axis, compression=1)
    header = nrrd.read_header(str(tmp_path / "a.nrrd"))
    assert header["labels"] == ["", "", "", "dilation rate"]
    assert header["units"] == ["", "", "", "voxels"]


@pytest.mark.parametrize("data", [b"", b"NRRD0004\ntype: short", b"\x89P", b"no:=header\n\n"])
def test_what_has_no_nrrd_header_has_no_keys(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.nrrd").write_bytes(data)
    with pytest.raises(ValueError, match="not a NRRD file"):
        read_keys(tmp_path / "a.nrrd")


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
    np.testing.assert_array_equal(read(write_nrrd(tmp_path / "a.nrrd", array, MATRIX)), array)
    contiguous = np.ascontiguousarray(array)
    np.testing.assert_array_equal(read(write_nrrd(tmp_path / "b.nrrd", contiguous, MATRIX)), array)


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


def test_other_threads_go_on_while_a_large_volume_is_written_and_read(tmp_path: Path) -> None:
    array = np.zeros((100, 512, 512), np.float32)  # 100 MiB
    # A lock that is held pauses the other thread every time, a busy computer does so now and then.
    shares = (_longest_pause(tmp_path, array) for _ in range(5))
    assert any(share < 1 for share in shares)


def _longest_pause(folder: Path, array: np.ndarray) -> float:
    """The longest pause of another thread meanwhile, as a share of what is allowed."""
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
        write_nrrd(folder / "a.nrrd", array, MATRIX)
        np.load(write_array(folder / "a.npy", array))
    total = time.perf_counter() - start
    ended.set()
    ticker.join()
    # One call that held the lock would pause the other thread for about a twelfth of the time.
    return max(pauses) / max(0.1, total / 24)
