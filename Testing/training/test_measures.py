"""Measures against figures made by hand, and what they are where a structure is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from AutofocusCore.errors import InputError, SettingError
from Training.evaluation.measures import BRATS_REGIONS, NUMBERS, Measures, mean_over_structures, measure, measure_case

SPACING = (3.0, 2.0, 1.0)


def block(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[z, y, x] = True
    return mask


def test_a_block_shifted_by_a_voxel_is_measured_as_by_hand() -> None:
    truth = block(slice(2, 6), slice(2, 6), slice(2, 6))
    found = block(slice(3, 7), slice(2, 6), slice(2, 6))
    one = measure("a", "Bladder", truth, found, SPACING)
    assert one.state == "found"
    assert one.dice == pytest.approx(2 * 48 / 128)
    assert one.sensitivity == pytest.approx(48 / 64)
    assert one.specificity == pytest.approx(1 - 16 / (12**3 - 64))
    assert one.volume_true_ml == one.volume_found_ml == pytest.approx(64 * 6 / 1000)
    assert one.hd95_mm == pytest.approx(3.0)  # a step of z


@pytest.mark.parametrize(("axis", "step"), [(0, 3.0), (1, 2.0), (2, 1.0)])
def test_distances_are_in_millimetres_along_each_axis(axis: int, step: float) -> None:
    truth = np.zeros((12, 12, 12), dtype=bool)
    truth[5, 5, 5] = True
    found = np.roll(truth, 4, axis)
    one = measure("a", "Bladder", truth, found, SPACING)
    assert (one.hd95_mm, one.asd_mm, one.dice) == (pytest.approx(4 * step), pytest.approx(4 * step), 0.0)


def test_the_surface_distance_is_the_mean_of_both_directions() -> None:
    truth = block(slice(5, 6), slice(5, 6), slice(5, 6))
    found = truth | block(slice(5, 6), slice(5, 6), slice(9, 10))
    one = measure("a", "Bladder", truth, found, SPACING)
    assert one.asd_mm == pytest.approx((0 + 4 + 0) / 3)  # two voxels found, one true
    assert one.hd95_mm == pytest.approx(0.95 * 4)  # linear between 0 and 4 mm, of the worse direction


def test_a_perfect_result_is_perfect_also_where_it_fills_the_volume() -> None:
    for truth in (block(slice(2, 6), slice(2, 6), slice(2, 6)), np.ones((4, 4, 4), dtype=bool)):
        one = measure("a", "Bladder", truth, truth, SPACING)
        assert (one.dice, one.hd95_mm, one.asd_mm, one.sensitivity) == (1, 0, 0, 1)
    assert math.isnan(one.specificity)  # nothing is outside


def test_what_is_missing_in_truth_or_result_has_its_own_state() -> None:
    ball, none = block(slice(2, 6), slice(2, 6), slice(2, 6)), np.zeros((12, 12, 12), dtype=bool)
    missed, invented, absent = (measure("a", "B", t, f, SPACING) for t, f in ((ball, none), (none, ball), (none, none)))
    assert [one.state for one in (missed, invented, absent)] == ["missed", "false positive", "absent"]
    assert (missed.dice, missed.sensitivity, missed.specificity) == (0, 0, 1)
    assert math.isnan(invented.dice)
    assert math.isnan(invented.sensitivity)
    assert invented.specificity == pytest.approx(1 - 64 / 12**3)
    assert math.isnan(absent.dice)
    assert absent.specificity == 1
    for one in (missed, invented, absent):
        assert math.isnan(one.hd95_mm)
        assert math.isnan(one.asd_mm)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shared_slices_leave_out_where_a_structure_begins_and_ends(axis: int) -> None:
    truth = block(slice(1, 7), slice(2, 6), slice(2, 6))
    found = block(slice(4, 11), slice(2, 6), slice(3, 7))
    one = measure("a", "Oesophagus", np.moveaxis(truth, 0, axis), np.moveaxis(found, 0, axis), (2.0, 2.0, 2.0), axis)
    assert one.dice_shared == pytest.approx(3 / 4)  # a step of one of four voxels
    assert one.hd95_shared_mm == pytest.approx(2.0)
    assert one.dice == pytest.approx(2 * 3 * 12 / (6 * 16 + 7 * 16))
    assert one.hd95_mm > 6
    apart = measure("a", "Oesophagus", truth, np.roll(truth, 6, 0), SPACING)
    assert math.isnan(apart.dice_shared)
    assert math.isnan(apart.hd95_shared_mm)
    assert apart.dice == 0


@pytest.mark.parametrize("found", [0, 5])
def test_what_the_grid_lost_of_a_case_is_missed_not_absent(found: int) -> None:
    truth = np.zeros((12, 12, 12), dtype=np.uint8)
    labelled = truth.copy()
    labelled[:found, 0, 0] = 1
    lost, absent = measure_case("a", truth, labelled, {"A": (1,), "B": (2,)}, SPACING, lost=(1,))
    assert (lost.state, lost.dice, lost.sensitivity) == ("missed", 0, 0)
    assert absent.state == "absent"


def test_brats_regions_are_unions_of_labels() -> None:
    truth = np.array([[[0, 1, 2, 3, 4]]])
    found = np.array([[[0, 1, 2, 3, 3]]])
    whole, core, enhancing = measure_case("a", truth, found, BRATS_REGIONS, (1, 1, 1))
    assert (whole.structure, whole.dice, whole.volume_true_ml) == ("whole tumour", 1.0, pytest.approx(0.004))
    assert (core.structure, core.dice, core.volume_true_ml) == ("tumour core", 1.0, pytest.approx(0.003))
    assert (enhancing.structure, enhancing.state, enhancing.dice) == ("enhancing tumour", "missed", 0.0)


def test_a_case_counts_with_the_mean_of_what_its_structures_define() -> None:
    nan = math.nan
    rows = [("a", 0.8), ("a", 0.6), ("b", 0.5), ("b", nan), ("c", nan)]
    results = [
        Measures(case, f"s{i}", "found", dice, nan, nan, nan, nan, nan, nan) for i, (case, dice) in enumerate(rows)
    ]
    means = mean_over_structures(results, "dice")
    assert means["a"] == pytest.approx(0.7)
    assert means["b"] == 0.5
    assert math.isnan(means["c"])


def test_every_number_of_a_measurement_is_in_the_tables() -> None:
    assert NUMBERS[0] == "dice"
    assert len(NUMBERS) == 9


def test_two_grids_are_refused() -> None:
    with pytest.raises(InputError, match=r"truth of a has \(12, 12, 12\) voxels"):
        measure("a", "B", np.ones((12, 12, 12), dtype=bool), np.ones((12, 12, 11), dtype=bool), SPACING)


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(SettingError, match="The state of B is 'lost'"):
        Measures("a", "B", "lost", *[0.0] * 7)


def test_what_was_not_contoured_is_neither_missed_nor_a_false_positive() -> None:
    truth, found = np.zeros((4, 5, 6), int), np.zeros((4, 5, 6), int)
    truth[1:3, 1:3, 1:3] = 1
    found[1:3, 1:3, 1:4] = 1
    found[1:3, 3:5, 1:3] = 2  # may well be right
    labels = {"Cord": (1,), "Larynx": (2,), "Oesophagus": (3,), "neck": (1, 2)}
    cord, larynx, oesophagus, neck = measure_case("a", truth, found, labels, (2.0, 1.0, 1.0), known=[1])
    assert cord == measure_case("a", truth, found, labels, (2.0, 1.0, 1.0))[0]
    assert [one.state for one in (larynx, oesophagus, neck)] == ["unknown"] * 3
    assert np.isnan([larynx.dice, larynx.hd95_mm, larynx.sensitivity, larynx.specificity, larynx.volume_true_ml]).all()
    assert larynx.volume_found_ml == pytest.approx(0.016)
    assert neck.volume_found_ml == pytest.approx(0.016 + 0.024)
