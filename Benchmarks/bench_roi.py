"""One real CT through the networks: tiles as released, exact mode over the box, and the active voxels alone.

    make bench-roi                                      # the tables of Documentation/Benchmarks.md
    .venv/bin/python -m Benchmarks.bench_roi --networks afn-6 --threads 2 --turns 3

The scan is a head-and-neck planning CT of the reference data (ct_openkbp_hn/imagesVa/pt_222), cropped to the box round
the body; the ROI is the body. Ways:

(a) the plain module in float32 on the authors' 75^3 -> 47^3 tiles over that box;
(b) exact mode over that box, in the best precision of this computer;
(c) the ROI domain in native code, in float32 and in that precision;
(d) the ROI domain in PyTorch alone, as where no compiler was at hand;
(e) a training step on a segment of 47^3 voxels of the box domain;
(f) a training step on the whole scan in the ROI domain, every active voxel supervised.

Each row is measured in a process of its own; ways take turns, and the quickest turn counts. Seconds of (e) are those of
as many voxels as the scan has active ones. Memory is the peak above what the process took before. The share of the peak
compares the multiplications of a run with those of a large matrix product in the same precision.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CASE = Path("ct_openkbp_hn") / "imagesVa" / "pt_222.nii.gz"
STORED_OFFSET = 1024  # the scan holds HU + 1024
WINDOW = (-200.0, 400.0)
CLASSES = 8
SEGMENT = 47
WAYS = {
    "tiles": "(a) released tiles",
    "exact": "(b) exact, box",
    "roi-float32": "(c) ROI, native, float32",
    "roi": "(c) ROI, native",
    "fallback": "(d) ROI, PyTorch alone",
    "step-box": "(e) step, segment",
    "step-roi": "(f) step, whole scan",
}


@dataclass(frozen=True)
class Job:
    """One measurement."""

    architecture: str
    norm: str
    way: str
    threads: int
    data: str


@dataclass(frozen=True)
class Found:
    """What was measured: seconds, peak bytes, and the share of the matrix-multiply peak where that is known."""

    seconds: float
    peak_bytes: int
    share: float | None


def load_case(data: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The normalised scan (D, H, W) in the box round the body, and the body (D, H, W)."""
    from AutofocusCore.images import Grid, read_image
    from AutofocusCore.images.body import body_mask, bounding_region

    image = read_image(data / CASE).image
    import SimpleITK as sitk

    hu = sitk.GetArrayFromImage(image).astype(np.float32) - STORED_OFFSET
    mask = body_mask(hu, Grid.of(image))
    box = tuple(slice(*ends) for ends in bounding_region(mask, (0, 0, 0)))
    low, high = WINDOW
    return (np.clip(hu[box], low, high) - low) / (high - low), mask[box]


def measure_job(job: Job) -> Found:
    """One row, in this process."""
    if job.way == "fallback":
        os.environ["AUTOFOCUS_KERNEL"] = "fallback"
    import torch

    import AutofocusCore
    from AutofocusCore.inference import predict_volume, resolve_device
    from Benchmarks.bench import matrix_peak
    from Benchmarks.measuring import measure

    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    values, body = load_case(Path(job.data))
    volume, mask = torch.from_numpy(values)[None], torch.from_numpy(body)
    best = "bfloat16" if "bfloat16" in resolve_device("cpu").precisions else "float32"
    precision = "float32" if job.way in ("tiles", "roi-float32") else best
    domain = "box" if job.way in ("tiles", "exact", "step-box") else "roi"
    network = AutofocusCore.build_network(
        job.architecture, in_channels=1, num_classes=CLASSES, norm=job.norm, domain=domain
    )
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight)
    if job.way.startswith("step"):
        step = _box_step if job.way == "step-box" else _roi_step
        return step(network, volume, mask, precision)
    network.eval()
    mode = "paper" if job.way == "tiles" else "exact"
    options: dict[str, Any] = {"device": "cpu", "precision": precision, "mode": mode}
    if domain == "roi":
        options["mask"] = mask
        small = {**options, "mask": mask[:16, :16, :16] | True}
    else:
        small = options
    plan = predict_volume(network, volume[:, :16, :16, :16], **small).plan  # warms the libraries up
    peak = matrix_peak("cpu", precision)

    def run() -> None:
        nonlocal plan
        plan = predict_volume(network, volume, **options).plan

    seconds, memory = measure(run, "cpu")
    return Found(seconds, memory, None if mode == "paper" else plan.work / seconds / peak)


def _roi_step(network: Any, volume: Any, mask: Any, precision: str) -> Found:
    import torch

    from AutofocusCore.kernels import ActiveVoxels
    from Benchmarks.bench import matrix_peak
    from Benchmarks.measuring import measure

    network.train()
    labels = torch.randint(CLASSES, (int(mask.sum()),))

    def step(part: Any, active: Any, wanted: Any) -> None:
        voxels = ActiveVoxels.from_mask(active[None])
        rows = voxels.gather(part[None]).to(getattr(torch, precision))
        logits, _ = network.forward_rows(rows, voxels)
        torch.nn.functional.cross_entropy(logits.float(), wanted).backward()

    step(volume[:, :24], mask[:24], labels[: int(mask[:24].sum())])
    network.zero_grad(set_to_none=True)
    peak = matrix_peak("cpu", precision)
    seconds, memory = measure(lambda: step(volume, mask, labels), "cpu")
    work = 3 * len(labels) * sum(p.numel() for p in network.parameters() if p.ndim == 5)
    return Found(seconds, memory, work / seconds / peak)


def _box_step(network: Any, volume: Any, mask: Any, precision: str) -> Found:
    import torch

    from Benchmarks.measuring import measure
    from Training.loop.losses import build_loss
    from Training.loop.step import Arithmetic, add_gradients

    network.train()
    network.to(memory_format=torch.channels_last_3d)
    extent = SEGMENT + 2 * network.margin
    images = torch.randn(1, 1, extent, extent, extent).contiguous(memory_format=torch.channels_last_3d)
    labels = torch.randint(CLASSES, (1, SEGMENT, SEGMENT, SEGMENT))
    arithmetic, loss = Arithmetic(precision, torch.device("cpu")), build_loss("cross-entropy")
    small = 2 * network.margin + 2
    add_gradients(network, images[..., :small, :small, :small], labels[..., :2, :2, :2], loss, arithmetic)
    network.zero_grad(set_to_none=True)
    seconds, memory = measure(lambda: add_gradients(network, images, labels, loss, arithmetic), "cpu")
    return Found(seconds * int(mask.sum()) / SEGMENT**3, memory, None)


def print_network(
    architecture: str, ways: list[str], threads: int, turns: int, data: str, active: int
) -> dict[str, Found]:
    """The rows of one network at one number of threads; answers the best of each way."""
    jobs = [Job(architecture, _norm(architecture, way), way, threads, data) for way in ways]
    found: dict[str, list[Found]] = {way: [] for way in ways}
    for turn in range(turns):
        for job in jobs:
            if turn and job.way == "tiles":
                continue  # once will do: it takes a minute
            with multiprocessing.get_context("spawn").Pool(1) as process:
                found[job.way].append(process.apply(measure_job, (job,)))
    best = {way: min(results, key=lambda result: result.seconds) for way, results in found.items()}
    for way in ways:
        row = best[way]
        against = [
            _times(best, first, row) for first in (("step-box",) if way.startswith("step") else ("tiles", "exact"))
        ]
        share = "" if row.share is None else f"{row.share:.0%}"
        ratios = against if len(against) == 2 else ["", against[0]]
        print(
            f"| {architecture} | {threads} | {WAYS[way]} | {row.seconds:.2f} | {row.seconds / active * 1e6:.1f} |"
            f" {ratios[0]} | {ratios[1]} | {row.peak_bytes / 2**20:.0f} | {share} |",
            flush=True,
        )
    return best


def summary(architecture: str, threads: int, best: dict[str, Found], active: int) -> str:
    """What the rows of one network come to, in sentences for Documentation/Benchmarks.md and the README."""
    said = []
    if "roi" in best:
        row = best["roi"]
        against = [
            f"{_times(best, way, row)} times faster than {name}"
            for way, name in (("tiles", "the released tiles"), ("exact", "exact mode"))
            if way in best
        ]
        unit = "thread" if threads == 1 else "threads"
        time = f"{architecture.upper()} takes {row.seconds:.2f} s and {row.peak_bytes / 2**20:.0f} MiB"
        said.append(", ".join([f"In the ROI domain {time} for this scan on {threads} {unit}", " and ".join(against)]))
    if "fallback" in best and "exact" in best:
        row = best["fallback"]
        said.append(
            f"Without a compiler it takes {row.seconds:.2f} s, {_times(best, 'exact', row)} times exact mode's speed"
        )
    if "step-roi" in best:
        row = best["step-roi"]
        step = f"A training step over the whole scan takes {row.seconds / active * 1e6:.1f} µs an active voxel"
        times = f", {_times(best, 'step-box', row)} times less than a segment's step" if "step-box" in best else ""
        said.append(step + times)
    return "".join(f"{sentence.removesuffix(', ')}. " for sentence in said).strip()


def _norm(architecture: str, way: str) -> str:
    """The released networks have a BatchNorm for each branch; ours one after the weighted sum."""
    return "branch" if architecture == "basic" or way in ("tiles", "step-box") else "fused"


def _times(best: dict[str, Found], first: str, row: Found) -> str:
    return f"{best[first].seconds / row.seconds:.1f}" if first in best else ""


def main() -> None:
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parents[1]
    default = os.environ.get("AUTOFOCUS_TEST_DATA", str(root.parent / "shared" / "data"))
    parser.add_argument("--data", default=default, help="folder of the reference data")
    parser.add_argument("--networks", nargs="+", default=["basic", "afn-2", "afn-4", "afn-6"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1])
    parser.add_argument("--turns", type=int, default=2, help="how often each is measured, but for (a) (2)")
    options = parser.parse_args()
    if not (Path(options.data) / CASE).is_file():
        sys.exit(f"{Path(options.data) / CASE} is not there; name the folder of the reference data: --data FOLDER")
    _, body = load_case(Path(options.data))
    box = " x ".join(map(str, body.shape))
    print(f"\nBox {box}, {body.size / 1e6:.2f} M voxels, {body.sum() / 1e6:.3f} M of them active.\n")
    print("| network | threads | way | s | us / active voxel | times (a) | times (b), (e) | peak MiB | share of peak |")
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|")
    active, summaries = int(body.sum()), []
    for architecture in options.networks:
        for threads in options.threads:
            best = print_network(architecture, options.ways, threads, options.turns, options.data, active)
            summaries.append(summary(architecture, threads, best, active))
    print("\n" + "\n".join(summaries))


if __name__ == "__main__":
    main()
