"""The one operator of the ROI domain, with gradients, and its form for inference.

    out[v] = bias + sum over taps t of W[t] . sum over rates k of attention[v, k] * features[neighbour(v, t, rates[k])]

Only features, attention and the map of neighbours are kept for the backward pass, which blends the inputs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import fallback, native, passes
from AutofocusCore.kernels.voxels import ActiveVoxels, Domain


def blended_convolution(
    features: Tensor,
    weight: Tensor,
    voxels: ActiveVoxels,
    *,
    rates: Sequence[int],
    attention: Tensor | None = None,
    bias: Tensor | None = None,
    first_bias: Tensor | None = None,
) -> Tensor:
    """A fused autofocus convolution over active voxels; with one rate and no attention, an ordinary dilated one.

    Neighbours outside the mask or the box count as zero. Weight, attention and bias may have another type than the
    features (float32 parameters beside bfloat16 features); each gradient has the type of its tensor.

    Args:
        features: (N, C), float32 or bfloat16.
        weight: (O, C, 3, 3, 3), shared by all rates.
        voxels: the N active voxels.
        rates: K dilation rates.
        attention: (N, K); None only where K is 1.
        bias: (O,).
        first_bias: (O,), added times the attention to the first rate, as an autofocus layer of the released models has
            its bias; only with attention.

    Returns:
        (N, O) in the features' type; products are summed in float32.

    Raises:
        SettingError: where the shapes do not fit together.
    """
    _check(features, weight, voxels, rates, attention)
    return _BlendedConvolution.apply(features, weight, attention, bias, first_bias, Domain(voxels, tuple(rates)))


@torch.no_grad()
def infer_layer(
    features: Tensor,
    weight: Tensor,
    voxels: ActiveVoxels,
    *,
    rates: Sequence[int],
    attention: Tensor | None = None,
    bias: Tensor | None = None,
    first_bias: Tensor | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
    part: slice | None = None,
    first_row: int = 0,
    out: Tensor | None = None,
) -> Tensor:
    """:func:`blended_convolution` without gradients, then ``+ residual``, then ReLU, in one pass over memory.

    Args:
        first_bias: (O,), multiplied with the attention to the first rate.
        residual: (N, O) rows that are added before the ReLU; may be ``out``.
        relu: whether negative values become zero.
        part: the rows to compute; attention, residual and out then have its length. None for all.
        first_row: the voxel of the first row of the features, which may be a window that holds all neighbours of
            ``part``.
        out: (N, O) contiguous buffer for the result; it must not be ``features``.
    """
    kernel = as_kernel(weight, features.dtype)
    domain = Domain(voxels, tuple(rates), part, first_row, len(features))
    engine = native if native.serves(features, weight, domain) else fallback
    return engine.forward(
        features, kernel, domain, attention, bias, first_bias=first_bias, residual=residual, relu=relu, out=out
    )


class _BlendedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        attention: Tensor | None,
        bias: Tensor | None,
        first_bias: Tensor | None,
        domain: Domain,
    ) -> Tensor:
        ctx.attention_type = None if attention is None else attention.dtype
        if attention is not None and native.serves(features, weight, domain):
            attention = attention.to(features.dtype)  # once, for all the calls that read it
        ctx.save_for_backward(features, weight, attention, first_bias)
        ctx.domain, ctx.bias_type = domain, None if bias is None else bias.dtype
        ctx.engine = native if native.serves(features, weight, domain) else fallback
        kernel = as_kernel(weight, features.dtype)
        return ctx.engine.forward(features, kernel, domain, attention, bias, first_bias=first_bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, attention, first_bias = ctx.saved_tensors
        kernel, domain = as_kernel(weight, features.dtype), ctx.domain
        wants_features, wants_weight, wants_attention, wants_bias, wants_first, _ = ctx.needs_input_grad
        exact = torch.promote_types(gradient.dtype, torch.float32)
        of_bias = None
        if wants_bias:
            quick = passes.serves(gradient) and gradient.stride(1) == 1
            of_bias = passes.column_sums(gradient) if quick else gradient.sum(0, dtype=exact)
            of_bias = of_bias.to(ctx.bias_type)
        of_kernel, of_attention = ctx.engine.parameter_gradients(
            features, gradient, kernel, domain, attention, (wants_weight, wants_attention)
        )
        of_first = None
        if wants_first:
            of_first = (attention[:, 0].to(gradient.dtype) @ gradient).to(first_bias.dtype)
        if of_attention is not None:
            if first_bias is not None:
                of_attention[:, 0] += gradient @ first_bias.to(gradient.dtype)
            of_attention = of_attention.to(ctx.attention_type)
        return (
            ctx.engine.input_gradient(gradient, kernel, domain, attention) if wants_features else None,
            None if of_kernel is None else as_weight(of_kernel, weight),
            of_attention,
            of_bias,
            of_first,
            None,
        )


def as_kernel(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, C, 3, 3, 3) as (27, C, O)."""
    return weight.detach().to(dtype).flatten(2).permute(2, 1, 0).contiguous()


def as_weight(kernel: Tensor, weight: Tensor) -> Tensor:
    """(27, C, O) as (O, C, 3, 3, 3)."""
    return kernel.permute(2, 1, 0).reshape(weight.shape).to(weight.dtype)


def _check(
    features: Tensor, weight: Tensor, voxels: ActiveVoxels, rates: Sequence[int], attention: Tensor | None
) -> None:
    if features.ndim != 2 or features.shape[0] != voxels.count:
        raise SettingError(
            f"The features are {tuple(features.shape)}, but there are {voxels.count} active voxels",
            "give one row of channels for each active voxel",
        )
    if weight.ndim != 5 or tuple(weight.shape[1:]) != (features.shape[1], 3, 3, 3):
        raise SettingError(
            f"The weight is {tuple(weight.shape)}, but the features have {features.shape[1]} channels",
            f"give a weight (O, {features.shape[1]}, 3, 3, 3)",
        )
    if not rates or min(rates) < 1:
        raise SettingError(
            f"Dilation rates {list(rates)} cannot be used", "give one whole number or more, all from 1 up"
        )
    if attention is None and len(rates) > 1:
        raise SettingError(f"{len(rates)} rates need attention, but none was given", "give attention (N, K)")
    if attention is not None and tuple(attention.shape) != (voxels.count, len(rates)):
        raise SettingError(
            f"The attention is {tuple(attention.shape)}, but there are {voxels.count} voxels and {len(rates)} rates",
            "give attention (N, K)",
        )


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
        return passes.attend(native.as_rows(hidden), last, last_bias)
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
