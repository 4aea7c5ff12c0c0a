"""The attention branch of an autofocus layer over rows: a 3x3x3 convolution, ReLU, a 1x1x1 convolution, softmax.

Letters used for shapes: N rows, C input channels, H hidden channels, K dilation rates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from AutofocusCore.kernels import native, passes
from AutofocusCore.kernels.fallback import Domain
from AutofocusCore.kernels.operator import as_kernel, as_weight, blended_convolution
from AutofocusCore.kernels.voxels import ActiveVoxels


def attention_over_rates(
    rows: Tensor, voxels: ActiveVoxels, weight: Tensor, bias: Tensor | None, last: Tensor, last_bias: Tensor | None
) -> Tensor:
    """Attention (N, K) in float32 at the least, softmax over K of last · relu(weight * rows + bias) + last_bias.

    Args:
        rows: (N, C).
        voxels: the N active voxels.
        weight: (H, C, 3, 3, 3), at rate 1.
        bias: (H,).
        last: (K, H).
        last_bias: (K,).
    """
    domain = Domain(voxels, (1,))
    if native.serves(rows, weight, domain) and passes.serves(rows, len(last)):
        return _Attention.apply(rows, weight, bias, last, last_bias, domain)
    hidden = functional.relu(blended_convolution(rows, weight, voxels, rates=(1,), bias=bias))
    scores = score(hidden, last, last_bias)
    return torch.softmax(scores.to(torch.promote_types(scores.dtype, torch.float32)), dim=1)


def infer_attention(hidden: Tensor, last: Tensor, last_bias: Tensor) -> tuple[Tensor, Tensor]:
    """Attention (N, K) of hidden features (N, H) after their ReLU: in float32, and rounded to the hidden's type."""
    if passes.serves(hidden, len(last)):
        return passes.attend(passes.as_rows(hidden), last, last_bias)
    attention = torch.softmax(score(hidden, last, last_bias).float(), dim=1)
    return attention, attention.to(hidden.dtype)


def score(hidden: Tensor, last: Tensor, last_bias: Tensor | None) -> Tensor:
    """The scores before the softmax (N, K), in the hidden features' type."""
    bias = None if last_bias is None else last_bias.to(hidden.dtype)
    return functional.linear(hidden, last.to(hidden.dtype), bias)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        last: Tensor,
        last_bias: Tensor | None,
        domain: Domain,
    ) -> Tensor:
        hidden = native.forward(rows, as_kernel(weight, rows.dtype), domain, None, bias, relu=True)
        shift = last.new_zeros(len(last)) if last_bias is None else last_bias
        attention, _ = passes.attend(hidden, last, shift)
        ctx.save_for_backward(rows, weight, last, hidden, attention)
        ctx.domain = domain
        ctx.types = tuple(None if one is None else one.dtype for one in (bias, last_bias))
        return attention

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, last, hidden, attention = ctx.saved_tensors
        wants_rows, wants_weight, wants_bias, _, wants_last_bias, _ = ctx.needs_input_grad
        of_hidden, of_last, of_last_bias = passes.attend_gradients(gradient.contiguous(), attention, hidden, last)
        kernel = as_kernel(weight, rows.dtype)
        of_kernel, _ = native.parameter_gradients(rows, of_hidden, kernel, ctx.domain, None, (wants_weight, False))
        return (
            native.input_gradient(of_hidden, kernel, ctx.domain, None) if wants_rows else None,
            None if of_kernel is None else as_weight(of_kernel, weight),
            passes.column_sums(of_hidden).to(ctx.types[0]) if wants_bias else None,
            of_last.to(last.dtype),
            of_last_bias.to(ctx.types[1]) if wants_last_bias else None,
            None,
        )
