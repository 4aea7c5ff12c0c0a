"""Whole scans to learn from: what a change of a case keeps, what a mirror image does to names, what comes ahead."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch

from AutofocusCore.errors import InputError
from AutofocusCore.teaching.case import Case
from AutofocusCore.teaching.scans import Prefetcher, Scan, ScanSampler, draw_scan, swap_known
from Training.configuration.augmentation import Augmentation
from Training.configuration.settings import Run
from Training.loop.schedule import build_schedule

MIRRORED = Augmentation(flip=(2,), swap=((1, 2),))


@pytest.fixture
def case() -> Case:
    """A patient in a box of air, with a structure at the left and one at the right; the third is not known."""
    rng = np.random.default_rng(0)
    roi = np.zeros((12, 14, 16), dtype=bool)
    roi[1:11, 2:12, 3:13] = True
    labels = np.zeros(roi.shape, dtype=np.uint8)
    labels[4:8, 5:8, 4:6], labels[4:8, 5:8, 10:12] = 1, 2
    image = np.where(roi, rng.uniform(0.2, 0.8, roi.shape), 0).astype(np.float32)
    return Case("one", image[None], labels, roi, 0.0, known=(1, 2))


def drawn(case: Case, augmentation: Augmentation, seed: int, **options: object) -> Scan:
    return ScanSampler(augmentation, **options).scan(case, np.random.default_rng(seed))  # type: ignore[arg-type]


def test_without_augmentation_a_scan_is_the_case_itself_within_its_mask(case: Case) -> None:
    scan = drawn(case, Augmentation(), 0)
    assert scan.mask.shape == (10, 10, 10)
    assert scan.mask.all()
    assert torch.allclose(scan.image, torch.from_numpy(case.image[:, 1:11, 2:12, 3:13]), atol=1e-5)
    assert (scan.labels.numpy() == case.labels[case.roi]).all()
    assert scan.known == (1, 2)


def test_the_same_chance_draws_the_same_scan(case: Case) -> None:
    strong = Augmentation(
        (2,), ((1, 2),), 20, 0.2, 0.1, 0.1, 0.1, 1.0, 0.5, elastic=1.0, gamma=0.2, coarser=2.0, streaks=1.0, cut=0.5
    )
    one, same, other = (drawn(case, strong, seed) for seed in (3, 3, 4))
    assert torch.equal(one.image, same.image)
    assert torch.equal(one.labels, same.labels)
    assert one.image.shape != other.image.shape or not torch.equal(one.image, other.image)
    assert len(one.labels) == one.mask.sum()


def test_a_mirror_image_exchanges_left_and_right_and_what_is_known_of_them(case: Case) -> None:
    only_left = dataclasses.replace(case, known=(1,), labels=np.where(case.labels == 1, 1, 0).astype(np.uint8))
    flipped = next(s for s in (drawn(only_left, MIRRORED, seed) for seed in range(20)) if s.known == (2,))
    volume = torch.zeros(flipped.mask.shape, dtype=torch.long)
    volume[flipped.mask] = flipped.labels
    expected = np.where(only_left.labels == 1, 2, 0)[1:11, 2:12, 3:13][:, :, ::-1]
    assert (volume.numpy() == expected).all()
    assert swap_known((1, 4), [(1, 2)]) == (2, 4)
    assert swap_known(None, [(1, 2)]) is None


def test_a_scan_can_be_limited_to_a_run_of_slices(case: Case) -> None:
    counts = {int(drawn(case, Augmentation(), seed, most_voxels=350).mask.sum()) for seed in range(5)}
    assert counts == {300}  # three slices of a hundred
    assert drawn(case, Augmentation(), 0, most_voxels=1000).mask.sum() == 1000


def test_values_stay_within_what_inference_can_meet(case: Case) -> None:
    noisy = drawn(case, Augmentation(noise=2.0, streaks=1.0), 1, bounds=(0.0, 1.0))
    assert noisy.image.min() == 0
    assert noisy.image.max() == 1


def test_a_case_without_an_active_voxel_is_named(case: Case) -> None:
    with pytest.raises(InputError, match="one has no active voxel"):
        drawn(dataclasses.replace(case, roi=np.zeros_like(case.roi)), Augmentation(), 0)


def test_what_comes_ahead_is_made_once_each_in_another_thread_and_no_further_than_the_end() -> None:
    made: list[int] = []
    threads = set()

    def make(number: int) -> Scan:
        made.append(number)
        threads.add(threading.current_thread().name)
        return Scan(str(number), torch.zeros(1), torch.zeros(1), torch.zeros(1), None)

    ahead = Prefetcher(make, 2, 5)
    before = torch.get_num_threads()
    assert [ahead.get(number).name for number in range(5)] == ["0", "1", "2", "3", "4"]
    ahead.close()
    assert made == [0, 1, 2, 3, 4]
    assert threading.current_thread().name not in threads
    assert torch.get_num_threads() == before


def test_an_error_in_the_background_reaches_the_step_that_asks_for_the_scan() -> None:
    def make(number: int) -> Scan:
        raise InputError("It is cut off", "correct it")

    ahead = Prefetcher(make, 1, 3)
    with pytest.raises(InputError, match="cut off"):
        ahead.get(0)
    ahead.close()


def test_of_several_drawn_cases_the_one_with_most_known_structures_is_taken(case: Case) -> None:
    class Held:
        def __init__(self, known: tuple[int, ...] | None) -> None:
            self.case = dataclasses.replace(case, known=known, name=str(known))

    cases = [Held((1,)), Held((1, 2)), Held(None)]
    schedule = build_schedule(Run(steps=60), len(cases), 1)
    sampler = ScanSampler(Augmentation())
    one, three = ([draw_scan(cases, sampler, schedule, i, draws).name for i in range(60)] for draws in (1, 3))
    assert 10 < one.count("None") < 30
    assert three.count("None") > 30 > 10 > three.count("(1,)")
    assert three == [draw_scan(cases, sampler, schedule, i, 3).name for i in range(60)]
