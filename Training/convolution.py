"""Convolutions whose weight gradient can be trusted in bfloat16, and is quick at every dilation rate.

PyTorch's CPU kernels (oneDNN, seen with torch 2.13) return a wrong weight gradient, off by as much as its own size, for
3-D convolutions in bfloat16 that are channels-last and have dilation 2: just what the networks here consist of. Nothing
warns of it, and training merely goes worse. For larger rates it is right, but slow. Inside `trusted_convolutions()`
every dilated convolution on the CPU in bfloat16 computes that gradient in one of two other ways, whichever is quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

MOST_PHASES = 3  # largest dilation rate for which the phases are few and large enough to be quick
PLANES = 4  # of the output in one matrix product


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, padding: int, dilation: int) -> Tensor:
    """Gradient of a convolution (stride 1, no groups) with respect to its weight.

    Args:
        x: input (B, C, D, H, W).
        gradient: of the output (B, O, d, h, w).
        kernel, padding, dilation: in voxels, the same along each axis.

    Returns:
        (O, C, kernel, kernel, kernel) float32.
    """
    way = gradient_by_phases if dilation <= MOST_PHASES else gradient_by_products
    return way(x, gradient, kernel, padding, dilation)


def gradient_by_phases(x: Tensor, gradient: Tensor, kernel: int, padding: int, dilation: int) -> Tensor:
    """:func:`weight_gradient` by the library's kernel for dilation 1.

    Voxels whose coordinates leave the same remainders when divided by the dilation rate see only each other. Each such
    *phase* is a small volume of its own, and the dilated convolution is an ordinary one over the batch of phases::

        0 1 2 3 4 5 6 7   dilation 2   ->   0 2 4 6 | 1 3 5 7   dilation 1
    """
    counts = [-(-size // dilation) for size in gradient.shape[2:]]
    inputs = [count + kernel - 1 for count in counts]
    weight = x.new_empty((gradient.shape[1], x.shape[1]) + (kernel,) * 3)  # only its shape is used
    _, found, _ = torch.ops.aten.convolution_backward(
        _phases(gradient, 0, dilation, counts), _phases(x, padding, dilation, inputs), weight, None,
        [1] * 3, [0] * 3, [1] * 3, False, [0] * 3, 1, [False, True, False],
    )  # fmt: skip
    return found.float()


def _phases(volume: Tensor, padding: int, rate: int, counts: list[int]) -> Tensor:
    """(B, C, D, H, W) as (B rate^3, C, *counts), channels last; zeros before (`padding`) and after it."""
    after = [count * rate - size - padding for count, size in zip(counts, volume.shape[2:], strict=True)]
    border = [width for end in reversed(after) for width in (padding, end)]
    padded = functional.pad(volume.permute(0, 2, 3, 4, 1), [0, 0, *border])
    batch, channels = volume.shape[:2]
    d, h, w = counts
    split = padded.reshape(batch, d, rate, h, rate, w, rate, channels).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return split.reshape(batch * rate**3, d, h, w, channels).permute(0, 4, 1, 2, 3)


def gradient_by_products(x: Tensor, gradient: Tensor, kernel: int, padding: int, dilation: int) -> Tensor:
    """:func:`weight_gradient` by matrix products, one for each row of the kernel's taps and few planes of the output.

    Few planes stay in the processor's cache. Rows of taps that see nothing but zero padding along z or y are left out.
    """
    batch, channels = x.shape[:2]
    outputs, (depth, height, width) = gradient.shape[1], gradient.shape[2:]
    planes, rows = x.shape[2:4]
    x = functional.pad(x.permute(0, 2, 3, 4, 1), (0, 0, padding, padding)).contiguous()
    gradient = gradient.permute(0, 2, 3, 4, 1).contiguous()
    *outer, along_x, along_c = x.stride()
    result = torch.zeros((kernel, kernel, outputs, kernel * channels), device=x.device)
    for first, i, j in product(range(0, depth, PLANES), range(kernel), range(kernel)):
        dz, dy = i * dilation - padding, j * dilation - padding  # output voxel p meets input voxel p + shift
        z = slice(max(first, -dz), min(first + PLANES, depth, planes - dz))
        y = slice(max(0, -dy), min(height, rows - dy))
        if z.start >= z.stop or y.start >= y.stop:
            continue
        seen = x[:, z.start + dz : z.stop + dz, y.start + dy : y.stop + dy]
        taps = seen.as_strided(
            (batch, z.stop - z.start, y.stop - y.start, width, kernel, channels),
            (*outer, along_x, dilation * along_x, along_c),
        ).reshape(-1, kernel * channels)
        result[i, j] += (gradient[:, z, y].reshape(-1, outputs).t() @ taps).float()
    return result.view(kernel, kernel, outputs, kernel, channels).permute(2, 4, 0, 1, 3)


class _DilatedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation, ctx.has_bias = padding, dilation, bias is not None
        return torch.conv3d(x, weight, bias, padding=padding, dilation=dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, [1] * 3, [ctx.padding] * 3, [ctx.dilation] * 3, False, [0] * 3, 1,
                [True, False, False],
            )[0]  # fmt: skip
        found = weight_gradient(x, gradient, weight.shape[2], ctx.padding, ctx.dilation).to(weight.dtype)
        bias_gradient = gradient.float().sum((0, 2, 3, 4)).to(weight.dtype) if ctx.has_bias else None
        return x_gradient, found, bias_gradient, None, None


class _Trusted(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv3d and torch.is_autocast_enabled("cpu") and args[0].device.type == "cpu":
            x, weight, bias, stride, padding, dilation, groups = _conv3d_arguments(*args, **kwargs)
            cubic = len({*padding}) == len({*dilation}) == 1 and {*stride} == {1} and groups == 1
            if cubic and dilation[0] > 1:
                low = torch.get_autocast_dtype("cpu")
                parts = [None if t is None else t.to(low) for t in (x, weight, bias)]
                return _DilatedConvolution.apply(*parts, padding[0], dilation[0])
        return function(*args, **kwargs)


def _conv3d_arguments(  # the names and the order of torch.conv3d
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:  # fmt: skip
    triples = [(value,) * 3 if isinstance(value, int) else tuple(value) for value in (stride, padding, dilation)]
    return input, weight, bias, triples[0], triples[1], triples[2], groups


def trusted_convolutions() -> TorchFunctionMode:
    """A context in which dilated convolutions under CPU autocast have the right gradient."""
    return _Trusted()
