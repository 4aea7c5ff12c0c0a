from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from AutofocusCore.images.label_sampling import sample_labels
from AutofocusCore.review.quality import FEATURES
from AutofocusCore.teaching.statistics import evenly
from Training.calibrate import calibrate, parser
from Training.calibrating.cases import Collection, collection
from Training.calibrating.figures import caught, figures, rank_correlation, worst_tenth
from Training.calibrating.fitting import Row, cross_validate, fit_quality


def cohort_of(noise: float, patients: int = 14) -> list[Row]:
    """Two structures whose Dice follows the first feature, and a feature of noise."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        for structure, level in (("Easy", 2.0), ("Hard", 0.0)):
            quality = rng.normal()
            features = (quality, *rng.normal(size=len(FEATURES) - 1))
            dice = 1 / (1 + np.exp(-(level + 0.8 * quality + noise * rng.normal())))
            rows.append(Row(f"p{patient}", structure, tuple(features), float(dice)))
    return rows


def test_estimates_of_patients_left_out_follow_their_dice() -> None:
    table = figures(cross_validate(cohort_of(0.2)))
    assert table["rank_correlation_of_all"] > 0.8
    assert 0.6 <= table["in_the_interval"] <= 1.0
    assert [row["structure"] for row in table["structures"]] == ["Easy", "Hard"]


def test_the_worst_tenth_is_listed_with_what_was_expected_of_it_and_both_volumes() -> None:
    rows = [dataclasses.replace(row, volumes_ml=(10.0, 30.0)) for row in cohort_of(0.2)]
    left_out = cross_validate(rows)
    worst = worst_tenth(left_out)
    assert [one["Dice"] for one in worst] == [round(value, 2) for value in sorted(row.dice for row in rows)[:3]]
    share = np.mean([one["flagged"] == "yes" for one in worst])
    assert share == pytest.approx(figures(left_out)["worst_tenth_among_the_flagged_quarter"], abs=0.005)
    assert {(one["contoured mL"], one["found mL"]) for one in worst} == {(10.0, 30.0)}


@pytest.mark.parametrize("content", ['{"pt_1": [', "[1, 2]"])
def test_a_damaged_list_of_contours_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    damaged = tmp_path / "contoured.json"
    damaged.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"contoured\.json .*case → list of structures"):
        collection(tmp_path, tmp_path, ["Bladder"], contoured=damaged)
    with pytest.raises(InputError, match=r"contoured\.json .*label value → structure"):
        collection(tmp_path, tmp_path, ["Bladder"], names=damaged)


def test_no_row_is_estimated_by_a_model_that_saw_its_patient() -> None:
    rows = cohort_of(0.2, patients=8)
    strange = [Row("strange", row.structure, row.features, 0.02) for row in rows[:2]]
    with_, without = cross_validate([*rows, *strange]), cross_validate(rows)
    own = {row.case: model for row, model in with_ if row.case == "strange"}
    assert own["strange"] == fit_quality(rows)
    assert len(with_) == len(without) + 2


def test_seen_cases_sharpen_the_weights_and_leave_the_level_to_the_others() -> None:
    unseen = cohort_of(0.8, patients=8)
    better = [1 / (1 + (1 - row.dice) / row.dice * np.exp(-1.5)) for row in cohort_of(0.1, patients=80)]
    seen = [
        dataclasses.replace(row, case=f"seen {row.case}", dice=float(dice), seen=True)
        for row, dice in zip(cohort_of(0.1, patients=80), better, strict=True)
    ]
    alone, helped = (fit_quality(rows).structures for rows in (unseen, [*unseen, *seen]))
    for name, level in (("Easy", 2.0), ("Hard", 0.0)):
        own = helped[name]
        slopes = np.divide(own.weights, own.spread)
        assert slopes[0] == pytest.approx(0.8, abs=0.2), "drawn towards 0 a little"
        assert abs(slopes[0] - 0.8) < abs(alone[name].weights[0] / alone[name].spread[0] - 0.8)
        assert np.abs(slopes[1:]).max() < 0.1
        assert own.level == pytest.approx(level, abs=0.5), "not 1.5 above, where the seen cases are"
        assert own.cases == 8


def test_seen_cases_are_neither_left_out_nor_in_the_figures() -> None:
    unseen = cohort_of(0.2, patients=8)
    seen = [dataclasses.replace(row, case=f"seen {row.case}", seen=True) for row in unseen]
    left_out = cross_validate([*unseen, *seen])
    assert [row for row, _ in left_out] == unseen
    table = figures(left_out, seen)
    assert table["patients"] == 8
    assert table["structures"][0]["mean Dice in training"] == table["structures"][0]["mean Dice"]
    assert "mean Dice in training" not in figures(left_out)["structures"][0]


def test_a_quarter_of_the_contours_is_flagged() -> None:
    rows = cohort_of(0.2, patients=20)
    model = fit_quality(rows)
    estimates = [model.estimate(row.structure, row.features) for row in rows]
    assert np.mean([one is not None and one.check for one in estimates]) == pytest.approx(0.25, abs=0.08)


def test_fewer_than_no_training_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--seen is -3; give a number of training cases, or 0 for none"):
        calibrate(parser().parse_args(["hippocampus-mr", "--data", str(tmp_path), "--seen", "-3"]))


def test_some_of_the_training_cases_are_evenly_chosen() -> None:
    assert evenly(list("abcdef"), 3) == ["a", "c", "e"]
    assert evenly(list("abc"), 5) == ["a", "b", "c"]
    assert evenly(list("abc"), 0) == []


def test_of_the_worst_tenth_those_among_the_lowest_quarter_of_estimates_are_caught() -> None:
    true = np.arange(20) / 20
    assert caught(true, true) == 1
    assert caught(true, -true) == 0


def test_rank_correlation_is_one_for_any_rising_curve() -> None:
    assert rank_correlation(np.array([1.0, 2, 3, 9]), np.array([0.1, 0.2, 0.9, 1.0])) == pytest.approx(1)


def test_contours_that_the_training_did_not_use_are_unknown_to_the_calibration(tmp_path: Path) -> None:
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[:5], labels[5:7] = 1, 2
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((10.0, 10.0, 10.0))  # 1 mL a voxel: 500 and 200 mL
    (tmp_path / "labels").mkdir()
    sitk.WriteImage(image, str(tmp_path / "labels" / "a.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / "labels" / "b.nii.gz"))
    found = Collection(
        tmp_path, tmp_path / "labels", None, {"Large": 1, "Small": 2},
        without=frozenset({("a", "Small")}), volumes_ml={"Large": (10.0, 300.0)},
    )  # fmt: skip
    assert found.known("a") == []
    assert found.known("b") == ["Small"]


def test_a_reference_contour_keeps_its_volume_on_a_coarser_grid() -> None:
    z, y, x = np.ogrid[:24, :24, :24]
    ball = ((z - 11.7) ** 2 + (y - 11.2) ** 2 + (x - 12.4) ** 2 <= 36).astype(np.uint8)
    truth = sitk.GetImageFromArray(ball * 3)
    coarse = Grid((10, 10, 10), (2.4, 2.4, 2.4), (0.3, 0.7, 0.1), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    found = sample_labels(truth, coarse)
    assert set(np.unique(found)) == {0, 3}
    assert (found == 3).sum() * coarse.voxel_mm3 == pytest.approx(ball.sum(), rel=0.05)


def test_a_gross_error_of_a_reference_contour_hardly_moves_the_fit() -> None:
    rows = cohort_of(0.2)
    wrong = [dataclasses.replace(row, dice=0.02) if i == 4 else row for i, row in enumerate(rows)]
    clean, moved = (fit_quality(some).structures["Easy"] for some in (rows, wrong))
    assert moved.weights[0] == pytest.approx(clean.weights[0], abs=0.15)
    assert moved.level == pytest.approx(clean.level, abs=0.2)


def test_each_structure_has_weights_of_its_own_where_the_cases_say_so() -> None:
    rng = np.random.default_rng(1)
    rows = []
    for patient in range(40):
        for structure, sign in (("Up", 1.0), ("Down", -1.0)):
            quality = rng.normal()
            features = (quality, *([0.0] * (len(FEATURES) - 1)))
            dice = 1 / (1 + np.exp(-(1 + sign * quality + 0.1 * rng.normal())))
            rows.append(Row(f"p{patient}", structure, features, float(dice)))
    fitted = fit_quality(rows).structures
    assert fitted["Up"].weights[0] > 0.01
    assert fitted["Down"].weights[0] < -0.01, "drawn towards the common ones, though not over to their side"
