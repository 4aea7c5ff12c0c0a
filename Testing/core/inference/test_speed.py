"""How long a run will take, before it and after one like it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from AutofocusCore.inference import devices, plan_volume, predict_volume
from AutofocusCore.inference import progress as speed
from AutofocusCore.inference.progress import expected_seconds, learn, multiplications, try_out
from AutofocusCore.networks.build import build_network

CPU = {"device": "cpu", "precision": "float32"}


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """And the computer counts as idle, whatever else it does while it tests."""
    monkeypatch.setattr(speed, "load_factor", lambda own_threads: 1.0)
    speed.forget()
    yield
    speed.forget()


def test_a_device_is_tried_out_once_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network("afn-1", in_channels=1, num_classes=2)
    plan = plan_volume(network, (1, 40, 40, 40), **CPU)
    tries = 0

    def counted(device: str, precision: str) -> float:
        nonlocal tries
        tries += 1
        return try_out(device, precision)

    monkeypatch.setattr(speed, "try_out", counted)
    start = time.process_time()
    first = expected_seconds(network, plan, "cpu", "float32")
    assert time.process_time() - start < 10  # it takes a third of a second
    assert 0 < first < 1000
    assert expected_seconds(network, plan, "cpu", "float32") == first
    larger = plan_volume(network, (1, 80, 80, 80), **CPU)
    ratio = expected_seconds(network, larger, "cpu", "float32") / first
    assert ratio == pytest.approx(larger.work / plan.work)
    assert tries == 1


def test_a_real_run_teaches_its_rate_and_a_short_one_nothing() -> None:
    network = build_network("afn-1", in_channels=1, num_classes=2)
    plan = plan_volume(network, (1, 40, 40, 40), **CPU)
    learn(network, plan, "cpu", "float32", 20.0)
    assert expected_seconds(network, plan, "cpu", "float32") == pytest.approx(20.0)
    learn(network, plan, "cpu", "float32", 0.01)
    assert expected_seconds(network, plan, "cpu", "float32") == pytest.approx(20.0)
    larger = plan_volume(network, (1, 80, 40, 40), **CPU)
    assert expected_seconds(network, larger, "cpu", "float32") == pytest.approx(20.0 * larger.work / plan.work)


def test_predicting_is_such_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SHORTEST_RUN", 0.0)
    network = build_network("afn-1", in_channels=1, num_classes=2)
    volume = torch.zeros(1, 24, 24, 24)
    prediction = predict_volume(network, volume, **CPU)  # type: ignore[arg-type]
    monkeypatch.setattr(speed, "try_out", lambda *_: pytest.fail("the rate is known"))
    expected = expected_seconds(network, prediction.plan, "cpu", "float32")
    assert 0 < expected <= prediction.seconds


@pytest.mark.parametrize("architecture", ["basic", "aspp-c", "afn-2"])
def test_paper_mode_multiplies_in_every_tile(architecture: str) -> None:
    network = build_network(architecture, in_channels=1, num_classes=2)
    exact = multiplications(network, plan_volume(network, (1, 47, 47, 47), **CPU))
    one = multiplications(network, plan_volume(network, (1, 47, 47, 47), mode="paper", **CPU))
    eight = multiplications(network, plan_volume(network, (1, 94, 94, 94), mode="paper", **CPU))
    assert eight == 8 * one
    assert 0.3 < one / exact < 3


def test_a_busy_computer_takes_longer_and_the_rate_is_that_of_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network("afn-1", in_channels=1, num_classes=2)
    plan = plan_volume(network, (1, 40, 40, 40), **CPU)
    monkeypatch.setattr(speed, "load_factor", lambda own_threads: 3.0)
    learn(network, plan, "cpu", "float32", 30.0)
    assert expected_seconds(network, plan, "cpu", "float32") == pytest.approx(30.0)
    monkeypatch.setattr(speed, "load_factor", lambda own_threads: 1.0)
    assert expected_seconds(network, plan, "cpu", "float32") == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("load", "own", "factor"), [(0.0, 0, 1.0), (4.0, 0, 2.0), (4.0, 4, 1.0), (12.0, 0, 4.0), (12.0, 4, 3.0)]
)
def test_the_load_is_what_other_programs_want(
    monkeypatch: pytest.MonkeyPatch, load: float, own: float, factor: float
) -> None:
    monkeypatch.setattr(devices.os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.setattr(devices.os, "cpu_count", lambda: 4)
    assert devices.load_factor(own) == factor
