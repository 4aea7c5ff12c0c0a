"""Back to the image's grid: probabilities, islands, regions of interest."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import labelling
from AutofocusCore.images.geometry import Grid, model_grid
from AutofocusCore.images.labelling import (
    check_smallest,
    count_steps,
    keep_main_parts,
    label_image,
    remove_islands,
)
from AutofocusCore.images.resampling import sample, to_image
from AutofocusCore.images.roi import RoiBox, roi_mask, roi_region

MakeGrid = Callable[..., Grid]
IDENTITY = tuple(np.eye(3).ravel())
CUBES = (1.0, 1.0, 1.0)


def softmaxed(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    scores = np.exp(3 * np.random.default_rng(seed).normal(size=shape))
    return (scores / scores.sum(axis=0)).astype(np.float32)


def test_on_the_same_lattice_labels_are_the_plain_argmax(make_grid: MakeGrid) -> None:
    grid = model_grid(make_grid(0), "RAS", None)
    flipped = model_grid(grid, "PSL", None)
    probabilities = softmaxed((4, *grid.shape))
    labels, kept = label_image(probabilities, grid, flipped, keep=True)
    back = sample(to_image(labels, flipped), grid, 9)
    np.testing.assert_array_equal(back, probabilities.argmax(axis=0))
    np.testing.assert_array_equal(labels, kept.argmax(axis=-1))


@pytest.mark.parametrize("seed", range(3))
def test_slabs_change_nothing(seed: int, make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_grid(seed)
    grid = model_grid(target, "RAS", (2, 2, 3))
    probabilities = softmaxed((3, *grid.shape), seed)
    whole, all_kept = label_image(probabilities, grid, target, keep=True)
    monkeypatch.setattr(labelling, "SLAB_VOXELS", 4 * target.shape[1] * target.shape[2])
    steps = []
    slabs, kept = label_image(probabilities, grid, target, keep=True, step=lambda: steps.append(1))
    np.testing.assert_array_equal(slabs, whole)
    np.testing.assert_array_equal(kept, all_kept)
    assert len(steps) == count_steps(3, grid, target) > 3
    np.testing.assert_allclose(kept.sum(axis=-1), 1, atol=1e-5)


def test_beyond_the_grid_is_background() -> None:
    target = Grid((20, 20, 20), (1, 1, 1), (0, 0, 0), IDENTITY)
    inner = target.crop(((5, 10), (6, 12), (7, 9)))
    ones = np.stack([np.zeros(inner.shape), np.ones(inner.shape)]).astype(np.float32)
    labels, kept = label_image(ones, inner, target, keep=True)
    assert labels.sum() == 5 * 6 * 2
    assert labels[5:10, 6:12, 7:9].all()
    assert kept[..., 0].sum() == 8000 - 60
    far = Grid((5, 5, 5), (1, 1, 1), (500, 0, 0), IDENTITY)
    assert not label_image(ones[:, :5, :5], far, target)[0].any()


def test_probabilities_not_labels_are_resampled() -> None:
    """Between a voxel of 0.9 and one of 0.2 the border lies at 3/7 of the way, not in the middle."""
    coarse = Grid((2, 4, 4), (10, 1, 1), (0, 0, 0), IDENTITY)
    foreground = np.broadcast_to(np.array([0.9, 0.2], dtype=np.float32), (4, 4, 2))
    fine = Grid((11, 4, 4), (1, 1, 1), (0, 0, 0), IDENTITY)
    labels, _ = label_image(np.stack([1 - foreground, foreground]), coarse, fine)
    np.testing.assert_array_equal(labels[1, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0])  # 0.9 - 0.07 x > 0.5


def test_islands_smaller_than_a_volume_are_removed_for_each_structure() -> None:
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[2:6, 2:6, 2:6] = 1  # 64 voxels
    labels[10:12, 10:12, 10:12] = 1  # 8 voxels
    labels[12, 12, 12] = 1  # touches it by a corner: 9
    labels[15:18, 15:18, 15:17] = 2  # 18 voxels
    labels[6, 6, 6] = 2  # touches only structure 1
    assert remove_islands(labels, voxel_mm3=2.0, smallest_mm3=18.0) == 1
    assert labels[6, 6, 6] == 0
    assert (labels == 1).sum() == 73
    assert remove_islands(labels, voxel_mm3=2.0, smallest_mm3=18.1) == 9
    assert (labels == 2).sum() == 18
    assert remove_islands(labels, voxel_mm3=2.0, smallest_mm3=0.0) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_box_holds_the_voxels_that_lie_in_it(seed: int, make_grid: MakeGrid) -> None:
    grid = make_grid(seed)
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    box = RoiBox(tuple(grid.to_mm((12, 15, 11))), (14.0, 9.0, 11.0), tuple(axes.ravel()))
    mask = box.mask_on(grid)
    z, y, x = np.indices(grid.shape)
    local = (grid.to_mm(np.stack([x, y, z], axis=-1)) - box.center) @ axes
    np.testing.assert_array_equal(mask, np.all(np.abs(local) <= np.array(box.size) / 2, axis=-1))
    region = roi_region(box, grid)
    outside = mask.copy()
    outside[tuple(slice(a, b) for a, b in region)] = False
    assert mask.any()
    assert not outside.any()


def test_a_mask_on_another_grid_is_found_again(make_grid: MakeGrid) -> None:
    grid, other = make_grid(1), make_grid(1, size=(40, 50, 30))
    marked = np.zeros(other.shape, dtype=np.uint8)
    marked[8:14, 10:16, 9:15] = 3
    image = to_image(marked, other)
    mask = roi_mask(image, grid)
    region = roi_region(image, grid)
    assert mask.sum() == pytest.approx(216 * other.voxel_mm3 / grid.voxel_mm3, rel=0.2)
    outside = mask.copy()
    outside[tuple(slice(a, b) for a, b in region)] = False
    assert not outside.any()


def test_a_box_between_two_corners_lies_along_the_patients_axes() -> None:
    box = RoiBox.between((10, -5, 7), (4, 5, 27))
    assert (box.center, box.size) == ((7, 0, 17), (6, 10, 20))


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (lambda: RoiBox((0, 0, 0), (1, 0, 1)), "1 × 0 × 1 mm"),
        (lambda: RoiBox((0, 0, float("nan")), (1, 1, 1)), "not a box"),
        (lambda: RoiBox((0, 0, 0), (1, 1, 1), (1, 0, 0, 0, 1, 0, 1, 0, 0)), "perpendicular"),
        (lambda: RoiBox((900, 0, 0), (10, 10, 10)), "does not touch the image"),
        (lambda: sitk.Image([9, 9, 9], sitk.sitkUInt8), "marks no voxel"),
        (lambda: sitk.Image([9, 9], sitk.sitkUInt8) + 1, "2-D"),
    ],
)
def test_a_region_that_cannot_be_used_is_refused(roi: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        roi_region(roi(), Grid((20, 20, 20), (1, 1, 1), (0, 0, 0), IDENTITY))
    assert caught.value.remedy


def test_stray_parts_go_and_the_voxels_removed_are_counted() -> None:
    labels = np.zeros((6, 8, 30), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[1:2, 6:8, 25:27] = 1
    labels[5, 0, 29] = 1
    labels[4:6, 4:6, 0:2] = 2
    labels[0, 7, 0] = 2
    before = labels.copy()
    assert keep_main_parts(labels, [1], CUBES) == {1: 5}
    assert np.array_equal(labels == 1, np.pad(np.ones((3, 3, 3), bool), ((1, 2), (1, 4), (1, 26))))
    assert np.array_equal(labels == 2, before == 2)  # which may be in pieces


def test_parts_that_touch_at_a_corner_are_one() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 2, 2] = 3
    assert keep_main_parts(labels, [3, 7], CUBES) == {}  # there is no 7
    assert (labels == 3).sum() == 3


@pytest.mark.parametrize("gap", [1, 7, 40])
def test_a_cord_with_a_gap_keeps_both_halves(gap: int) -> None:
    labels = np.zeros((140, 3, 3), np.uint8)
    labels[:55] = 2
    labels[55 : 55 + gap] = 0
    labels[55 + gap :] = 2
    before = labels.copy()
    assert keep_main_parts(labels, [2], (1.0, 1.0, 2.5)) == {}
    assert np.array_equal(labels, before)


def test_a_small_part_stays_where_it_is_near_in_millimetres() -> None:
    labels = np.zeros((40, 5, 5), np.uint8)
    labels[:20] = 1
    labels[23:25, 1:3, 1:3] = 1  # 4 slices beyond: 8 of 508 voxels
    near, far = labels.copy(), labels.copy()
    assert keep_main_parts(near, [1], (1.0, 1.0, 2.5)) == {}, "10 mm"
    assert keep_main_parts(far, [1], (1.0, 1.0, 2.6)) == {1: 8}, "10.4 mm"


def test_a_speck_goes_wherever_it_is() -> None:
    labels = np.zeros((20, 10, 10), np.uint8)
    labels[:10] = 1
    labels[12, 5, 5] = 1
    assert keep_main_parts(labels, [1], CUBES) == {1: 1}


@pytest.mark.parametrize("smallest", [1e18, 1e308, np.float64(1e300), 10**30])
def test_an_island_that_no_image_can_hold_leaves_nothing(smallest: float) -> None:
    labels = np.ones((6, 8, 10), np.uint8)
    check_smallest(smallest)
    assert remove_islands(labels, 1.0, smallest) == labels.size
    assert not labels.any()


@pytest.mark.parametrize("smallest", [math.inf, math.nan, -1, -1e-9, "5", None, True, 10**400, [1], np.float32(-2)])
def test_what_is_no_volume_of_an_island_is_refused(smallest: object) -> None:
    with pytest.raises(SettingError, match="smallest_island_mm3 is"):
        check_smallest(smallest)
