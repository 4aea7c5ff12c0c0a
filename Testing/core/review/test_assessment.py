from __future__ import annotations

import dataclasses
import json
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import ModelError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.review import Calibration, assess, calibration_of
from AutofocusCore.review.assessment import uncertainty_on_model_grid, uncertainty_on_scan
from AutofocusCore.review.cohort import Cohort
from AutofocusCore.review.evidence import Evidence, calibrated, entropy_bits, probability_of, surroundings
from AutofocusCore.review.quality import FEATURES, QualityModel, StructureQuality, expected_dice, structure_evidence
from Testing.core.review.conftest import GRID, NAMES, VAGUE_MM, ball
from Testing.small_models import small_spec

COHORT = Cohort(
    cases=30,
    volumes={"Ball": (np.log(8.0), 0.3, 30.0), "Far ball": (np.log(5.2), 0.3, 30.0)},
    offsets={"Ball > Far ball": (32.0, 32.0, 0.0, 3.0, 3.0, 3.0, 30.0)},
    spacing=((2.0, 2.5), (2.0, 2.5), (2.5, 3.0)),
    extent=((70.0, 90.0), (70.0, 90.0), (60.0, 90.0)),
    intensities=(((0.0, 0.1), (0.3, 0.5), (0.8, 1.0)),),
)
WEIGHTS = tuple(0.3 if name == "probability inside" else 0.0 for name in FEATURES)
OWN = StructureQuality(20, (0.0,) * len(FEATURES), (1.0,) * len(FEATURES), WEIGHTS, 1.5, 0.5)
QUALITY = QualityModel(FEATURES, -1.3, 1.3, 0.8, {"Ball": OWN})


def test_the_vague_side_of_a_ball_is_the_first_place_to_check(evidence: Evidence) -> None:
    first = assess(evidence, NAMES, None).places[0]
    assert first.structure == "Ball"
    assert np.linalg.norm(np.subtract(first.position_mm, VAGUE_MM)) < 12
    assert first.volume_ml == pytest.approx(first.inside_ml + first.outside_ml, abs=0.002)


def test_places_are_in_order_of_the_volume_that_could_change_and_apart_from_each_other(evidence: Evidence) -> None:
    places = assess(evidence, NAMES, None).places
    volumes = [place.volume_ml for place in places]
    assert volumes == sorted(volumes, reverse=True)
    positions = np.array([place.position_mm for place in places])
    between = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 1e3 * np.eye(len(positions))
    assert between.min() > 8


def test_a_certain_result_has_no_places(evidence: Evidence) -> None:
    certain = np.eye(3, dtype=np.float32)[evidence.probabilities.argmax(axis=0)].transpose(3, 0, 1, 2)
    assert assess(dataclasses.replace(evidence, probabilities=certain), NAMES, None).places == ()


def test_without_a_calibration_there_is_no_estimate(evidence: Evidence) -> None:
    found = assess(evidence, NAMES, None)
    assert found.estimates == {"Ball": None, "Far ball": None}
    assert not found.calibrated


def test_an_estimate_lies_in_its_interval_and_structures_that_were_not_calibrated_have_none(evidence: Evidence) -> None:
    estimates = assess(evidence, NAMES, Calibration(1.0, QUALITY, COHORT)).estimates
    ball = estimates["Ball"]
    assert ball is not None
    assert 0 < ball.low < ball.dice < ball.high < 1
    assert estimates["Far ball"] is None


def test_of_two_contours_with_the_same_estimate_that_with_the_wider_interval_is_flagged() -> None:
    unsure = dataclasses.replace(OWN, remainder=1.0)
    both = dataclasses.replace(QUALITY, check_below=0.6, structures={"Sure": OWN, "Unsure": unsure})
    sure, other = (both.estimate(name, (0.0,) * len(FEATURES)) for name in ("Sure", "Unsure"))
    assert sure is not None
    assert other is not None
    assert sure.dice == other.dice
    assert (sure.check, other.check) == (False, True)


def test_a_calibration_of_version_1_flags_contours_by_their_estimate_as_before() -> None:
    new = Calibration(1.0, dataclasses.replace(QUALITY, check_below=0.8)).to_dict()
    assert new["version"] == 2
    old = json.loads(json.dumps({**new, "version": 1}))
    del old["quality"]["check_by"]
    middle = (0.0,) * len(FEATURES)
    flagged = []
    for values in (new, old):
        quality = Calibration.from_dict(values).quality
        assert quality is not None
        estimate = quality.estimate("Ball", middle)
        assert estimate is not None
        assert estimate.low < 0.8 < estimate.dice
        flagged.append(estimate.check)
    assert flagged == [True, False]
    with pytest.raises(ModelError, match="flagged by 'name'"):
        Calibration.from_dict({**new, "quality": {**new["quality"], "check_by": "name"}})


def test_a_familiar_scan_gives_no_warning(evidence: Evidence) -> None:
    assert assess(evidence, NAMES, Calibration(1.0, QUALITY, COHORT), ["CT"]).warnings == ()


def test_unfamiliar_voxels_intensities_and_extents_are_said_with_their_values(evidence: Evidence) -> None:
    scan = Grid((40, 40, 30), (2.0, 2.0, 10.0), (-40.0, -30.0, 100.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    strange = dataclasses.replace(evidence, scan=scan, intensities=((0.0, 0.0, 0.1),))
    text = " ".join(assess(strange, NAMES, Calibration(1.0, None, COHORT), ["CT"]).warnings)
    assert "10.0 mm from head to foot; in training they measured 2.5 to 3.0 mm" in text
    assert "reaches over 300 mm from head to foot: a larger part" in text
    assert "intensities of the CT are unlike" in text


def test_a_structure_whose_place_is_beyond_the_scan_is_said_to_be_outside(evidence: Evidence) -> None:
    offsets = {"Ball > Far ball": (0.0, 0.0, -150.0, 3.0, 3.0, 3.0, 30.0)}
    cohort = dataclasses.replace(COHORT, offsets=offsets)
    alone = np.array(evidence.probabilities)
    alone[0] += alone[2]
    alone[2] = 0
    only_one = dataclasses.replace(evidence, probabilities=alone)
    found = assess(only_one, NAMES, Calibration(1.0, None, cohort), ["CT"])
    assert any("Outside this scan, going by the other structures: far ball" in text for text in found.warnings)
    inside = assess(only_one, NAMES, Calibration(1.0, None, COHORT), ["CT"])
    assert any("Not found, although this scan should show it: far ball" in text for text in inside.warnings)


def test_expected_dice_of_a_certain_contour_is_one_and_of_an_even_one_is_known() -> None:
    contour = np.zeros((2, 2, 2), dtype=bool)
    contour[0] = True
    assert expected_dice(contour.astype(np.float32), contour) == 1
    assert expected_dice(np.full((2, 2, 2), 0.5, dtype=np.float32), contour) == pytest.approx(2 * 2 / (4 + 4))


def features_of(evidence: Evidence, cohort: Cohort = COHORT) -> dict[str, float]:
    found = structure_evidence(NAMES[0], surroundings(evidence, 1, 1.0), evidence.grid, cohort).features
    assert found is not None
    return dict(zip(FEATURES, found, strict=True))


def test_a_scan_unlike_those_in_training_has_no_estimates(evidence: Evidence) -> None:
    strange = dataclasses.replace(evidence, intensities=((0.0, 0.0, 0.1),))
    found = assess(strange, NAMES, Calibration(1.0, QUALITY, COHORT), ["CT"])
    assert not any(found.estimates.values())
    assert any("none are given for this one" in text for text in found.warnings)


def test_a_contour_far_smaller_than_any_in_training_has_no_estimate_and_a_sentence_says_so(evidence: Evidence) -> None:
    volumes = COHORT.volumes | {"Ball": (float(np.log(200.0)), 0.3, 30.0)}
    found = assess(evidence, NAMES, Calibration(1.0, QUALITY, dataclasses.replace(COHORT, volumes=volumes)), ["CT"])
    assert found.estimates["Ball"] is None
    (warning,) = found.warnings
    assert warning.startswith("The contour of ball is far smaller than in training, where 110 to 364 mL are usual")
    assert warning.endswith(" No estimate is given for it.")


def test_that_there_is_no_estimate_is_said_once_of_a_strange_scan_with_odd_contours(evidence: Evidence) -> None:
    strange = dataclasses.replace(evidence, intensities=((0.0, 0.0, 0.1),))
    volumes = {name: (float(np.log(200.0)), 0.3, 30.0) for name in NAMES}
    both = dataclasses.replace(QUALITY, structures=dict.fromkeys(NAMES, OWN))
    calibration = Calibration(1.0, both, dataclasses.replace(COHORT, volumes=volumes))
    found = assess(strange, NAMES, calibration, ["CT"])
    assert sum("estimate" in text.lower() for text in found.warnings) == 1
    assert sum("is far smaller than in training" in text for text in found.warnings) == 2


def test_an_odd_volume_is_a_feature(evidence: Evidence) -> None:
    usual = features_of(evidence)
    larger = features_of(evidence, dataclasses.replace(COHORT, volumes={"Ball": (np.log(30.0), 0.3, 30.0)}))
    assert larger["odd volume"] > usual["odd volume"] + 1


def test_a_larger_ball_is_thicker() -> None:
    thick = []
    for radius in (6.0, 12.0):
        inside = ball((14, 19, 19), radius, 0.1)
        classes = np.stack([1 - inside, inside, np.zeros_like(inside)]).astype(np.float32)
        thick.append(features_of(Evidence(classes, GRID, GRID))["thickness"])
    assert 2 < np.exp(thick[1] - thick[0]) < 4, "depths run to the middle of the outermost voxels"


def test_doubt_far_from_a_contour_does_not_count_for_it(evidence: Evidence) -> None:
    far = np.array(evidence.probabilities)
    far[1, :, 36:, 36:] = 0.3
    far[0, :, 36:, 36:] = 0.7
    delivered = dataclasses.replace(evidence, labels=evidence.delivered)
    moved = dataclasses.replace(delivered, probabilities=far)
    name = "expected Dice near the contour"
    assert features_of(moved)[name] == pytest.approx(features_of(delivered)[name])


def test_what_was_delivered_is_reviewed_not_what_is_most_probable(evidence: Evidence) -> None:
    labels = np.array(evidence.delivered)
    labels[labels == 2] = 0  # removed as stray
    found = assess(dataclasses.replace(evidence, labels=labels), NAMES, Calibration(1.0, QUALITY, COHORT))
    assert found.estimates["Far ball"] is None
    assert {place.structure for place in found.places} == {"Ball"}


def test_within_a_region_of_interest_what_lies_outside_is_not_called_missed(evidence: Evidence) -> None:
    labels, outside = np.array(evidence.delivered), np.zeros(evidence.delivered.shape, dtype=bool)
    labels[labels == 2] = 0
    outside[:, 20:] = True
    whole = dataclasses.replace(evidence, labels=labels)
    assert any("Not found" in text for text in assess(whole, NAMES, Calibration(1.0, None, COHORT)).warnings)
    limited = dataclasses.replace(whole, outside=outside)
    assert not any("Not found" in text for text in assess(limited, NAMES, Calibration(1.0, None, COHORT)).warnings)


def test_a_structure_that_the_region_cuts_has_no_estimate(evidence: Evidence) -> None:
    outside = np.zeros(evidence.delivered.shape, dtype=bool)
    outside[:, :12] = True
    labels = np.where(outside, 0, evidence.delivered).astype(np.uint8)
    limited = dataclasses.replace(evidence, labels=labels, outside=outside)
    assert (labels == 1).any()
    assert assess(limited, NAMES, Calibration(1.0, QUALITY, COHORT)).estimates["Ball"] is None
    assert assess(evidence, NAMES, Calibration(1.0, QUALITY, COHORT)).estimates["Ball"] is not None


def test_a_volume_of_one_slice_can_be_reviewed(evidence: Evidence) -> None:
    grid = Grid((40, 40, 1), *(getattr(GRID, part) for part in ("spacing", "origin", "direction")))
    thin = Evidence(np.ascontiguousarray(evidence.probabilities[:, 14:15]), grid, grid, evidence.intensities)
    assert assess(thin, NAMES, Calibration(1.0, QUALITY, None)).places


def test_entropy_is_one_bit_where_two_classes_are_equal_and_nothing_where_one_is_certain() -> None:
    probabilities = np.array([[0.5, 1.0], [0.5, 0.0], [0.0, 0.0]], dtype=np.float32).reshape(3, 1, 1, 2)
    np.testing.assert_allclose(entropy_bits(probabilities).ravel(), [1, 0], atol=1e-4)


def test_a_higher_temperature_makes_probabilities_less_sure_and_keeps_their_sum_and_order(evidence: Evidence) -> None:
    soft = calibrated(evidence.probabilities, 2.0)
    np.testing.assert_allclose(soft.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(soft.argmax(axis=0), evidence.probabilities.argmax(axis=0))
    assert entropy_bits(soft).mean() > entropy_bits(evidence.probabilities).mean()


def test_a_review_holds_no_second_copy_of_the_probabilities() -> None:
    shape, classes = (16, 30, 60), 14
    grid = Grid(shape[::-1], (2.0, 2.0, 2.5), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    probabilities = np.full((classes, *shape), 0.02, dtype=np.float32)
    for label in range(1, classes):
        probabilities[label, 4:12, 8:22, 4 * label : 4 * label + 4] += 0.6
    probabilities /= probabilities.sum(axis=0)
    large = Evidence(probabilities, grid, grid, labels=probabilities.argmax(axis=0).astype(np.uint8))
    names = [f"Part {label}" for label in range(1, classes)]
    for review in (uncertainty_on_model_grid, uncertainty_on_scan, lambda one, how: assess(one, names, how)):
        assert peak_of(lambda review=review: review(large, Calibration(1.5))) < 6 * probabilities[0].nbytes


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_class_within_a_box_has_the_probability_that_it_has_in_the_whole(evidence: Evidence) -> None:
    box = (slice(3, 20), slice(5, 30), slice(2, 33))
    whole = calibrated(evidence.probabilities, 1.7)
    for label in range(3):
        found = probability_of(label, evidence.probabilities, box, 1.7)
        np.testing.assert_array_equal(found, whole[label][box])


def test_the_map_of_doubt_lies_on_the_grid_of_the_scan_and_is_zero_beyond_what_was_predicted(
    evidence: Evidence,
) -> None:
    scan = Grid((60, 50, 40), (1.5, 2.0, 2.5), (-50.0, -40.0, 90.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    image = uncertainty_on_scan(dataclasses.replace(evidence, scan=scan), None)
    assert Grid.of(image).same_as(scan)
    values = sitk.GetArrayFromImage(image)
    assert values[0, 0, 0] == 0
    assert values.max() == pytest.approx(uncertainty_on_model_grid(evidence, None).max(), abs=0.2)


def test_a_calibration_survives_json() -> None:
    calibration = Calibration(1.35, QUALITY, COHORT, "30 cases")
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 3}, {"version": "new"}, {"version": None}, {"temperature": 0}, {"temperature": "warm"},
        {"quality": {"features": 1}}, {"cohort": 3}, {"cohort": {"volumes": {}}},
        {"cohort": {"cases": 9, "spacing": [[1, 2]]}}, {"cohort": {"cases": 9, "extent": [[1, 2, 3]]}},
        {"cohort": {"cases": 9, "intensities": [[[0, 1]]]}}, {"cohort": {"cases": 9, "volumes": {"Ball": [1, 2]}}},
    ],
)  # fmt: skip
def test_a_damaged_or_newer_calibration_is_refused(wrong: dict) -> None:
    with pytest.raises(ModelError, match="calibration"):
        Calibration.from_dict(json.loads(json.dumps({**Calibration(1.0, QUALITY, COHORT).to_dict(), **wrong})))


def test_a_calibration_for_another_number_of_channels_is_refused() -> None:
    two = Calibration(1.0, None, dataclasses.replace(COHORT, intensities=COHORT.intensities * 2))
    with pytest.raises(ModelError, match="intensities of 2 channels, the model 1"):
        calibration_of(small_spec(calibration=two.to_dict()))


def test_a_quality_model_of_other_features_gives_no_estimate() -> None:
    values = json.loads(json.dumps(Calibration(1.0, QUALITY, None).to_dict()))
    values["quality"]["features"] = ["something else"]
    assert Calibration.from_dict(values).quality is None
