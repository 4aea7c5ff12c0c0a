"""BatchNorm over rows with the ReLU and the residual that follow it: one pass forward, two backward.

Letters used for shapes: N rows, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from AutofocusCore.kernels import native, passes


def normalise_rows(norm: nn.Module, rows: Tensor, *, residual: Tensor | None = None, relu: bool = False) -> Tensor:
    """``norm(rows) + residual``, then ReLU; differentiable. Statistics are those of the rows alone.

    Args:
        norm: a BatchNorm; in training its running statistics are updated.
        rows: (N, C).
        residual: (N, C), added after BatchNorm.
        relu: whether negative values become zero at the end.
    """
    own = norm.training or getattr(norm, "running_mean", None) is None
    if type(norm) is nn.BatchNorm3d and norm.affine and passes.serves(rows) and len(rows) > 1:
        mean, variance = passes.statistics(rows.detach()) if own else (norm.running_mean, norm.running_var)
        assert mean is not None
        assert variance is not None
        if norm.training and norm.running_mean is not None:
            _keep_statistics(norm, mean, variance * (len(rows) / (len(rows) - 1)))
        return _Normalise.apply(
            native.as_rows(rows),
            norm.weight,
            norm.bias,
            residual,
            mean.double(),
            variance.double(),
            norm.eps,
            own,
            relu,
        )
    result = _plain(norm, rows)
    result = result if residual is None else result + residual
    return functional.relu(result) if relu else result


def _keep_statistics(norm: nn.BatchNorm3d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    share = _momentum(norm)
    with torch.no_grad():
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
        norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


def _momentum(norm: nn.BatchNorm3d) -> float:
    """Weight of this batch's statistics in the running ones; counts the batch, as BatchNorm does."""
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            return 1.0 / float(norm.num_batches_tracked)
    return norm.momentum or 0.0


def _plain(norm: nn.Module, rows: Tensor) -> Tensor:
    if type(norm) is not nn.BatchNorm3d:  # one whose statistics go over several processes
        return norm(rows.t()[None, :, :, None, None])[0, :, :, 0, 0].t()
    # Rows stay two-dimensional: as (1, C, N, 1, 1) their gradient comes out wrong on the CPU (seen with torch 2.13).
    training = norm.training or norm.running_mean is None
    return functional.batch_norm(
        rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, _momentum(norm), norm.eps
    )


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        own: bool,
        relu: bool,
    ) -> Tensor:
        scale = weight.double() * (variance + eps).rsqrt()
        shift = bias.double() - mean * scale
        added = None if residual is None else native.as_rows(residual.to(rows.dtype))
        result = passes.normalise(rows, scale.float(), shift.float(), residual=added, relu=relu)
        ctx.save_for_backward(rows, weight, mean, variance, result if relu else None)
        ctx.eps, ctx.own = eps, own
        ctx.types = bias.dtype, None if residual is None else residual.dtype
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, variance, result = ctx.saved_tensors
        bias_type, residual_type = ctx.types
        of_rows, of_weight, of_bias, of_residual = passes.normalise_gradients(
            native.as_rows(gradient.to(rows.dtype)), rows, result, mean, variance, weight,
            eps=ctx.eps, training=ctx.own, of_residual=ctx.needs_input_grad[3],
        )  # fmt: skip
        if of_residual is not None:
            of_residual = of_residual.to(residual_type)
        return of_rows, of_weight.to(weight.dtype), of_bias.to(bias_type), of_residual, None, None, None, None, None
