"""Several processes, one for each GPU or processor, that train as one with a batch as large as theirs together.

Started by ``torchrun --nproc-per-node 2 Training/train.py ...``. Each process draws its own part of the same global
batch. Gradients are averaged by PyTorch's DistributedDataParallel. The loss is taken over the whole of the global batch
in every process, because soft Dice of a batch is not the mean of its parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from AutofocusCore.errors import DeviceError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Args:
        rank: of this one, 0 to count - 1; rank 0 alone writes and prints.
        count: of all.
        device: that this one computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def agree(self, network: nn.Module) -> None:
        """Give the network of every process the weights and statistics of the first one's."""
        if self.count > 1:
            for value in network.state_dict().values():
                dist.broadcast(value, 0)

    def spread(self, network: nn.Module) -> nn.Module:
        """The network, its gradients averaged over all processes."""
        # Rank 0's running statistics are the ones that are kept: no need to send them round before every step.
        return DistributedDataParallel(network, broadcast_buffers=False) if self.count > 1 else network


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone.

    Raises:
        DeviceError: there are more processes on this machine than GPUs.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            there = torch.cuda.device_count()
            raise DeviceError(f"There are {there} GPUs for process {local + 1}", f"start {there} processes")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if count == 1:
        yield Processes(0, 1, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, device)
    finally:
        dist.destroy_process_group()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


class _Joined(torch.autograd.Function):
    """The parts of a batch that all processes hold, as one. Every process must compute the same loss of it."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.size = len(part)
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, part)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        start = dist.get_rank() * ctx.size
        # DistributedDataParallel takes the mean over processes of what is a sum over the parts of the batch.
        return gradient[start : start + ctx.size] * dist.get_world_size()


def joined(part: Tensor) -> Tensor:
    """The whole batch, in the order of the ranks, of which each process holds a part (B, ...) of the same size."""
    return _Joined.apply(part.contiguous()) if _several() else part


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _summed(value: Tensor) -> Tensor:
    return _Summed.apply(value) if _several() else value


class SharedBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm with the statistics of all processes' batches, also where PyTorch's SyncBatchNorm is not: on the CPU.

    Its weights have the names of those of PyTorch's. It is slower, and more exact: PyTorch (seen with 2.13) adds up the
    voxels of a channels-last tensor on the CPU one by one in float32, which leaves errors of 1e-4 in the means.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x (B, C, D, H, W)."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        axes, count = (0, 2, 3, 4), values.numel() / values.shape[1]
        if _several():
            count *= dist.get_world_size()
        mean = _summed(values.sum(axes, dtype=torch.float64)).float() / count
        centred = values - mean[:, None, None, None]
        variance = _summed(centred.square().sum(axes, dtype=torch.float64)).float() / count
        if self.track_running_stats:
            with torch.no_grad():
                assert self.running_mean is not None and self.running_var is not None  # noqa: PT018
                assert self.num_batches_tracked is not None and self.momentum is not None  # noqa: PT018
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None, None] + self.bias[:, None, None, None]).to(x.dtype)


def share_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Let every BatchNorm within the network go over all processes: PyTorch's way on GPUs, ours elsewhere."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SharedBatchNorm3d
