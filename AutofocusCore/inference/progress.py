"""How far a run is, its cancellation, and how long it will take.

The expected time rests on how many multiplications a device does in a second.
The rate is measured once with a convolution like those of the networks, and then updated by real runs. With the number
of multiplications in a plan it gives the seconds of a run in advance. Rates are kept until the process ends, for each
device, precision and mode.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from AutofocusCore.errors import Cancelled
from AutofocusCore.inference.boxes import Box, Window, grow
from AutofocusCore.inference.devices import PRECISIONS, load_factor
from AutofocusCore.inference.filters import is_faster_on, make_filter
from AutofocusCore.inference.graph import build_graph
from AutofocusCore.inference.plan import Plan
from AutofocusCore.networks.afnet import AFNet
from AutofocusCore.networks.build import Network

CHANNELS, RATE = 40, 2
TRIAL_SECONDS = 0.3
# Large blocks are as fast as slabs of real volumes; small ones spend their time on starting threads.
BLOCKS = ((2, 16, 16), (8, 32, 32), (16, 64, 64), (32, 96, 96), (64, 128, 128), (64, 192, 192))
SHORTEST_RUN = 0.5
"""Seconds; in shorter runs, most of the time does not depend on the volume, so that they do not update the rate."""
MINUTE = 60.0
PLAIN_SHARE = 2 / 3
"""Rate of plain modules (paper mode, scale streams) as a share of exact mode's; for paper mode from `make bench`."""

_rates: dict[tuple[str, str, str], float] = {}
_lock = threading.Lock()
_ended = -math.inf  # when this process's last run ended


@dataclass(frozen=True)
class Progress:
    """Progress within one stage of a run.

    Attributes:
        stage: "read", "prepare", "predict", "resample" or "write".
        done, total: in steps of that stage.
        seconds_left: estimated time until the stage ends; None if there is no estimate yet.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None


TOO_EARLY = 0.03
"""Share of a stage's work before which its time is not estimated: first steps are slow, and little of the work."""

ProgressCallback = Callable[[Progress], None]
CancelledCallback = Callable[[], bool]


@dataclass
class Reporter:
    """Reports the progress of one stage, and raises :class:`Cancelled` if the caller wants to stop.

    Args:
        stage: its name.
        total: number of steps; their shares of the work may differ.
        progress, cancelled: the caller's functions, or None.
    """

    stage: str
    total: int
    progress: ProgressCallback | None
    cancelled: CancelledCallback | None
    done: int = 0
    work_done: float = 0.0
    started: float = field(default_factory=lambda: time.monotonic())

    def begin(self) -> Reporter:
        """Report what is done before the next step."""
        self.check()
        if self.progress is not None:
            self.progress(Progress(self.stage, self.done, self.total, None))
        return self

    def step(self) -> None:
        """Count and report one finished step of as many equal ones as there are."""
        self.check()
        self.advance(1 / self.total)

    def follow(self, shares: Iterable[float]) -> None:
        """Run through ``shares``, which yields before each step its share of the whole work (0 to 1)."""
        last: float | None = None
        for share in shares:
            if last is not None:
                self.advance(last)
            self.check()
            last = share
        if last is not None:
            self.advance(last)

    def check(self) -> None:
        """Raise :class:`Cancelled` if the caller wants to stop."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled

    def advance(self, share: float) -> None:
        """Count and report one finished step with its ``share`` (0 to 1) of the stage's work."""
        self.done = min(self.done + 1, self.total)
        self.work_done += share
        if self.progress is not None:
            elapsed = time.monotonic() - self.started
            left = elapsed / self.work_done * max(1.0 - self.work_done, 0.0) if self.work_done >= TOO_EARLY else None
            self.progress(Progress(self.stage, self.done, self.total, left))


def expected_seconds(network: Network, plan: Plan, device: str, precision: str) -> float:
    """Expected wall time of the prediction that was planned, in seconds.

    Args:
        network: the network of the run.
        plan: the plan of the run.
        device: id of a device, such as "cpu" or "cuda:0".
        precision: of the features, not "auto".
    """
    key = (device, precision, plan.mode)
    with _lock:
        if key not in _rates:
            rate = try_out(device, precision) * (1.0 if plan.mode == "exact" else PLAIN_SHARE)
            _rates[key] = rate * _slowdown(device)
        return multiplications(network, plan) / _rates[key] * _slowdown(device)


def learn(network: Network, plan: Plan, device: str, precision: str, seconds: float) -> None:
    """Update the rate by a finished run that took ``seconds``."""
    if seconds >= SHORTEST_RUN:
        with _lock:
            rate = multiplications(network, plan) / seconds
            _rates[device, precision, plan.mode] = rate * _slowdown(device, ended=time.monotonic())


def _slowdown(device: str, ended: float | None = None) -> float:
    """What other programs cost at present; rates are kept as those of an idle computer.

    The system's load is a mean over a minute, in which this process's own last run, which has ended, fades.
    """
    global _ended
    if device != "cpu":
        return 1.0
    _ended = ended or _ended
    return load_factor(torch.get_num_threads() * math.exp((_ended - time.monotonic()) / MINUTE))


def forget() -> None:
    """Forget all rates."""
    with _lock:
        _rates.clear()


def multiplications(network: Network, plan: Plan) -> float:
    """Multiplications of a planned run; plans of paper mode count voxels, which are converted here."""
    if plan.mode != "paper":
        return float(plan.work)
    if not isinstance(network, AFNet):
        return float(plan.work) * sum(weight.numel() for weight in network.parameters())
    return float(plan.work) * sum(stage.operation.multiplications() for stage in build_graph(network).stages)


def try_out(device: str, precision: str) -> float:
    """Multiplications per second of a 3×3×3 convolution of 40 channels at dilation 2.

    Takes some tenths of a second. Blocks grow while there is time; the last one counts.
    """
    dtype = PRECISIONS[precision]
    weight = torch.full((CHANNELS, CHANNELS, 3, 3, 3), 0.01, dtype=dtype, device=device)
    _convolve(BLOCKS[0], weight)  # the library chooses and compiles its kernels
    start = time.perf_counter()
    rate = 0.0
    for shape, following in itertools.zip_longest(BLOCKS, BLOCKS[1:]):
        seconds = _convolve(shape, weight)
        rate = math.prod(shape) * weight.numel() / seconds
        expected = seconds * math.prod(following or ()) / math.prod(shape)
        if shape in BLOCKS[:2] and seconds < TRIAL_SECONDS / 2:
            expected = 0.0  # so short a time was mostly spent on starting threads, and predicts nothing
        if following is None or time.perf_counter() - start + expected > TRIAL_SECONDS:
            break
    return rate


def _convolve(shape: tuple[int, int, int], weight: Tensor) -> float:
    """Seconds for a block (z, y, x) of results."""
    box: Box = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    size = [length + 2 * RATE for length in shape]
    # Channels last, as in a run.
    features = torch.ones((1, *size, CHANNELS), dtype=weight.dtype, device=weight.device).permute(0, 4, 1, 2, 3)
    room = weight.new_empty((1, *shape, CHANNELS)).permute(0, 4, 1, 2, 3)
    layer = make_filter(weight, None, RATE, minimal=is_faster_on(weight.device.type))
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
