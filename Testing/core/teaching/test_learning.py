"""The loop that teaches: what it changes, what it leaves alone, when it ends."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from AutofocusCore.errors import Cancelled
from AutofocusCore.teaching import learning
from AutofocusCore.teaching.case import with_known
from AutofocusCore.teaching.learning import LIGHT, Learner, Lesson
from AutofocusCore.teaching.scans import ScanSampler
from AutofocusCore.teaching.soft_labels import with_soft_labels
from Testing.core.small_lessons import BRIGHT, FLOAT32, ball_case


def learner(parent: Any, **options: Any) -> Learner:
    cases = [with_soft_labels(with_known(ball_case(seed), (BRIGHT,)), parent, 3, FLOAT32) for seed in (1, 2)]
    return Learner(parent, cases, ScanSampler(LIGHT), Lesson(**{"seconds": 600, "steps": 3, **options}), FLOAT32)


def run(one: Learner, looks: tuple[float, ...] = (1.0,)) -> list[int]:
    """Learn to the end; returns the steps after which it was looked at."""
    seen: list[int] = []
    one.learn(lambda done, left: None, looks, lambda: seen.append(one.steps))
    return seen


def test_the_network_learns_and_its_parent_and_the_statistics_stay_as_they_were(parent: Any) -> None:
    before = copy.deepcopy(parent.state_dict())
    one = learner(parent, steps=2)
    run(one)
    assert one.steps == 2
    assert all(torch.equal(value, before[name]) for name, value in parent.state_dict().items())
    for name, value in one.average.state_dict().items():
        if "running_" in name or "num_batches" in name:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(one.average.state_dict()["head.weight"], before["head.weight"])


def test_the_same_seed_gives_the_same_weights(parent: Any) -> None:
    ends = []
    for seed in (1, 1, 2):
        one = learner(parent, seed=seed, steps=2)
        run(one)
        ends.append(one.average.state_dict()["head.weight"])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_it_is_looked_at_after_the_given_shares_once_each_and_at_the_end(parent: Any) -> None:
    assert run(learner(parent, steps=4), (0.5, 0.75, 1.0)) == [2, 3, 4]
    assert run(learner(parent, steps=1), (0.5, 0.75, 1.0)) == [1]


def test_a_lesson_is_over_by_its_time_or_by_its_steps() -> None:
    assert Lesson(seconds=100, steps=10).done(5, 20) == 0.5
    assert Lesson(seconds=100, steps=10).done(1, 20) == 0.2
    assert Lesson(seconds=100).done(1000, 20) == 0.2
    assert Lesson(seconds=100).done(0, 200) == 1.0


def test_a_lesson_whose_time_is_up_takes_no_further_step(parent: Any) -> None:
    one = learner(parent, seconds=1e-9, steps=0)
    assert run(one) == [0]
    assert one.steps == 0


def test_an_error_of_the_report_ends_the_loop_before_the_next_step(parent: Any) -> None:
    one = learner(parent)

    def stop(done: float, left: float) -> None:
        if one.steps == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        one.learn(stop, (1.0,), lambda: None)
    assert one.steps == 1


def test_a_lesson_that_was_stopped_ends_with_the_same_weights_bit_for_bit(parent: Any) -> None:
    whole, looks = learner(parent, steps=6), (0.5, 0.75, 1.0)
    assert run(whole, looks) == [3, 5, 6]
    first = learner(parent, steps=6)

    def stop(done: float, left: float) -> None:
        if first.steps == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        first.learn(stop, looks, lambda: None)
    second = learner(parent, steps=6)
    second.resume(copy.deepcopy(first.state()))
    assert run(second, looks) == [5, 6], "the first look was done"
    assert second.losses == whole.losses
    assert second.seconds > first.seconds
    for one, other in ((second.network, whole.network), (second.average, whole.average)):
        expected = other.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in one.state_dict().items())


def test_looking_takes_of_the_time_and_looks_that_are_overdue_are_one(
    parent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(learning, "time", SimpleNamespace(monotonic=lambda: now[0]))
    one = learner(parent, seconds=100, steps=0)
    seen: list[tuple[int, float]] = []

    def pass_time(done: float, left: float) -> None:
        assert left == 100 - now[0]
        now[0] += 30  # of a step

    def look() -> None:
        seen.append((one.steps, now[0]))
        now[0] += 40

    one.learn(pass_time, (0.5, 0.75, 1.0), look)
    assert seen == [(2, 60.0)]
    assert now[0] == 100.0
