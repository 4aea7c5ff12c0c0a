"""The blended convolution in native code: the same three functions as in fallback.py, on the CPU.

Tensors go to C as addresses. Every tensor whose address is in a :class:`Layer` stays alive until the call is over.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from AutofocusCore.kernels.library import LIBRARY, Layer, chosen_set, load, run, usable_sets
from AutofocusCore.kernels.threads import threads
from AutofocusCore.kernels.voxels import Domain

MAX_RATES = 16
TYPES = (torch.float32, torch.bfloat16)
_EMPTY = 8192
"""Length of the row of zeros, and so the largest number of channels."""


def serves(features: Tensor, weight: Tensor, domain: Domain) -> bool:
    """Whether native code can compute with these tensors on this processor."""
    return (
        features.device.type == "cpu"
        and features.dtype in TYPES
        and len(domain.rates) <= MAX_RATES
        and max(weight.shape[:2]) <= _EMPTY
        and chosen_set() is not None
    )


@cache
def _empty_row(dtype: torch.dtype) -> Tensor:
    return torch.zeros(_EMPTY + 64, dtype=dtype)


@dataclass(frozen=True)
class _Call:
    """A layer's description for C, the tensors that it points into, and the functions for its type."""

    layer: Layer
    kept: tuple[Tensor | None, ...]
    library: ctypes.CDLL
    which: tuple[int, int]

    @classmethod
    def on(cls, rows: Tensor, domain: Domain, attention: Tensor | None, outputs: int) -> _Call:
        """A layer that reads ``rows`` (N, C); what else it needs is set afterwards."""
        name, library = chosen_set(), load(LIBRARY)
        assert name is not None
        assert library is not None
        neighbours = domain.voxels.neighbours(max(domain.rates))
        places = neighbours.places if domain.part is None else neighbours.places[domain.part]
        steps = torch.tensor(neighbours.steps(domain.rates), dtype=torch.int32)
        rows = as_rows(rows)
        attention = None if attention is None else attention.to(rows.dtype).contiguous()
        layer = Layer(rates=len(domain.rates), channels=rows.shape[1], outputs=outputs)
        kept = (rows, attention, neighbours.table, places, steps, _empty_row(rows.dtype))
        call = cls(layer, kept, library, (usable_sets()[name], int(rows.dtype == torch.bfloat16)))
        for field, tensor in zip(("features", "attention", "table", "places", "steps", "empty"), kept, strict=True):
            setattr(layer, field, _address(tensor))
        layer.feature_stride = rows.stride(0)
        before = domain.first_row * rows.stride(0) * rows.element_size()
        layer.features = rows.data_ptr() - before  # where row 0 would be
        return call

    def pack(self, kernel: Tensor, *, blended: bool) -> Tensor:
        """The weight (27, C, O) as C reads it, for blended or plain rows; the layer points to it."""
        _, channels, outputs = kernel.shape
        packed = torch.empty(self.library.af_packed_units(*self.which, channels, outputs), dtype=torch.int32)
        flat = kernel.float().contiguous()
        self.library.af_pack(*self.which, _address(flat), channels, outputs, int(blended), _address(packed))
        self.layer.weight = _address(packed)
        return packed


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def as_rows(tensor: Tensor) -> Tensor:
    """The tensor (N, C) itself, or a copy whose rows follow each other without gaps in memory."""
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def forward(
    rows: Tensor,
    kernel: Tensor,
    domain: Domain,
    attention: Tensor | None,
    bias: Tensor | None,
    *,
    first_bias: Tensor | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
    out: Tensor | None = None,
    neighbours_attention: bool = False,
) -> Tensor:
    """The blended convolution (N, O) of ``kernel`` (27, C, O); then the residual is added, then ReLU.

    ``neighbours_attention``: blend with the attention of the neighbours instead of the voxel's own.
    """
    outputs = kernel.shape[2]
    result = out if out is not None and out.dtype == rows.dtype and out.stride(1) == 1 else None
    if result is None:
        result = rows.new_empty(domain.count, outputs)
    call = _Call.on(rows, domain, attention, outputs)
    packed = call.pack(kernel, blended=attention is not None)
    bias = None if bias is None else bias.float().contiguous()
    first_bias = None if first_bias is None else first_bias.float().contiguous()
    residual = None if residual is None else as_rows(residual.to(rows.dtype))
    layer = call.layer
    layer.bias, layer.first_bias, layer.residual = _address(bias), _address(first_bias), _address(residual)
    layer.residual_stride = 0 if residual is None else residual.stride(0)
    layer.out, layer.out_stride = _address(result), result.stride(0)
    layer.relu, layer.neighbours_attention = relu, neighbours_attention
    run("af_product", call.which, call.layer, domain.count)
    del packed, bias, first_bias, residual  # C has read them by now
    return result if out is None or out is result else out.copy_(result)


def input_gradient(gradient: Tensor, kernel: Tensor, domain: Domain, attention: Tensor | None) -> Tensor:
    """Gradient of the features, (N, C): the gather that fallback.py explains."""
    mirrored = kernel.flip(0).transpose(1, 2)
    return forward(gradient, mirrored, domain, attention, None, neighbours_attention=True)


def parameter_gradients(
    features: Tensor, gradient: Tensor, kernel: Tensor, domain: Domain, attention: Tensor | None, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the kernel (27, C, O) and of the attention (N, K), those that are wanted, in float32."""
    _, channels, outputs = kernel.shape
    gradient = as_rows(gradient)
    call = _Call.on(features, domain, attention, outputs)
    call.layer.gradient, call.layer.gradient_stride = _address(gradient), gradient.stride(0)
    sums, of_attention, packed = None, None, None
    if wanted[0]:  # each thread sums in its own memory
        columns = call.library.af_weight_columns(*call.which, outputs)
        rows = call.library.af_weight_rows(*call.which, channels, outputs)
        sums = torch.zeros(threads(), 27, rows, columns)
    if wanted[1] and attention is not None:
        packed = call.pack(kernel.transpose(1, 2), blended=False)
        of_attention = torch.empty(attention.shape)
    if sums is not None or of_attention is not None:
        run(
            "af_gradients",
            call.which,
            call.layer,
            domain.voxels.count,
            of_workers=(
                lambda worker: None if sums is None else _address(sums[worker]),
                lambda _: _address(of_attention),
            ),
            fixed=sums is not None,
        )
    del packed  # C has read it by now
    if sums is None:
        return None, of_attention
    order = torch.empty(channels, dtype=torch.int32)
    call.library.af_weight_order(*call.which, channels, int(attention is not None), _address(order))
    return sums.sum(0).index_select(1, order.long())[..., :outputs], of_attention
