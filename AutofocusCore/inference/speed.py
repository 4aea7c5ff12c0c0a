"""How fast a device multiplies: tried out once with a convolution like the networks', then learnt from real runs.

A plan knows how many multiplications a run takes, so that the rate turns it into seconds before anything is computed.
Rates are kept for the life of the process, for each device, precision and mode.
"""

from __future__ import annotations

import itertools
import math
import threading
import time

import torch
from torch import Tensor

from AutofocusCore.inference.boxes import Box, Window, grow
from AutofocusCore.inference.devices import PRECISIONS
from AutofocusCore.inference.filters import make_filter, pays_off
from AutofocusCore.inference.graph import build_graph
from AutofocusCore.inference.plan import Plan
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.build import Network

CHANNELS, RATE = 40, 2
TRIAL_SECONDS = 0.3
# Larger blocks come nearer to what a slab of a real volume reaches; small ones spend their time on starting threads.
BLOCKS = ((2, 16, 16), (8, 32, 32), (16, 64, 64), (32, 96, 96), (64, 128, 128), (64, 192, 192))
SHORTEST_RUN = 0.5
"""Seconds; a shorter run is spent on things that do not grow with the volume, and teaches nothing."""
PLAIN_SHARE = 2 / 3
"""What plain modules, of paper mode and of scale streams, reach of exact mode's rate; paper mode's by `make bench`."""

_rates: dict[tuple[str, str, str], float] = {}
_lock = threading.Lock()


def expected_seconds(network: Network, plan: Plan, device: str, precision: str) -> float:
    """Expected wall time of the prediction that was planned, in seconds.

    Args:
        network: what is going to run.
        plan: its plan.
        device: id of a device, such as "cpu" or "cuda:0".
        precision: of the features, not "auto".
    """
    key = (device, precision, plan.mode)
    with _lock:
        if key not in _rates:
            _rates[key] = try_out(device, precision) * (1.0 if plan.mode == "exact" else PLAIN_SHARE)
        return multiplications(network, plan) / _rates[key]


def learn(network: Network, plan: Plan, device: str, precision: str, seconds: float) -> None:
    """Take the rate of a run that is over for those to come."""
    if seconds >= SHORTEST_RUN:
        with _lock:
            _rates[device, precision, plan.mode] = multiplications(network, plan) / seconds


def forget() -> None:
    """Forget all rates."""
    with _lock:
        _rates.clear()


def multiplications(network: Network, plan: Plan) -> float:
    """How many multiplications the plan's run takes; paper mode's plan counts voxels instead."""
    if plan.mode != "paper":
        return float(plan.work)
    if not isinstance(network, AFNet):
        return float(plan.work) * sum(weight.numel() for weight in network.parameters())
    return float(plan.work) * sum(stage.operation.multiplications() for stage in build_graph(network).stages)


def try_out(device: str, precision: str) -> float:
    """Multiplications in a second of a 3×3×3 convolution of 40 channels at dilation 2; takes some tenths of a second.

    Blocks grow while the time allows; the last one counts.
    """
    dtype = PRECISIONS[precision]
    weight = torch.full((CHANNELS, CHANNELS, 3, 3, 3), 0.01, dtype=dtype, device=device)
    _convolve(BLOCKS[0], weight)  # chooses and compiles the kernels
    start = time.perf_counter()
    rate = 0.0
    for shape, following in itertools.zip_longest(BLOCKS, BLOCKS[1:]):
        seconds = _convolve(shape, weight)
        rate = math.prod(shape) * weight.numel() / seconds
        expected = seconds * math.prod(following or ()) / math.prod(shape)
        if shape in BLOCKS[:2] and seconds < TRIAL_SECONDS / 2:
            expected = 0.0  # most of so short a time went into starting threads, and tells nothing of the next block
        if following is None or time.perf_counter() - start + expected > TRIAL_SECONDS:
            break
    return rate


def _convolve(shape: tuple[int, int, int], weight: Tensor) -> float:
    """Seconds that a block (z, y, x) of results takes."""
    box: Box = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    size = [length + 2 * RATE for length in shape]
    # Channels last, as in a run.
    features = torch.ones((1, *size, CHANNELS), dtype=weight.dtype, device=weight.device).permute(0, 4, 1, 2, 3)
    room = weight.new_empty((1, *shape, CHANNELS)).permute(0, 4, 1, 2, 3)
    layer = make_filter(weight, None, RATE, minimal=pays_off(weight.device.type))
    with torch.inference_mode():
        _wait_for(str(weight.device))
        start = time.perf_counter()
        layer(Window(features, grow(box, RATE)), box, room)
        _wait_for(str(weight.device))
        return time.perf_counter() - start


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()
