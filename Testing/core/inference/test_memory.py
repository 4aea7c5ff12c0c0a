"""The plan of peak memory is held: measured in a process of its own."""

from __future__ import annotations

import pytest

from Testing.core.peak_memory import peak_memory


@pytest.mark.parametrize(
    ("architecture", "precision", "limit", "attention"),
    [
        ("basic", "float32", None, None),
        ("afn-1", "float32", 300 * 2**20, "all"),
        ("afn-4", "bfloat16", None, [3]),
        ("aspp-c", "float32", 250 * 2**20, None),
    ],
)
def test_the_measured_peak_is_within_a_quarter_of_the_plan(
    architecture: str, precision: str, limit: int | None, attention: object
) -> None:
    options = {"precision": precision, "memory_limit": limit, "attention": attention}
    result = peak_memory(architecture, (48, 64, 72), **options)
    if limit is not None:
        assert result["planned"] <= limit
    assert 0.75 * result["planned"] <= result["measured"] <= 1.25 * result["planned"]


@pytest.mark.parametrize("limit", [None, 165 * 2**20])
def test_the_plan_of_a_run_in_the_roi_domain_is_held(limit: int | None) -> None:
    network = {"domain": "roi", "norm": "fused"}
    result = peak_memory("afn-2", (64, 96, 96), network=network, body=True, precision="float32", memory_limit=limit)
    assert (result["slabs"] > 1) == (limit is not None)
    assert 0.6 * result["planned"] <= result["measured"] <= 1.1 * result["planned"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_large_ct_in_the_roi_domain_goes_through_the_largest_network_whole() -> None:
    network = {"domain": "roi", "norm": "fused"}
    result = peak_memory(
        "afn-6", (200, 512, 512), network=network, body=True, precision="auto", memory_limit=10 * 2**30
    )
    print(f"512 x 512 x 200, AFN-6, ROI: {result['seconds']:.0f} s, {result['measured'] / 2**30:.1f} GiB")
    assert result["splits"] == 1
    assert 0.6 * result["planned"] <= result["measured"] <= 1.1 * result["planned"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_large_ct_goes_through_the_largest_network_whole_and_under_ten_gibibytes() -> None:
    result = peak_memory("afn-6", (200, 512, 512), precision="auto", memory_limit=10 * 2**30)
    print(f"512 x 512 x 200, AFN-6: {result['seconds']:.0f} s, {result['measured'] / 2**30:.1f} GiB")
    assert result["splits"] == 1
    assert result["measured"] < 10 * 2**30
    assert 0.75 * result["planned"] <= result["measured"] <= 1.25 * result["planned"]
