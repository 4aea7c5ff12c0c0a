"""A CT of full size, 512 x 512 x 200 voxels, through AFN-6 at full resolution: time and peak memory of both domains.

    make bench-large                                    # many minutes
    .venv/bin/python -m Benchmarks.bench_large --domains roi --threads 2

At 0.9 x 0.9 x 2.5 mm the field is 460 mm wide. The ROI is an elliptic trunk of usual size, 350 mm by 250 mm, in all
slices: soft tissue with noise, and air around it. The box domain computes the whole field in exact mode, but for the
air that no voxel of the trunk reaches in its first layers. Memory is the peak above what the process took before.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Literal

import torch

from AutofocusCore.inference import predict_volume
from AutofocusCore.inference.plan import Plan
from AutofocusCore.networks.build import build_network
from Benchmarks.measuring import measure

SHAPE = (200, 512, 512)
LIMIT = 10 * 2**30


def body_in(shape: Sequence[int]) -> torch.Tensor:
    """The mask (z, y, x) of an elliptic trunk that is 0.76 of the field wide and 0.54 of it deep."""
    depth, height, width = shape
    y, x = torch.linspace(-1, 1, height)[:, None] / 0.54, torch.linspace(-1, 1, width)[None] / 0.76
    return (x**2 + y**2 <= 1).expand(depth, height, width).contiguous()


def scan_of(body: torch.Tensor) -> torch.Tensor:
    """A CT (1, z, y, x) of a body, as a model is given it: -200 HU and air are 0, 400 HU is 1.

    The body is soft tissue of 40 HU with noise of 30 HU, so that no layer can leave any of it out.
    """
    noise = torch.randn(body.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(body, (240 + 30 * noise) / 600, 0.0)[None]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--domains", nargs="+", default=["roi", "box"], choices=("roi", "box"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shape", nargs=3, type=int, default=SHAPE, metavar=("Z", "Y", "X"), help="voxels")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    mask = body_in(options.shape)
    volume = scan_of(mask)
    size = " x ".join(map(str, options.shape))
    print(f"\n{size} voxels, {mask.sum() / 1e6:.1f} M of them active, {options.threads} threads.\n")
    print("| domain | s | CPU s | peak GiB | planned GiB |\n|---|--:|--:|--:|--:|")
    for domain in options.domains:
        print_domain(domain, volume, mask)


def print_domain(domain: Literal["roi", "box"], volume: torch.Tensor, mask: torch.Tensor) -> None:
    """The row of one domain."""
    network = build_network("afn-6", in_channels=1, num_classes=3, norm="fused", domain=domain)
    roi = mask if domain == "roi" else None
    predict_volume(network, volume[:, :8, :8, :8], device="cpu")  # libraries load
    plans: list[Plan] = []

    def run() -> None:
        plans.append(predict_volume(network, volume, device="cpu", memory_limit=LIMIT, mask=roi).plan)

    before = time.process_time()
    seconds, peak = measure(run, "cpu")
    spent, planned = time.process_time() - before, plans[0].peak_bytes
    print(f"| {domain} | {seconds:.0f} | {spent:.0f} | {peak / 2**30:.1f} | {planned / 2**30:.1f} |", flush=True)


if __name__ == "__main__":
    main()
