"""The course of a run: its length, its learning rates, the averaged weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from AutofocusCore.errors import SettingError
from AutofocusCore.teaching.schedule import update_average
from Training.configuration.settings import Optimizer, Run
from Training.loop.schedule import build_schedule, learning_rate


def test_schedules_end_where_they_should() -> None:
    poly = Optimizer(learning_rate=1.0, schedule="poly", power=0.9)
    step = Optimizer(learning_rate=1.0, schedule="step", drops=(0.5, 0.75))
    cosine = Optimizer(learning_rate=1.0, schedule="cosine", warm_up=4)
    assert learning_rate(poly, 0, 100) == 1.0
    assert learning_rate(poly, 50, 100) == pytest.approx(0.5**0.9)
    assert [learning_rate(step, s, 100) for s in (49, 50, 80)] == pytest.approx([1.0, 0.1, 0.01])
    assert [learning_rate(cosine, s, 100) for s in (0, 3)] == [0.25, 1.0]
    assert learning_rate(cosine, 99, 100) < 0.001
    assert {learning_rate(Optimizer(learning_rate=3.0, schedule="constant"), s, 9) for s in range(9)} == {3.0}


def test_each_part_of_a_run_begins_anew() -> None:
    parts = Optimizer(learning_rate=1.0, schedule="cosine", warm_up=2, cycles=(10, 20))
    alone = Optimizer(learning_rate=1.0, schedule="cosine", warm_up=2)
    rates = [learning_rate(parts, step, 30) for step in range(30)]
    assert rates == [learning_rate(alone, s, 10) for s in range(10)] + [learning_rate(alone, s, 20) for s in range(20)]


def test_a_part_of_a_run_can_have_a_share_of_the_rate() -> None:
    parts = Optimizer(learning_rate=2.0, schedule="cosine", warm_up=2, cycles=(10, 20), cycle_rates=(1.0, 0.25))
    full = replace(parts, cycle_rates=())
    rates, expected = ([learning_rate(options, step, 30) for step in range(30)] for options in (parts, full))
    assert rates == pytest.approx([*expected[:10], *(0.25 * rate for rate in expected[10:])])
    for wrong in ((1.0,), (1.0, 0.0), (1.0, -1.0)):
        with pytest.raises(SettingError, match=r"cycle_rates .* give 2 positive shares"):
            replace(parts, cycle_rates=wrong)


def test_a_constant_rate_cools_down_at_the_end_wherever_that_will_be() -> None:
    options = Optimizer(learning_rate=2.0, schedule="constant", cool_down=4)
    short, long = ([learning_rate(options, step, steps) for step in range(steps)] for steps in (10, 16))
    assert short[:7] == long[:7] == [2.0] * 7
    assert short[6:] == long[12:]
    assert short[8] == pytest.approx(1.0)
    assert 0 < short[9] < 0.5


def test_the_papers_pelvic_rate_falls_to_a_tenth_after_epoch_200_of_300() -> None:
    options = Optimizer(schedule="step", drops=(200,))
    schedule = build_schedule(Run(epochs=300), cases=70, batch=7)
    assert schedule.steps == 3000
    rates = [learning_rate(options, s, schedule.steps, schedule.epoch) for s in (0, 1999, 2000, 2999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def test_deepmedics_rate_is_halved_after_each_epoch_of_its_list() -> None:
    options = Optimizer(schedule="step", drops=(17, 22, 27, 30, 33), divide_by=2)
    schedule = build_schedule(Run(epochs=35, epoch_steps=2000), cases=50, batch=10)
    rates = [learning_rate(options, 2000 * e, schedule.steps, schedule.epoch) / 1e-3 for e in (16, 17, 22, 27, 30, 33)]
    assert rates == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32])


def test_an_epoch_may_end_within_a_step() -> None:
    schedule = build_schedule(Run(epochs=4), cases=5, batch=2)
    assert (schedule.steps, schedule.epoch) == (10, 2.5)


def test_the_average_forgets_the_first_weights_and_then_moves_by_its_decay() -> None:
    torch.manual_seed(0)
    average, network = nn.BatchNorm3d(2), nn.BatchNorm3d(2)
    nn.init.constant_(average.weight, 100.0)
    for step in range(60):
        update_average(average, network, 0.98, step)
    assert float((average.weight - 1).abs().max()) < 0.01
    nn.init.constant_(network.weight, 2.0)
    before = average.weight.clone()
    update_average(average, network, 0.9, 1000)
    torch.testing.assert_close(average.weight, 0.9 * before + 0.1 * 2)
    network.num_batches_tracked += 5
    update_average(average, network, 0.9, 1001)
    assert int(average.num_batches_tracked) == 5
