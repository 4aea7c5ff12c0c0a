"""Exact mode is one forward pass over the whole padded volume, whatever the plan."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import AutofocusCore
from AutofocusCore.errors import Cancelled, DeviceError, MemoryLimitError, SettingError
from AutofocusCore.inference import Progress, plan_volume, predict_volume, receptive_reach
from AutofocusCore.inference.boxes import Box
from AutofocusCore.inference.plan import OVERHEAD
from Testing.core.small_networks import narrow_network, random_network, truth, whole

NETWORKS = {
    "basic": {},
    "aspp-c": {},
    "aspp-s": {},
    "deepmedic": {},
    "afn-1": {},
    "afn-1 fused": {"norm": "fused"},
    "afn-4": {},
    "afn-4 fused": {"norm": "fused"},
    "afn-6": {},
    "afn-6 fused": {"norm": "fused"},
    "afn-3 other rates": {"dilation_rates": (1, 3, 4)},
}
BACKGROUND = -1.5


def _agree(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """1e-4 for logits of order one; the random networks' are larger."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * max(1.0, expected.abs().max().item() / 10))


@st.composite
def _cases(draw: st.DrawFn) -> tuple[tuple[int, int, int], Box | None, float]:
    """A volume's shape, the wanted region, and the share of the best plan's memory that may be used."""
    shape = tuple(draw(st.integers(1, 22)) for _ in range(3))
    share = draw(st.sampled_from([1.0, 0.6, 0.3, 0.1]))
    if draw(st.booleans()):
        return shape, None, share  # type: ignore[return-value]
    bounds = [sorted((draw(st.integers(0, n - 1)), draw(st.integers(1, n)))) for n in shape]
    region = tuple((low, max(high, low + 1)) for low, high in bounds)
    return shape, region, share  # type: ignore[return-value]


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=6)
@given(case=_cases())
def test_the_result_is_that_of_one_pass_whatever_shape_memory_and_slab(
    name: str, case: tuple[tuple[int, int, int], Box | None, float]
) -> None:
    shape, region, share = case
    network = narrow_network(name.split()[0], in_channels=2, **NETWORKS[name])  # type: ignore[arg-type]
    volume = torch.randn(2, *shape, generator=torch.Generator().manual_seed(sum(shape)))
    logits, attention = truth(network, volume, BACKGROUND, region or whole(volume))
    options = {"device": "cpu", "precision": "float32", "attention": "all", "region": region}
    best = plan_volume(network, volume.shape, **options)  # type: ignore[arg-type]
    limit = OVERHEAD + int((best.peak_bytes - OVERHEAD) * share)
    try:
        prediction = predict_volume(network, volume, BACKGROUND, memory_limit=limit, **options)  # type: ignore[arg-type]
    except MemoryLimitError:
        assert share < 1.0
        return
    assert prediction.plan.peak_bytes <= limit
    _agree(prediction.logits, logits)
    assert list(prediction.attention) == list(range(len(attention)))
    for index, expected in enumerate(attention):
        torch.testing.assert_close(prediction.attention[index], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["basic", "aspp-c", "afn-1", "deepmedic"])
def test_a_volume_that_is_split_for_want_of_memory_shows_no_seam(name: str) -> None:
    network = narrow_network(name)
    volume = torch.randn(1, 34, 30, 28, generator=torch.Generator().manual_seed(1))
    logits, attention = truth(network, volume, BACKGROUND, whole(volume))
    options = {"device": "cpu", "precision": "float32", "attention": "all"}
    limit = plan_volume(network, volume.shape, **options).peak_bytes  # type: ignore[arg-type]
    plan = None
    while plan is None or plan.splits == 1:
        limit = OVERHEAD + int((limit - OVERHEAD) * 0.95)
        plan = plan_volume(network, volume.shape, memory_limit=limit, **options)  # type: ignore[arg-type]
    prediction = predict_volume(network, volume, BACKGROUND, memory_limit=limit, **options)  # type: ignore[arg-type]
    assert prediction.plan == plan
    assert "split into" in plan.describe()
    _agree(prediction.logits, logits)
    for index, expected in enumerate(attention):
        torch.testing.assert_close(prediction.attention[index], expected, rtol=0, atol=1e-4)


def test_a_region_needs_less_work_than_the_whole() -> None:
    network = narrow_network("afn-1")
    inside = plan_volume(network, (1, 60, 60, 60), region=((20, 30), (20, 30), (20, 30)), device="cpu")
    assert inside.work < 0.3 * plan_volume(network, (1, 60, 60, 60), device="cpu").work


@pytest.mark.parametrize("name", ["basic", "afn-1", "afn-6", "aspp-s"])
def test_nothing_farther_than_the_receptive_reach_matters(name: str) -> None:
    network = narrow_network(name)
    reach = receptive_reach(network)
    assert reach == {"basic": 14, "afn-1": 2 + 5 * 2 + 14, "afn-6": 2 + 6 * 14, "aspp-s": 14 + 14}[name]
    volume = torch.randn(1, 3, 3, reach + 2)
    changed = volume.clone()
    changed[..., 0] += 5.0
    first, second = (predict_volume(network, v, device="cpu", precision="float32").logits for v in (volume, changed))
    assert torch.equal(first[..., reach + 1 :], second[..., reach + 1 :])


def test_bfloat16_is_close_and_gives_float32(reference_volume: torch.Tensor) -> None:
    network = random_network("afn-4")
    exact, rounded = (
        predict_volume(network, reference_volume, device="cpu", precision=precision, attention="all")
        for precision in ("float32", "bfloat16")
    )
    assert rounded.logits.dtype == torch.float32
    assert rounded.precision == "bfloat16"
    spread = exact.logits.std().item()
    assert 0 < (exact.logits - rounded.logits).abs().mean().item() < 0.05 * spread
    torch.testing.assert_close(rounded.attention[3].sum(dim=0), torch.ones(10, 12, 14))


@pytest.fixture
def reference_volume() -> torch.Tensor:
    return torch.randn(1, 10, 12, 14, generator=torch.Generator().manual_seed(5))


def test_the_network_is_left_as_it_was(reference_volume: torch.Tensor) -> None:
    network = narrow_network("afn-1").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    predict_volume(network, reference_volume, device="cpu")
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_each_channel_may_have_a_background_of_its_own() -> None:
    network = narrow_network("afn-1", in_channels=2)
    volume = torch.randn(2, 6, 7, 8)
    shifted = volume - torch.tensor([-1.0, 2.0]).reshape(2, 1, 1, 1)
    padded = torch.nn.functional.pad(shifted[None], 6 * [14]) + torch.tensor([-1.0, 2.0]).reshape(1, 2, 1, 1, 1)
    with torch.inference_mode():
        expected = network(padded)[0]
    _agree(predict_volume(network, volume, (-1.0, 2.0), device="cpu", precision="float32").logits, expected)


def test_only_the_attention_asked_for_is_kept(reference_volume: torch.Tensor) -> None:
    network = narrow_network("afn-4")
    assert predict_volume(network, reference_volume, device="cpu").attention == {}
    prediction = predict_volume(network, reference_volume, device="cpu", attention=[1, 3])
    assert set(prediction.attention) == {1, 3}
    assert prediction.attention[1].shape == (4, 10, 12, 14)


def test_progress_ends_complete_with_a_shrinking_estimate() -> None:
    seen: list[Progress] = []
    network = random_network("basic")
    limit = OVERHEAD + 8 * 2**20
    predict_volume(network, torch.zeros(1, 40, 16, 16), device="cpu", memory_limit=limit, progress=seen.append)
    assert len(seen) > 10
    assert {progress.stage for progress in seen} == {"predict"}
    assert [progress.done for progress in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].done == seen[-1].total
    assert seen[-1].seconds_left == pytest.approx(0, abs=1e-3)


def test_cancelling_stops_before_the_next_slab() -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked == 4

    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        predict_volume(narrow_network("basic"), torch.zeros(1, 40, 16, 16), progress=seen.append, cancelled=cancelled)
    assert asked == 4
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"volume": torch.zeros(2, 5, 5, 5)}, "1 channel"),
        ({"volume": torch.zeros(5, 5, 5)}, "1 channel"),
        ({"background": float("nan")}, "background"),
        ({"background": (0.0, 1.0)}, "background"),
        ({"background": "0"}, "background is '0'"),
        ({"background": None}, "background is None"),
        ({"mode": "sliding"}, "sliding"),
        ({"precision": "int8"}, "int8"),
        ({"attention": [1]}, "autofocus layer"),
        ({"region": ((0, 5), (0, 5), (3, 9))}, "region"),
        ({"memory_limit": 0}, "memory_limit"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(arguments: dict[str, object], word: str) -> None:
    options = {"volume": torch.zeros(1, 5, 5, 5)} | arguments
    with pytest.raises(SettingError, match=word):
        predict_volume(narrow_network("afn-1"), device="cpu", **options)  # type: ignore[arg-type]


def test_an_unknown_device_is_refused_and_nothing_taken_in_its_place() -> None:
    with pytest.raises(DeviceError, match=r"cuda:7.*choose one of auto"):
        predict_volume(narrow_network("basic"), torch.zeros(1, 5, 5, 5), device="cuda:7")


def test_a_volume_that_fits_no_plan_says_how_much_it_needs() -> None:
    with pytest.raises(MemoryLimitError, match=r"at least \d+ MiB"):
        predict_volume(random_network("basic"), torch.zeros(1, 5, 5, 5), device="cpu", memory_limit=10**6)


def test_after_an_allocation_failed_the_plan_shrinks_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from AutofocusCore.inference import prediction as module

    limits: list[int] = []
    run = module.run_exact

    def fail_twice(network, task, plan, device, dtype):  # type: ignore[no-untyped-def]
        limits.append(plan.peak_bytes)
        if len(limits) < 3:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")
        return run(network, task, plan, device, dtype)

    monkeypatch.setattr(module, "run_exact", fail_twice)
    network, volume = narrow_network("basic"), torch.randn(1, 48, 32, 32)
    prediction = predict_volume(network, volume, BACKGROUND, device="cpu", precision="float32")
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == 3
    _agree(prediction.logits, truth(network, volume, BACKGROUND, whole(volume))[0])


def test_when_no_plan_is_small_enough_the_shortage_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from AutofocusCore.inference import prediction as module

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(module, "run_exact", fail)
    with pytest.raises(MemoryLimitError, match="ran out of memory, also with smaller slabs"):
        predict_volume(narrow_network("basic"), torch.randn(1, 30, 20, 20), device="cpu")


def test_an_error_that_is_no_shortage_of_memory_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from AutofocusCore.inference import prediction as module

    def fail(*_: object) -> None:
        raise ValueError("something else")

    monkeypatch.setattr(module, "run_exact", fail)
    with pytest.raises(ValueError, match="something else"):
        predict_volume(narrow_network("basic"), torch.zeros(1, 5, 5, 5), device="cpu")


def test_the_lazy_names_of_the_package_are_those_functions() -> None:
    assert AutofocusCore.predict_volume is predict_volume
    assert [device.id for device in AutofocusCore.list_devices()][-1] == "cpu"
