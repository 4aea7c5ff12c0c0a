"""Grids: where voxels are in millimetres, and which grid a model sees."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import AXIS_OF_LETTER, Grid, model_grid
from AutofocusCore.images.resampling import inside, sample, to_image

MakeGrid = Callable[..., Grid]
PERMUTATIONS = [
    np.array([np.eye(3)[i] * s for i, s in zip(order, signs, strict=True)]).T
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("seed", range(5))
def test_points_agree_with_simpleitk(seed: int, make_grid: MakeGrid) -> None:
    grid = make_grid(seed)
    image = to_image(np.zeros(grid.shape, np.uint8), grid)
    assert Grid.of(image) == grid
    for index in ((0, 0, 0), (3, 7, 11), (25, 29, 21)):
        point = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(grid.to_mm(index), point, atol=1e-9)
        np.testing.assert_allclose(grid.to_index(point), index, atol=1e-9)


def test_a_crop_keeps_its_voxels_in_place(make_grid: MakeGrid) -> None:
    grid = make_grid(3)
    part = grid.crop(((2, 9), (3, 13), (5, 20)))
    assert part.size == (15, 10, 7)
    np.testing.assert_allclose(part.to_mm((1, 1, 1)), grid.to_mm((6, 4, 3)))


def test_points_within_the_outer_faces_lie_inside(make_grid: MakeGrid) -> None:
    grid = make_grid(3)
    assert not grid.outside(grid.corners()).any()
    assert grid.outside(grid.corners(0.6)).all()


def test_axes_that_span_no_volume_are_refused() -> None:
    flat = np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 0]])
    with pytest.raises(InputError, match="do not span a volume"):
        Grid.from_matrix((4, 4, 4), flat, np.zeros(3))


@pytest.mark.parametrize("number", range(len(PERMUTATIONS)))
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_an_image_along_the_patients_axes_is_only_flipped_and_permuted(number: int, orientation: str) -> None:
    rng = np.random.default_rng(number)
    values = rng.integers(-1000, 3000, (5, 6, 7)).astype(np.int16)
    matrix = PERMUTATIONS[number] * rng.uniform(0.5, 3, 3)
    image = to_image(values, Grid.from_matrix((7, 6, 5), matrix, rng.uniform(-99, 99, 3)))
    grid = model_grid(Grid.of(image), orientation, None)
    for axis, letter in enumerate(orientation):
        assert np.dot(np.array(grid.direction).reshape(3, 3)[:, axis], AXIS_OF_LETTER[letter]) == pytest.approx(1)
    turned = sample(image, grid, outside=-5000)
    assert sorted(turned.ravel()) == sorted(values.ravel().tolist())
    for z, y, x in ((0, 0, 0), (1, 2, 3), tuple(n - 1 for n in grid.shape)):
        index = image.TransformPhysicalPointToIndex(grid.to_mm((x, y, z)))
        assert turned[z, y, x] == image[index]
    back = sample(to_image(turned, grid), Grid.of(image), outside=-5000)
    np.testing.assert_array_equal(back, values)


def test_only_the_axis_whose_spacing_differs_is_resampled() -> None:
    ramp = np.broadcast_to(np.arange(10, dtype=np.float32)[:, None, None], (10, 6, 7)).copy()
    ramp += 100 * np.random.default_rng(0).integers(0, 9, (1, 6, 7))
    image = to_image(ramp, Grid((7, 6, 10), (1, 1, 2), (4, 5, 6), tuple(np.eye(3).ravel())))
    grid = model_grid(Grid.of(image), "LPS", (1.0004, 1, 1))
    assert grid.size == (7, 6, 20)
    assert grid.spacing == (1, 1, 1)
    fine = sample(image, grid, 0.0)
    np.testing.assert_allclose(fine[1:-1] - fine[1], np.arange(18)[:, None, None] / 2 * np.ones((1, 6, 7)), atol=1e-4)


@pytest.mark.parametrize(("spacing", "kept"), [(3.91, True), (4.09, True), (3.71, True), (4.1, False), (3.7, False)])
def test_an_axis_within_five_percent_of_the_models_spacing_keeps_its_voxels(spacing: float, kept: bool) -> None:
    scan = Grid((40, 30, 20), (spacing, 3.9, 3.0), (4, 5, 6), tuple(np.eye(3).ravel()))
    grid = model_grid(scan, "LPS", (3.9, 3.9, 2.5))
    assert grid.spacing == ((spacing if kept else 3.9), 3.9, 2.5)
    assert (grid.size[0] == 40) == kept
    assert grid.origin[1] == pytest.approx(5)
    index = grid.to_index(scan.corners())
    assert index.min() >= -0.5 - 1e-6
    assert np.all(index.max(axis=0) <= np.array(grid.size) - 0.5 + 1e-6)


@pytest.mark.parametrize(("spacing", "models"), [(3.8, 4.0), (4.2, 4.0), (0.95, 1.0), (1.05, 1.0)])
def test_five_percent_are_within_five_percent_whatever_their_rounding(spacing: float, models: float) -> None:
    scan = Grid((40, 30, 20), (spacing,) * 3, (4, 5, 6), tuple(np.eye(3).ravel()))
    assert model_grid(scan, "LPS", (models,) * 3).size == scan.size


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [None, (1.0, 1.5, 3.0)])
def test_the_models_grid_holds_all_of_an_oblique_image(seed: int, spacing: object, make_grid: MakeGrid) -> None:
    grid = make_grid(seed)
    seen = model_grid(grid, "RAS", spacing)
    np.testing.assert_allclose(np.array(seen.direction).reshape(3, 3), np.diag([-1, -1, 1]), atol=1e-12)
    index = seen.to_index(grid.corners())
    assert index.min() >= -0.5 - 1e-6
    assert np.all(index.max(axis=0) <= np.array(seen.size) - 0.5 + 1e-6)


def test_a_hairs_breadth_of_tilt_is_not_resampled() -> None:
    angle = 1e-3
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    grid = Grid.from_matrix((40, 40, 10), turned * (0.5, 0.5, 3), np.array([1.0, 2.0, 3.0]))
    assert model_grid(grid, "LPS", None).same_as(grid, 1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_a_blob_stays_where_it_is_on_any_grid(
    seed: int, make_grid: MakeGrid, make_blob: Callable[..., sitk.Image], find_blob: Callable[..., np.ndarray]
) -> None:
    grid = make_grid(seed)
    at = grid.to_mm(np.array(grid.size) * np.random.default_rng(seed).uniform(0.45, 0.55, 3))
    image = make_blob(grid, at, sigma=3.0)
    seen = model_grid(grid, ("RAS", "LPS", "SAR")[seed % 3], (1.3, 1.1, 1.9))
    on_model = sample(image, seen, 0.0)
    np.testing.assert_allclose(find_blob(on_model, seen), at, atol=0.15)
    back = sample(to_image(on_model, seen), grid, 0.0)
    np.testing.assert_allclose(find_blob(back, grid), at, atol=0.2)


def test_what_is_inside_agrees_with_simpleitk(make_grid: MakeGrid) -> None:
    first, second = make_grid(1), make_grid(1, size=(12, 40, 9))
    ones = to_image(np.ones(second.shape, np.uint8), second)
    expected = sample(ones, first, 0.0, nearest=True) > 0
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(inside(first, second), expected)


def test_shrinking_averages_instead_of_picking() -> None:
    noise = np.random.default_rng(0).normal(0, 100, (40, 40, 40)).astype(np.float32)
    image = to_image(noise, Grid((40, 40, 40), (1, 1, 1), (0, 0, 0), tuple(np.eye(3).ravel())))
    coarse = model_grid(Grid.of(image), "LPS", (4, 4, 4))
    assert sample(image, coarse, 0.0).std() < 0.25 * sample(image, coarse, 0.0, smooth=False).std()
