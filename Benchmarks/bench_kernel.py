"""The native kernel alone: time an active voxel of each layer of AFN-6, and its share of the matrix-multiply peak.

    make bench-kernel
    .venv/bin/python -m Benchmarks.bench_kernel --kernel avx2 --threads 1

The active voxels are an ellipsoid in a box, about as many as a head-and-neck CT has in its body. Each time is the best
of several. The peak is that of a large matrix product in the same precision and with as many threads, measured just
before. *gradients* are those of the weight and, where there is attention, of the attention, for which the product with
the transposed weight is made too: its share counts both products.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import torch

from AutofocusCore.kernels import ActiveVoxels, native, native_kernel, set_threads
from AutofocusCore.kernels.library import VARIABLE
from AutofocusCore.kernels.voxels import Domain

BOX = (119, 53, 109)
RATES = (2, 6, 10, 14)
LAYERS = ((1, 30, (1,)), (30, 30, (1,)), (30, 40, RATES), (40, 40, RATES), (40, 50, RATES), (50, 50, RATES),
          (40, 20, (1,)), (50, 25, (1,)))  # fmt: skip
MATRIX = 2048


def best(run: Callable[[], object], times: int) -> float:
    """Seconds of the quickest of several runs."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def ellipsoid(box: tuple[int, int, int]) -> torch.Tensor:
    """A mask that touches the middle of each side of the box: a third of it is active, the shape of a body's slices."""
    axes = [torch.linspace(-1, 1, size) for size in box]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return 0.3 * z**2 + y**2 + x**2 < 0.6


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernel", help="instruction set; default: the best that this processor has")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    if options.kernel:
        os.environ[VARIABLE] = options.kernel
    if native_kernel() is None:
        raise SystemExit("There is no native kernel here; build it: make kernel.")
    torch.set_num_threads(options.threads)
    set_threads(options.threads)
    dtype = getattr(torch, options.precision)
    a, b = (torch.randn(MATRIX, MATRIX).to(dtype) for _ in range(2))
    peak = 2 * MATRIX**3 / best(lambda: a @ b, options.times)
    voxels = ActiveVoxels.from_mask(ellipsoid(BOX))
    print(f"{native_kernel()}, {options.precision}, {options.threads} threads, {voxels.count} active voxels;"
          f" peak {peak / 1e9:.0f} GFLOP/s\n")  # fmt: skip
    print("| layer | forward, µs a voxel | share | input's gradient | share | gradients | share |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for channels, outputs, rates in LAYERS:
        measured = layer_times(voxels, channels, outputs, rates, dtype, options.times)
        operations = 2 * 27 * channels * outputs * voxels.count
        cells = [
            f"{seconds / voxels.count * 1e6:.3f} | {products * operations / seconds / peak:.0%}"
            for seconds, products in zip(measured, (1, 1, 1 + (len(rates) > 1)), strict=True)
        ]
        print(f"| {channels} → {outputs}{', ' + str(len(rates)) + ' rates' if len(rates) > 1 else ''} |"
              f" {' | '.join(cells)} |", flush=True)  # fmt: skip


def layer_times(
    voxels: ActiveVoxels, channels: int, outputs: int, rates: tuple[int, ...], dtype: torch.dtype, times: int
) -> tuple[float, float, float]:
    """Seconds of the forward pass, the input's gradient, and the gradients of the weight and the attention."""
    features, gradient = (torch.randn(voxels.count, n).to(dtype) for n in (channels, outputs))
    kernel = torch.randn(27, channels, outputs).to(dtype)
    attention = torch.randn(voxels.count, len(rates)).softmax(1).to(dtype) if len(rates) > 1 else None
    domain = Domain(voxels, rates)
    return (
        best(lambda: native.forward(features, kernel, domain, attention, None), times),
        best(lambda: native.input_gradient(gradient, kernel, domain, attention), times),
        best(lambda: native.parameter_gradients(features, gradient, kernel, domain, attention, (True, True)), times),
    )


if __name__ == "__main__":
    main()
