"""Times three ways of predicting one volume: tiles as released, MONAI's sliding window, exact mode.

    make bench                                          # the tables of Documentation/Benchmarks.md
    .venv/bin/python -m Benchmarks.bench --size 94 94 94 --networks basic afn-1 --device cpu

(a) the plain module in float32 on 75^3 -> 47^3 tiles, as the authors' ``test.py`` runs it;
(b) MONAI's ``SlidingWindowInferer`` over 75^3 windows with the same module, each window padded by the margin;
(c) exact mode, in float32 and, if the device supports it, in bfloat16.

The share of the peak compares the multiplications per second of a run with those of a large matrix product in the same
precision, measured just before. Everything is measured once after a warm-up; compare only rows of the same run.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor
from torch.nn import functional

import AutofocusCore
from AutofocusCore.inference import list_devices, plan_volume, predict_volume, resolve_device
from AutofocusCore.inference.devices import PRECISIONS
from AutofocusCore.inference.paper import TILE
from AutofocusCore.inference.task import Network
from Benchmarks.measuring import measure, synchronise

CASES = (("basic", "branch"), ("afn-1", "branch"), ("afn-1", "fused"), ("afn-4", "branch"), ("afn-4", "fused"),
         ("afn-6", "branch"), ("afn-6", "fused"))  # fmt: skip
OVERLAPS = (0.25, 0.5)
MATRIX = 2048


@dataclass(frozen=True)
class Row:
    """One measurement."""

    network: str
    way: str
    precision: str
    seconds: float
    voxels: int
    peak_bytes: int
    share: float | None  # of the matrix-multiply peak

    def print(self, reference: float) -> None:
        """One line of the Markdown table; ``reference`` is the time of (a)."""
        share = "" if self.share is None else f"{self.share:.0%}"
        print(
            f"| {self.network} | {self.way} | {self.precision} | {self.seconds / self.voxels * 1e6:.2f} |"
            f" {reference / self.seconds:.1f} | {self.peak_bytes / 2**20:.0f} | {share} |",
            flush=True,
        )


def matrix_peak(device: str, precision: str) -> float:
    """Multiplications a second of a large matrix product; the best of five."""
    a, b = (torch.randn(MATRIX, MATRIX, device=device).to(PRECISIONS[precision]) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        synchronise(device)
        started = time.perf_counter()
        a @ b
        synchronise(device)
        best = min(best, time.perf_counter() - started)
    return MATRIX**3 / best


def released_tiles(network: Network, volume: Tensor, device: str) -> float:
    """(a): multiplications of the tiles, for the share of the peak."""
    predict_volume(network, volume, mode="paper", device=device, precision="float32")
    plan = plan_volume(network, volume.shape, mode="paper", device=device)
    one = plan_volume(network, (1, *3 * [TILE - 2 * network.margin]), device=device, precision="float32")
    return float(plan.splits * one.work)


@torch.inference_mode()
def sliding_window(network: Network, volume: Tensor, overlap: float, device: str) -> Tensor:
    """(b)."""
    network = network.to(device).eval()
    inferer = SlidingWindowInferer((TILE,) * 3, overlap=overlap, mode="gaussian")
    margin = 6 * [network.margin]
    return inferer(volume[None].to(device), lambda window: network(functional.pad(window, margin))).cpu()


def bench(
    architecture: str, norm: str, size: list[int], device: str, precisions: tuple[str, ...], overlaps: list[float]
) -> None:
    """Print the rows of one network."""
    torch.manual_seed(0)
    network = AutofocusCore.build_network(architecture, in_channels=1, num_classes=5, norm=norm).eval()  # type: ignore[arg-type]
    volume = torch.randn(1, *size)
    small, voxels = volume[:, :8, :8, :8], volume[0].numel()
    name = architecture if architecture == "basic" else f"{architecture} {norm}"

    predict_volume(network, small, device=device, precision="float32")
    peak, work = matrix_peak(device, "float32"), 0.0

    def tiles() -> None:
        nonlocal work
        work = released_tiles(network, volume, device)

    reference, memory = measure(tiles, device)
    row = Row(name, "(a) released tiles", "float32", reference, voxels, memory, work / reference / peak)
    row.print(reference)
    if norm == "branch":  # the fused norm changes nothing in how the plain module is tiled
        for overlap in overlaps:
            seconds, memory = measure(lambda: sliding_window(network, volume, overlap, device), device)  # noqa: B023
            Row(name, f"(b) MONAI, overlap {overlap}", "float32", seconds, voxels, memory, None).print(reference)
    network.cpu()
    for precision in ("float32", *(p for p in precisions if p != "float32")):
        predict_volume(network, small, device=device, precision=precision)
        peak = matrix_peak(device, precision)
        plan = plan_volume(network, volume.shape, device=device, precision=precision)
        seconds, memory = measure(
            lambda: predict_volume(network, volume, device=device, precision=precision),  # noqa: B023
            device,
        )
        Row(name, "(c) exact", precision, seconds, voxels, memory, plan.work / seconds / peak).print(reference)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[94, 94, 131], metavar=("Z", "Y", "X"))
    parser.add_argument("--networks", nargs="+", default=sorted({name for name, _ in CASES}, key=str.lower))
    parser.add_argument(
        "--overlaps",
        type=float,
        nargs="*",
        default=list(OVERLAPS),
        help="overlaps of (b); without any, (b) is left out",
    )
    parser.add_argument("--device", default=None, help="default: the CPU, and a GPU if there is one")
    options = parser.parse_args()
    devices = [resolve_device(options.device)] if options.device else list_devices()
    for device in reversed(devices):
        peaks = ", ".join(f"{2 * matrix_peak(device.id, p) / 1e9:.0f} GFLOP/s in {p}" for p in device.precisions)
        size = " x ".join(map(str, options.size))
        print(f"\n{device.name}, {torch.get_num_threads()} threads, torch {torch.__version__}, volume {size}.")
        print(f"Matrix-multiply peak: {peaks}.\n")
        print("| network | way | precision | us / voxel | times faster than (a) | peak MiB | share of peak |")
        print("|---|---|---|--:|--:|--:|--:|")
        for architecture, norm in CASES:
            if architecture in options.networks:
                bench(architecture, norm, options.size, device.id, device.precisions, options.overlaps)


if __name__ == "__main__":
    main()
