"""The plan of peak memory is held: measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import json, sys, threading, time
import psutil, torch
from AutofocusCore.inference import predict_volume
from AutofocusCore.networks import build_network

architecture, precision, limit, attention, shape = json.loads(sys.argv[1])
network = build_network(architecture, in_channels=1, num_classes=3)
volume = torch.zeros(1, *shape)
predict_volume(network, volume[:, :8, :8, :8], precision=precision, device="cpu")  # libraries load
process, peak, going = psutil.Process(), 0, True

def watch():
    global peak
    while going:
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.002)

before = process.memory_info().rss
watcher = threading.Thread(target=watch)
watcher.start()
prediction = predict_volume(network, volume, precision=precision, device="cpu", memory_limit=limit, attention=attention)
going = False
watcher.join()
result = {"planned": prediction.plan.peak_bytes, "measured": peak - before, "splits": prediction.plan.splits}
print(json.dumps(result | {"seconds": prediction.seconds}))
"""


def _run(*arguments: object) -> dict[str, float]:
    """Plan and measurement of a prediction in a process of its own, in bytes."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    result: dict[str, float] = json.loads(run.stdout)
    return result


@pytest.mark.parametrize(
    ("architecture", "precision", "limit", "attention"),
    [
        ("basic", "float32", None, None),
        ("afn-1", "float32", 600 * 2**20, "all"),
        ("afn-4", "bfloat16", None, [3]),
        ("aspp-c", "float32", 400 * 2**20, None),
    ],
)
def test_the_measured_peak_is_within_a_quarter_of_the_plan(
    architecture: str, precision: str, limit: int | None, attention: object
) -> None:
    result = _run(architecture, precision, limit, attention, (72, 96, 112))
    if limit is not None:
        assert result["planned"] <= limit
    assert 0.75 * result["planned"] <= result["measured"] <= 1.25 * result["planned"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_large_ct_goes_through_the_largest_network_whole_and_under_ten_gibibytes() -> None:
    result = _run("afn-6", "auto", 10 * 2**30, None, (200, 512, 512))
    print(f"512 x 512 x 200, AFN-6: {result['seconds']:.0f} s, {result['measured'] / 2**30:.1f} GiB")
    assert result["splits"] == 1
    assert result["measured"] < 10 * 2**30
    assert 0.75 * result["planned"] <= result["measured"] <= 1.25 * result["planned"]
