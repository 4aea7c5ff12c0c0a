"""Activation checkpointing: hidden layers keep only their inputs, and compute the rest again for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from AutofocusCore.networks.deepmedic import Activation
from AutofocusCore.networks.layers import AutofocusLayer, ConcatenationHead, ConvolutionLayer, SumHead

HIDDEN_LAYERS = (ConvolutionLayer, AutofocusLayer, SumHead, ConcatenationHead, Activation)


def recompute_hidden_layers(network: nn.Module) -> None:
    """Let each hidden layer and each ASPP head of the network compute its inner tensors twice instead of keeping them.

    In the second pass BatchNorm takes the statistics of the batch, as in the first, but leaves its running ones alone,
    so that gradients and running statistics are those of a network that keeps everything. Weights, their names and
    copies made before stay as they are.
    """
    for module in network.modules():
        if isinstance(module, HIDDEN_LAYERS):
            module.forward = _recomputed(module, module.forward)


def _recomputed(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _running_statistics_left_alone(module)

    def run(*inputs: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)

    return run


@contextmanager
def _running_statistics_left_alone(module: nn.Module) -> Iterator[None]:
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # and not track_running_stats = False: both passes must save the same tensors
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
