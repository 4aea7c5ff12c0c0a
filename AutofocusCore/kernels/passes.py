"""Native passes over rows: BatchNorm's statistics and arithmetic, and the softmax of attention.

Tensors go to C as addresses, as in native.py. Letters used for shapes: N rows, C channels, K dilation rates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from AutofocusCore.kernels.library import Rows, chosen_set, run, usable_sets
from AutofocusCore.kernels.native import MAX_RATES, TYPES
from AutofocusCore.kernels.threads import threads

CHUNK = 15_360
"""Rows of a chunk: about a millisecond's work."""
LANES = 16
"""Rows of small matrices are padded to a multiple of this, the widest vector's lanes."""
_WITH_STRIDE = ("x", "y", "gradient", "residual", "out", "out_residual")


def serves(rows: Tensor, rates: int = 1) -> bool:
    """Whether native code can compute with these rows (N, C) on this processor."""
    return (
        rows.device.type == "cpu"
        and rows.dtype in TYPES
        and rows.shape[1] > 0
        and rates <= MAX_RATES
        and chosen_set() is not None
    )


def _run(
    function: str, count: int, kind: torch.dtype, *, sums: Tensor | None = None, **given: Tensor | int | None
) -> None:
    """Call a C function for ``count`` rows of elements of a ``kind``; ``sums`` has a row for each thread."""
    name = chosen_set()
    assert name is not None
    rows = Rows()
    for field, value in given.items():
        setattr(rows, field, value.data_ptr() if isinstance(value, Tensor) else value)
        if isinstance(value, Tensor) and field in _WITH_STRIDE:
            setattr(rows, f"{field}_stride", value.stride(0))
    of_workers = () if sums is None else (lambda worker: sums[worker].data_ptr(),)
    which = (usable_sets()[name], int(kind == torch.bfloat16))
    run(function, which, rows, count, of_workers=of_workers, chunk=CHUNK, fixed=sums is not None)


def column_sums(rows: Tensor) -> Tensor:
    """The sum over all rows, (C,) float32."""
    return _sums(x=rows, shift=torch.zeros(rows.shape[1]))[0].float()


def _sums(**given: Tensor | None) -> Tensor:
    """Two sums for each channel, (2, C) float64, see native/passes.h."""
    x = given["x"]
    assert x is not None
    channels = x.shape[1]
    sums = torch.zeros(threads(), 2, channels, dtype=torch.double)
    _run("af_sums", len(x), x.dtype, sums=sums, channels=channels, **given)
    return sums.sum(0)


def statistics(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over all rows, (C,) float64; the variance is divided by N."""
    pivot = rows[0].float()  # near the mean, so that no digits are lost in squares
    one, two = _sums(x=rows, shift=pivot) / len(rows)
    return pivot.double() + one, (two - one.square()).clamp_(min=0.0)


def normalise(
    rows: Tensor, scale: Tensor, shift: Tensor, *, residual: Tensor | None = None, relu: bool = False
) -> Tensor:
    """``rows * scale + shift + residual``, then ReLU; (N, C), scale and shift (C,) float32."""
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    _run(
        "af_apply", len(rows), rows.dtype, x=rows, scale=scale, shift=shift, residual=residual, out=out,
        channels=rows.shape[1], relu=int(relu),
    )  # fmt: skip
    return out


def normalise_gradients(
    gradient: Tensor, rows: Tensor, y: Tensor | None, mean: Tensor, variance: Tensor, weight: Tensor, *,
    eps: float, training: bool, of_residual: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Gradients of BatchNorm's input (N, C), weight and bias (C,), and of the residual (N, C) if it is wanted.

    Args:
        gradient: of the result.
        rows: BatchNorm's input.
        y: the result, where a ReLU was its last step; None where there was none.
        mean, variance: (C,) float64, by which the input was normalised.
        weight: (C,).
        eps: BatchNorm's.
        training: whether mean and variance are the input's own.
        of_residual: whether the residual's gradient is wanted.
    """
    # With g the gradient before the ReLU and x' the normalised input, BatchNorm's input gradient is
    # weight / deviation * (g - mean of g - x' * mean of g x').
    total, along = _sums(x=rows, gradient=gradient, y=y, shift=mean.float())
    inverse = (variance + eps).rsqrt()
    scale = weight.double() * inverse
    zero = torch.zeros_like(scale)
    slope = -scale * inverse.square() * along / len(rows) if training else zero
    shift = -scale * total / len(rows) - slope * mean if training else zero
    scale, slope, shift = scale.float(), slope.float(), shift.float()
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    residual = torch.empty_like(out) if of_residual else None
    _run(
        "af_apply", len(rows), rows.dtype, x=rows, gradient=gradient, y=y, scale=scale, slope=slope, shift=shift,
        out=out, out_residual=residual, channels=rows.shape[1],
    )  # fmt: skip
    return out, along * inverse, total, residual


def attend(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over the rates, softmax(hidden weightᵀ + bias), (N, K): in float32, and rounded to the hidden's type.

    Args:
        hidden: (N, C).
        weight: (K, C).
        bias: (K,).
    """
    rates = len(weight)
    attention = torch.empty(len(hidden), rates)
    exact = hidden.dtype == torch.float32
    rounded = attention if exact else torch.empty(len(hidden), rates, dtype=hidden.dtype)
    matrix, shift = _padded(weight.T.float()), _padded(bias[None].float())
    _run(
        "af_attend", len(hidden), hidden.dtype, x=hidden, weight=matrix, shift=shift, attention=attention,
        out=None if exact else rounded, channels=hidden.shape[1], rates=rates,
    )  # fmt: skip
    return attention, rounded


def attend_gradients(
    of_attention: Tensor, attention: Tensor, hidden: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the hidden features before their ReLU (N, C), of the weight (K, C) and the bias (K,), in float64."""
    rates, channels = weight.shape
    out = torch.empty_like(hidden, memory_format=torch.contiguous_format)
    sums = torch.zeros(threads(), rates, channels + 1, dtype=torch.double)
    matrix = _padded(weight.float())
    _run(
        "af_attend_gradients", len(hidden), hidden.dtype, sums=sums, x=hidden, attention=attention,
        of_attention=of_attention, weight=matrix, out=out, channels=channels, rates=rates,
    )  # fmt: skip
    total = sums.sum(0)
    return out, total[:, :channels], total[:, channels]


def _padded(matrix: Tensor) -> Tensor:
    """A matrix with zeros at the end of its rows, so that each has whole vectors."""
    return torch.nn.functional.pad(matrix, (0, -matrix.shape[1] % LANES)).contiguous()
