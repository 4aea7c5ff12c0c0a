"""The plan and the measured peak of memory of a prediction, in a new process: a fork holds memory of its parent.

python -m Testing.core.peak_memory '{"shape": [72, 96, 112], "architecture": "afn-1", "network": {}, ...}'
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from AutofocusCore.inference import predict_volume
from AutofocusCore.networks.build import build_network
from Benchmarks.bench_large import body_in
from Benchmarks.measuring import measure

ROOT = Path(__file__).resolve().parents[2]


def peak_memory(
    architecture: str,
    shape: tuple[int, int, int],
    *,
    network: dict[str, Any] | None = None,
    body: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Bytes "planned" and "measured", "splits", "slabs" and "seconds" of one prediction in a new process.

    Args:
        architecture: of a network with one channel and three classes, unless `network` says otherwise.
        shape: of the volume, z, y, x in voxels.
        network: more arguments of :func:`build_network`.
        body: whether the mask is a body of usual size (`Benchmarks.bench_large.body_in`), not the whole volume.
        options: of :func:`predict_volume`.
    """
    job = {"architecture": architecture, "shape": shape, "network": network or {}, "body": body, "options": options}
    command = [sys.executable, "-m", "Testing.core.peak_memory", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(
    architecture: str, shape: list[int], network: dict[str, Any], body: bool, options: dict[str, Any]
) -> dict[str, float]:
    built = build_network(architecture, **{"in_channels": 1, "num_classes": 3, **network})
    volume = torch.randn(1, *shape)  # what is background everywhere would not be computed
    predict_volume(built, volume[:, :8, :8, :8], device="cpu", precision=options["precision"])  # libraries load
    if body:
        options = {**options, "mask": body_in(shape)}
    predictions = []
    _, peak = measure(lambda: predictions.append(predict_volume(built, volume, device="cpu", **options)), "cpu")
    (prediction,) = predictions
    plan = prediction.plan
    return {"planned": plan.peak_bytes, "measured": peak, "splits": plan.splits, "slabs": plan.slabs,
            "seconds": prediction.seconds}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(_measure(**json.loads(sys.argv[1]))))
