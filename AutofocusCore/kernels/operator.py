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

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import fallback, native, passes
from AutofocusCore.kernels.fallback import Domain
from AutofocusCore.kernels.voxels import ActiveVoxels


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
