"""Distributed training: several processes, one for each GPU or processor, compute parts of one global batch.

They are started by ``torchrun --nproc-per-node 2 Training/train.py ...``. Each process draws its own part of the batch.
Gradients are averaged by PyTorch's DistributedDataParallel. Every process computes the loss of the whole global batch,
because soft Dice of a batch is not the mean over its parts.
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
class ProcessGroup:
    """The processes of a run, as seen by this one.

    Args:
        rank: rank of this process, 0 to count - 1; only rank 0 writes and prints.
        count: number of processes.
        device: device of this process.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def all_gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, network: nn.Module) -> None:
        """Copy weights and statistics of the network from rank 0 to all processes."""
        if self.count > 1:
            for value in network.state_dict().values():
                dist.broadcast(value, 0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network in DistributedDataParallel, which averages gradients over all processes."""
        # Only rank 0's running statistics are kept, so buffers need not be broadcast before every step.
        return DistributedDataParallel(network, broadcast_buffers=False) if self.count > 1 else network


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
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
        yield ProcessGroup(0, 1, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(rank, count, device)
    finally:
        dist.destroy_process_group()


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


class _GatheredBatch(torch.autograd.Function):
    """Gathers the parts of a batch from all processes. Every process must compute the same loss of the whole."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.size = len(part)
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, part)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        start = dist.get_rank() * ctx.size
        # DistributedDataParallel averages over processes, but the gradient is a sum over the parts of the batch.
        return gradient[start : start + ctx.size] * dist.get_world_size()


def gather_batch(part: Tensor) -> Tensor:
    """The whole batch, in the order of the ranks, from parts (B, ...) of equal size in each process."""
    return _GatheredBatch.apply(part.contiguous()) if _is_distributed() else part


class _AllReducedSum(torch.autograd.Function):
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


def _all_reduce_sum(value: Tensor) -> Tensor:
    return _AllReducedSum.apply(value) if _is_distributed() else value


class SyncBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm with statistics over all processes, also on the CPU, where PyTorch has no SyncBatchNorm.

    Its weights have PyTorch's names. It is slower but more accurate: PyTorch 2.13 sums the voxels of a channels-last
    tensor on the CPU one by one in float32, which causes errors of 1e-4 in the means.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x (B, C, D, H, W)."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        axes, count = (0, 2, 3, 4), values.numel() / values.shape[1]
        if _is_distributed():
            count *= dist.get_world_size()
        mean = _all_reduce_sum(values.sum(axes, dtype=torch.float64)).float() / count
        centred = values - mean[:, None, None, None]
        variance = _all_reduce_sum(centred.square().sum(axes, dtype=torch.float64)).float() / count
        if self.track_running_stats:
            with torch.no_grad():
                assert self.running_mean is not None and self.running_var is not None  # noqa: PT018
                assert self.num_batches_tracked is not None and self.momentum is not None  # noqa: PT018
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None, None] + self.bias[:, None, None, None]).to(x.dtype)


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Make every BatchNorm of the network use all processes: PyTorch's SyncBatchNorm on GPUs, ours elsewhere."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SyncBatchNorm3d
