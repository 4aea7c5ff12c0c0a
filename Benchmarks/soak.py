"""`make soak`: one worker, hundreds of volumes of random shapes, and how much memory it has after each.

    python -m Benchmarks.soak --requests 500 --limit 600 --output soak

Writes OUTPUT.csv (request, shape, seconds, resident memory in MiB) and OUTPUT.png (the curve), and fails where the
worker had more than LIMIT MiB after a request. The volumes are noise of 12 to 44 voxels a side, so that hardly any two
have the same shape.
"""

from __future__ import annotations

import argparse
import csv
import queue
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from AutofocusCore.io.nrrd import write_nrrd
from AutofocusCore.worker.client import WorkerProcess

MIB = 2**20


def soak(requests: int, model: str, threads: int | None, seed: int = 0) -> list[dict[str, Any]]:
    """Have one worker segment that many volumes; shape (z, y, x), seconds and MiB after each."""
    rng = np.random.default_rng(seed)
    answers: queue.Queue[Any] = queue.Queue()
    worker = WorkerProcess(answers, threads=threads)
    rows = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(requests):
                shape = tuple(int(n) for n in rng.integers(12, 45, 3))
                path = write_nrrd(Path(folder) / "scan.nrrd", rng.normal(size=shape).astype(np.float32), np.eye(4))
                start = time.monotonic()
                settings = {"device": "cpu", "precision": "float32"}
                job = {"images": [str(path)], "model": model, "settings": settings, "attention": number % 4 == 0}
                worker.send({"id": number, "request": "segment", "keep": False, **job})
                message = _answer(answers)
                assert message["type"] == "result", message
                resident = psutil.Process(worker.process.pid).memory_info().rss / MIB
                seconds = round(time.monotonic() - start, 2)
                rows.append({"request": number + 1, "shape": "x".join(map(str, shape)), "seconds": seconds,
                             "resident_mib": round(resident)})  # fmt: skip
                if number % 10 == 9:
                    print(f"{number + 1} requests: {resident:.0f} MiB", flush=True)
    finally:
        worker.end()
    return rows


def _answer(answers: queue.Queue[Any]) -> dict[str, Any]:
    while True:
        _, message = answers.get(timeout=600)
        if message is None:
            raise RuntimeError("The worker ended.")
        if message["type"] != "progress":
            return dict(message)


def write_curve(rows: list[dict[str, Any]], limit: float, path: Path) -> None:
    """The memory after each request, and the limit, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot([row["request"] for row in rows], [row["resident_mib"] for row in rows], linewidth=1)
    axes.axhline(limit, color="tab:red", linestyle="--", linewidth=1)
    axes.set(xlabel="request", ylabel="resident memory (MiB)", ylim=(0, None), title="One worker, random shapes")
    figure.savefig(path, dpi=120)


def main() -> int:
    """Run it and print the result; returns 1 if the worker used more memory than the limit."""
    parser = argparse.ArgumentParser(prog="python -m Benchmarks.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--model", default="hippocampus-mr")
    parser.add_argument("--limit", type=float, default=600, help="MiB")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--output", type=Path, default=Path("soak"))
    args = parser.parse_args()
    rows = soak(args.requests, args.model, args.threads)
    with args.output.with_suffix(".csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    write_curve(rows, args.limit, args.output.with_suffix(".png"))
    most = max(row["resident_mib"] for row in rows)
    print(f"{len(rows)} requests: at most {most} MiB, {rows[-1]['resident_mib']} at the end; limit {args.limit:g} MiB.")
    return int(most > args.limit)


if __name__ == "__main__":
    sys.exit(main())
