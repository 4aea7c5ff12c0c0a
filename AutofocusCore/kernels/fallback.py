"""The blended convolution in plain PyTorch: what runs on a GPU, and on a CPU for which no native code was built.

Letters used for shapes: N active voxels, m voxels of a chunk, C input channels, O output channels, K dilation rates.
The voxels are done in chunks, so that the blended inputs of a chunk (m, 27 C) stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from AutofocusCore.kernels.voxels import ActiveVoxels

CHUNK_BYTES = {"cpu": 2 * 2**20}
"""Size of a chunk's blended inputs on a device: enough for the matrix product, little enough for a cache."""
CHUNK_BYTES_OF_A_GPU = 256 * 2**20


@dataclass(frozen=True)
class Domain:
    """Where a convolution reads and what it computes.

    Attributes:
        voxels: the active voxels.
        rates: dilation rates.
        part: the rows of the result; None for all.
        first_row: the voxel to which the first row of the features belongs.
        held: rows of the features; None for one of each voxel.
    """

    voxels: ActiveVoxels
    rates: tuple[int, ...]
    part: slice | None = None
    first_row: int = 0
    held: int | None = None

    @property
    def count(self) -> int:
        """Rows of the result."""
        return self.voxels.count if self.part is None else self.part.stop - self.part.start

    def chunks(self, row_bytes: int) -> Iterator[tuple[slice, Tensor]]:
        """Slices of the result, and for each the features' rows of the neighbours (m, 27, K) int64.

        Where there is no neighbour the row is that after the last one.
        """
        neighbours = self.voxels.neighbours(max(self.rates))
        wanted = neighbours.places if self.part is None else neighbours.places[self.part]
        device, count = wanted.device, self.count
        empty = self.voxels.count if self.held is None else self.held
        steps = torch.tensor(neighbours.steps(self.rates), dtype=torch.int32, device=device)
        size = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES_OF_A_GPU) // row_bytes)
        for start in range(0, count, size):
            places = wanted[start : start + size]
            rows = neighbours.table[(places[:, None] + steps).long()].long()
            rows = torch.where(rows < 0, empty, rows - self.first_row)
            yield slice(start, start + len(places)), rows.view(len(places), 27, len(self.rates))


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
) -> Tensor:
    """The blended convolution (N, O); ``kernel`` is (27, C, O) in the features' type."""
    bias = None if bias is None else bias.to(features.dtype)
    padded = with_empty_row(features)
    flat = kernel.flatten(0, 1)
    result = features.new_empty(domain.count, kernel.shape[2])
    for chunk, index in domain.chunks(flat.shape[0] * features.element_size()):
        blended = _blend(padded, index, None if attention is None else attention[chunk]).flatten(1)
        if bias is None:
            torch.mm(blended, flat, out=result[chunk])
        else:
            torch.addmm(bias, blended, flat, out=result[chunk])
    if first_bias is not None and attention is not None:
        result += attention[:, :1].to(result.dtype) * first_bias.to(result.dtype)
    return result


def input_gradient(gradient: Tensor, kernel: Tensor, domain: Domain, attention: Tensor | None) -> Tensor:
    """Gradient of the features, (N, C), from that of the output, (N, O).

    A voxel u gave to v = u - r_k t what v's attention asked for. So its gradient is a blended convolution of the
    output's gradient with the mirrored, transposed kernel, each neighbour weighted with its own attention: a gather,
    with nothing to scatter.
    """
    padded = with_empty_row(gradient)
    weights = None if attention is None else with_empty_row(attention)
    mirrored = kernel.flip(0).transpose(1, 2).flatten(0, 1)
    result = gradient.new_empty(domain.voxels.count, kernel.shape[1])
    rates = torch.arange(len(domain.rates), device=gradient.device)
    for chunk, index in domain.chunks(mirrored.shape[0] * gradient.element_size()):
        own = None if weights is None else weights[index, rates]
        torch.mm(_blend(padded, index, own).flatten(1), mirrored, out=result[chunk])
    return result


def parameter_gradients(
    features: Tensor, gradient: Tensor, kernel: Tensor, domain: Domain, attention: Tensor | None, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the kernel (27, C, O) and of the attention (N, K), those that are wanted, summed in float32."""
    padded = with_empty_row(features)
    flat = kernel.flatten(0, 1)
    exact = torch.promote_types(features.dtype, torch.float32)
    of_kernel = torch.zeros_like(flat, dtype=exact) if wanted[0] else None
    of_attention = torch.empty_like(attention, dtype=exact) if wanted[1] and attention is not None else None
    for chunk, index in domain.chunks(flat.shape[0] * features.element_size()):
        outer = gradient[chunk]
        if of_kernel is not None:
            blended = _blend(padded, index, None if attention is None else attention[chunk]).flatten(1)
            of_kernel += blended.T @ outer
        if of_attention is not None:
            of_blended = (outer @ flat.T).view(*index.shape[:2], -1)
            for k in range(index.shape[2]):
                of_attention[chunk, k] = (_pick(padded, index[..., k]) * of_blended).sum((1, 2), dtype=exact)
    return None if of_kernel is None else of_kernel.view_as(kernel), of_attention
