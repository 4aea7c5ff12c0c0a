"""What is done to a case's arrays: spacing, ROI, offset, normalisation; and what it is worth a remark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import Grid
from AutofocusCore.phantom import make_phantom
from Training.preparing.found import Found, FoundCase, ImageFile
from Training.preparing.reading import Settings, Volumes, read_case, spaced

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def written(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> ImageFile:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetDirection(OBLIQUE)
    image.SetOrigin((5.0, -3.0, 7.0))
    sitk.WriteImage(image, str(path))
    return ImageFile(path)


def read(folder: Path, image: np.ndarray, labels: np.ndarray, settings: Settings, **how: object) -> Volumes:
    files = [written(folder / name, array, **how) for name, array in (("i.nii.gz", image), ("l.nii.gz", labels))]
    case = FoundCase("case", (files[0],), files[1])
    found = Found("test", folder, ("CT",), {1: "one", 2: "two"}, (case,))
    return read_case(case, found, settings)


def ball(shape: tuple[int, int, int], radius: float, spacing: tuple[float, float, float]) -> np.ndarray:
    z, y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    sx, sy, sz = spacing
    return (z[:, None, None] * sz) ** 2 + (y[:, None] * sy) ** 2 + (x * sx) ** 2 < radius**2


@given(
    size=st.tuples(*[st.integers(4, 60)] * 3),
    own=st.tuples(*[st.floats(0.3, 5)] * 3),
    wanted=st.tuples(*[st.one_of(st.just(0.0), st.floats(0.3, 5))] * 3),
)
def test_another_spacing_keeps_axes_and_centre_and_cuts_nothing_off(
    size: tuple[int, int, int], own: tuple[float, float, float], wanted: tuple[float, float, float]
) -> None:
    grid = Grid(size, own, (5.0, -3.0, 7.0), OBLIQUE)
    made = spaced(grid, wanted)
    np.testing.assert_allclose(made.spacing, [w or o for w, o in zip(wanted, own, strict=True)], atol=1.1e-3)
    np.testing.assert_allclose(made.direction, grid.direction, atol=1e-12)
    centres = [g.to_mm([(n - 1) / 2 for n in g.size]) for g in (grid, made)]
    np.testing.assert_allclose(*centres, atol=1e-9)
    extents = [np.array(g.size) * np.array(g.spacing) for g in (grid, made)]
    assert (extents[1] >= extents[0] - 2e-3 * np.array(made.size)).all()
    assert (extents[1] < extents[0] + np.array(made.spacing) + 1e-6).all()


def test_no_spacing_or_the_images_own_changes_nothing(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (8, 9, 10)).astype(np.int16)
    labels = (image > 50).astype(np.uint8)
    for spacing in (None, (0.0, 0.0, 0.0), (1.5, 2.0, 0.0)):
        made = read(tmp_path, image, labels, Settings(spacing=spacing), spacing=(1.5, 2.0, 3.0))
        assert made.images[0].dtype == np.int16
        assert np.array_equal(made.images[0], image)
        assert np.array_equal(made.labels, labels)


def test_images_are_interpolated_and_labels_stay_a_ball_of_the_same_size(tmp_path: Path) -> None:
    spacing = (1.0, 1.0, 4.0)
    shape = (12, 40, 42)
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]].astype(np.float32)
    labels = ball(shape, 15.0, spacing).astype(np.uint8)
    labels[:6] *= 2  # two halves, so that a border between structures is there as well
    made = read(tmp_path, 4 * z + y + x, labels, Settings(spacing=(2.0, 2.0, 2.0)), spacing=spacing)
    assert made.grid.size == (21, 20, 24)
    assert made.labels is not None
    truth = ball((24, 20, 21), 15.0, (2.0, 2.0, 2.0))
    found = made.labels > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95
    assert set(np.unique(made.labels)) == {0, 1, 2}
    assert (made.labels[:11][found[:11]] == 2).all()
    inner = made.images[0][2:-2, 1:-1, 1:-1]
    for axis, step in ((0, 2.0), (1, 2.0), (2, 2.0)):
        np.testing.assert_allclose(np.diff(inner, axis=axis), step, atol=1e-3)


def test_a_structure_lost_to_a_coarse_spacing_is_named(tmp_path: Path) -> None:
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[5, 5, 5] = 1
    image = np.random.default_rng(0).normal(0, 1, labels.shape).astype(np.float32)
    with pytest.raises(InputError, match="No label is left"):
        read(tmp_path, image, labels, Settings(spacing=(4.0, 4.0, 4.0)))


def test_the_body_is_the_roi_of_a_ct(tmp_path: Path) -> None:
    image, labels = make_phantom(3)
    for name, one in (("ct.nii.gz", image), ("labels.nii.gz", labels)):
        sitk.WriteImage(one, str(tmp_path / name))
    case = FoundCase("case", (ImageFile(tmp_path / "ct.nii.gz"),), ImageFile(tmp_path / "labels.nii.gz"))
    found = Found("test", tmp_path, ("CT",), {n: f"s{n}" for n in range(1, 7)}, (case,))
    made = read_case(case, found, Settings(roi="body"))
    values = sitk.GetArrayFromImage(image)
    assert made.roi is not None
    assert made.roi[made.labels > 0].all()
    assert (values[~made.roi] < -500).mean() > 0.95
    assert made.remarks == []


def test_a_ct_stored_with_an_offset_and_labels_outside_the_roi_are_worth_a_remark(tmp_path: Path) -> None:
    shape, spacing = (20, 40, 40), (3.0, 3.0, 3.0)
    rng = np.random.default_rng(0)
    hu = np.where(ball(shape, 50.0, spacing), 40 + rng.integers(-20, 20, shape), -1000)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[8:12, 18:22, 18:22] = 1
    labels[:2, :2, :2] = 2
    made = read(tmp_path, (hu + 1024).astype(np.int16), labels, Settings(roi="body"), spacing=spacing)
    assert any("--offset -1024 makes it HU" in remark for remark in made.remarks)
    assert any("11.1 % of its labelled voxels lie outside the ROI" in remark for remark in made.remarks)
    made = read(tmp_path, (hu + 1024).astype(np.int16), labels, Settings(-1024.0, roi="body"), spacing=spacing)
    assert not any("--offset" in remark for remark in made.remarks)
    assert np.array_equal(made.images[0], hu)


def test_an_image_that_is_not_skull_stripped_is_worth_a_remark(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(1, 99, (8, 9, 10)).astype(np.int16)
    made = read(tmp_path, image, (image > 50).astype(np.uint8), Settings(roi="brain"))
    assert "is the skull removed?" in made.remarks[0]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"roi": "head"}, "--roi is 'head'"),
        ({"normalise": "yes"}, "--normalise is 'yes'"),
        ({"spacing": (1.0, 1.0, float("nan"))}, "--spacing"),
        ({"offset": float("inf")}, "--offset"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        Settings(**values)
