"""Compares a training step with that of the plain module: seconds, peak memory, agreement of the gradients.

    make bench-train                                    # the table in Training/README.md
    .venv/bin/python -m Benchmarks.bench_train --networks afn-6 --segments 7 --size 47 47 47 --ways ours

"plain" is the plain module in float32; "ours" is the step of `Training.train`: channels last, bfloat16, accurate weight
gradients; "recomputed" is the same with `run.recompute`. Each step runs in a new process, so that none can use memory
that another has kept. The ways take turns, so that other work on the machine affects all of them, and the fastest turn
counts. Memory is the peak above the memory before the step. The error is the distance between the gradients of all
convolution weights and those of the first way, relative to their size.
"""

from __future__ import annotations

import argparse
import multiprocessing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import AutofocusCore
from Benchmarks.measuring import measure
from Training.loop.losses import build_loss
from Training.loop.recompute import recompute_hidden_layers
from Training.loop.step import Arithmetic, add_gradients

WAYS = ("plain", "ours, float32", "ours", "recomputed")
CLASSES = 5


@dataclass(frozen=True)
class Job:
    """A step to take.

    Args:
        size: of a segment's output, z, y, x in voxels.
        threads: of the processor.
    """

    architecture: str
    norm: str
    way: str
    segments: int
    size: tuple[int, ...]
    threads: int


def measure_step(job: Job) -> tuple[float, int, NDArray[np.float32]]:
    """Seconds, peak bytes, and the gradients of all convolution weights as one vector."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = AutofocusCore.build_network(job.architecture, in_channels=1, num_classes=CLASSES, norm=job.norm)  # type: ignore[arg-type]
    layers = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    for layer in layers:  # with the paper's initialisation, gradients of the first layers would be too small to compare
        nn.init.kaiming_normal_(layer.weight)
    images = torch.randn(job.segments, 1, *(extent + 2 * network.margin for extent in job.size)).to(device)
    labels = torch.randint(CLASSES, (job.segments, *job.size)).to(device)
    network.to(device).train()
    if job.way != "plain":
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last_3d)

    if job.way == "recomputed":
        recompute_hidden_layers(network)
    loss_of = build_loss("cross-entropy")
    arithmetic = Arithmetic("bfloat16" if job.way in ("ours", "recomputed") else "float32", device)

    small = 2 * network.margin + 2
    add_gradients(network, images[..., :small, :small, :small], labels[..., :2, :2, :2], loss_of, arithmetic)
    network.zero_grad(set_to_none=True)
    seconds, peak = measure(lambda: add_gradients(network, images, labels, loss_of, arithmetic), str(device))
    return seconds, peak, torch.cat([layer.weight.grad.flatten().cpu() for layer in layers]).numpy()  # type: ignore[union-attr]


def bench(jobs: list[Job], turns: int) -> None:
    """Print the rows of one network; the others are compared with the first job."""
    found: list[list[tuple[float, int, NDArray[np.float32]]]] = [[] for _ in jobs]
    for _ in range(turns):
        for job, results in zip(jobs, found, strict=True):
            with multiprocessing.get_context("spawn").Pool(1) as process:
                results.append(process.apply(measure_step, (job,)))
    best = [(min(r[0] for r in results), max(r[1] for r in results), results[0][2]) for results in found]
    seconds_of_first, peak_of_first, gradient_of_first = best[0]
    for job, (seconds, peak, gradient) in zip(jobs, best, strict=True):
        error = np.linalg.norm(gradient - gradient_of_first) / np.linalg.norm(gradient_of_first)
        print(
            f"| {job.architecture} {job.norm} | {job.way} | {seconds:.2f} | {seconds_of_first / seconds:.1f} |"
            f" {peak / 2**20:.0f} | {peak / peak_of_first:.2f} | {error:.1e} |",
            flush=True,
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m Benchmarks.bench_train", description="Time training steps.")
    parser.add_argument("--networks", nargs="+", default=["basic", "afn-4", "afn-6"])
    parser.add_argument("--norms", nargs="+", default=["branch"], choices=("branch", "fused"))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="all are compared with the first")
    parser.add_argument("--segments", type=int, default=1, help="segments in a batch (1)")
    parser.add_argument(
        "--size", type=int, nargs=3, default=[32, 32, 32], help="voxels of the output of a segment: z y x"
    )
    parser.add_argument("--turns", type=int, default=3, help="number of measurements of each way (3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor threads (all)")
    options = parser.parse_args()
    shape = " × ".join(str(n) for n in options.size)
    print(f"{options.segments} × {shape} voxels of output, {options.threads} threads, torch {torch.__version__}\n")
    print("| network | step | s | × | peak MiB | of the first | gradient's error |\n|---|---|---|---|---|---|---|")
    for architecture in options.networks:
        for norm in options.norms:
            settings = (options.segments, tuple(options.size), options.threads)
            bench([Job(architecture, norm, way, *settings) for way in options.ways], options.turns)


if __name__ == "__main__":
    main()
