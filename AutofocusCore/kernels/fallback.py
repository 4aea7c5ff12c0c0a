"""The blended convolution in plain PyTorch: what runs on a GPU, and on a CPU for which no native code was built.

Letters used for shapes: N active voxels, m voxels of a chunk, C input channels, O output channels, K dilation rates.
The voxels are computed in chunks, so that the blended inputs of a chunk (m, 27 C) stay in the processor's cache. On a
CPU each thread takes chunks of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.kernels.voxels import Domain


def with_empty_row(rows: Tensor) -> Tensor:
    """``rows`` and a row of zeros at the end, which stands for every neighbour outside the mask."""
    return torch.cat([rows, rows.new_zeros(1, rows.shape[1])])


def _pick(rows: Tensor, index: Tensor) -> Tensor:
    return rows.index_select(0, index.reshape(-1)).view(*index.shape, rows.shape[1])


def _blend(rows: Tensor, index: Tensor, attention: Tensor | None) -> Tensor:
    """The blended inputs (m, 27, C) of a chunk, summed in float32 at the least.

    Args:
        rows: (N + 1, C), the last of them zero.
        index: (m, 27, K).
        attention: (m, K), or (m, 27, K) where it is the neighbours' own; None for K = 1.
    """
    if attention is None:
        return _pick(rows, index[..., 0])
    if attention.ndim == 2:
        attention = attention[:, None]
    if rows.device.type == "cpu":  # one pass over memory
        taps = index.flatten(0, 1)
        weights = attention.to(rows.dtype).expand(index.shape).reshape(taps.shape)
        return functional.embedding_bag(taps, rows, per_sample_weights=weights, mode="sum").view(*index.shape[:2], -1)
    attention = attention.to(torch.promote_types(rows.dtype, torch.float32))
    total = _pick(rows, index[..., 0]) * attention[..., :1]
    for k in range(1, index.shape[-1]):
        total.addcmul_(_pick(rows, index[..., k]).to(total.dtype), attention[..., k : k + 1])
    return total.to(rows.dtype)


def forward(
    features: Tensor,
    kernel: Tensor,
    domain: Domain,
    attention: Tensor | None,
    bias: Tensor | None,
    *,
    first_bias: Tensor | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The blended convolution (N, O) of ``kernel`` (27, C, O); then the residual is added, then ReLU."""
    bias = None if bias is None else bias.to(features.dtype)
    first_bias = None if first_bias is None else first_bias.to(features.dtype)
    padded = with_empty_row(features)
    flat = kernel.flatten(0, 1)
    result = features.new_empty(domain.count, kernel.shape[2]) if out is None else out

    def compute(_: int, chunk: slice, index: Tensor) -> None:
        weights = None if attention is None else attention[chunk]
        blended = _blend(padded, index, weights).flatten(1)
        rows = blended @ flat if bias is None else torch.addmm(bias, blended, flat)
        if first_bias is not None and weights is not None:
            rows += weights[:, :1].to(rows.dtype) * first_bias
        if residual is not None:
            rows += residual[chunk]
        result[chunk] = rows.relu_() if relu else rows

    domain.in_chunks(flat.shape[0] * features.element_size(), compute)
    return result


def input_gradient(gradient: Tensor, kernel: Tensor, domain: Domain, attention: Tensor | None) -> Tensor:
    """Gradient of the features, (N, C), from that of the output, (N, O).

    The output at v = u - r_k t reads voxel u, weighted with v's attention. So the gradient at u is a blended
    convolution of the output's gradient with the mirrored, transposed kernel, in which each neighbour has its own
    attention as weight. It is a gather: no two threads write to the same row.
    """
    padded = with_empty_row(gradient)
    weights = None if attention is None else with_empty_row(attention)
    mirrored = kernel.flip(0).transpose(1, 2).flatten(0, 1)
    result = gradient.new_empty(domain.voxels.count, kernel.shape[1])
    rates = torch.arange(len(domain.rates), device=gradient.device)

    def compute(_: int, chunk: slice, index: Tensor) -> None:
        own = None if weights is None else weights[index.long(), rates]
        torch.mm(_blend(padded, index, own).flatten(1), mirrored, out=result[chunk])

    domain.in_chunks(mirrored.shape[0] * gradient.element_size(), compute)
    return result


def parameter_gradients(
    features: Tensor, gradient: Tensor, kernel: Tensor, domain: Domain, attention: Tensor | None, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the kernel (27, C, O) and of the attention (N, K), those that are wanted, summed in float32."""
    padded = with_empty_row(features)
    flat = kernel.flatten(0, 1)
    exact = torch.promote_types(features.dtype, torch.float32)
    of_kernels = flat.new_zeros((domain.workers, *flat.shape), dtype=exact) if wanted[0] else None  # one a thread
    of_attention = torch.empty_like(attention, dtype=exact) if wanted[1] and attention is not None else None

    def compute(worker: int, chunk: slice, index: Tensor) -> None:
        outer = gradient[chunk]
        if of_kernels is not None:
            blended = _blend(padded, index, None if attention is None else attention[chunk]).flatten(1)
            of_kernels[worker] += blended.T @ outer
        if of_attention is not None:
            of_blended = (outer @ flat.T).view(*index.shape[:2], -1)
            for k in range(index.shape[2]):
                of_attention[chunk, k] = (_pick(padded, index[..., k]) * of_blended).sum((1, 2), dtype=exact)

    domain.in_chunks(flat.shape[0] * features.element_size(), compute, fixed=of_kernels is not None)
    return None if of_kernels is None else of_kernels.sum(0).view_as(kernel), of_attention
