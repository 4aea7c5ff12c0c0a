"""Convolutions with a correct weight gradient in bfloat16, fast at every dilation rate.

PyTorch's CPU kernels (oneDNN, seen with torch 2.13) return a wrong weight gradient for dilated convolutions in bfloat16
that are channels-last and whose number of input channels is no multiple of 16. The networks here consist of such
convolutions. The error is as large as the gradient itself. There is no warning; training only gets worse, and some
shapes crash. The kernel for three dimensions is also slow, and wrong for padded volumes of two planes. Inside
`accurate_convolutions()`, dilated and padded convolutions on the CPU in bfloat16 compute this gradient with the kernel
for two dimensions, with zeros added up to a multiple of 16 channels. The tests compare it with float32 over random
shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LANES = 16  # channels that the library's kernels handle together


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, padding: int, dilation: int) -> Tensor:
    """Gradient of a convolution (stride 1, no groups) with respect to its weight.

    It is computed for one plane of the kernel at a time. A plane of the kernel pairs each plane of the output with the
    input plane at a fixed distance. Its gradient is that of a two-dimensional convolution whose batch are these pairs.
    Pairs with zero padding are left out.

    Args:
        x: input (B, C, D, H, W).
        gradient: of the output (B, O, d, h, w).
        kernel, padding, dilation: in voxels, the same along each axis.

    Returns:
        (O, C, kernel, kernel, kernel) float32.
    """
    channels, filled = x.shape[1], -x.shape[1] % LANES
    planes = functional.pad(x.permute(0, 2, 3, 4, 1), (0, filled)).permute(0, 1, 4, 2, 3)  # (B, D, C, H, W)
    gradient = gradient.contiguous(memory_format=torch.channels_last_3d).transpose(1, 2)
    weight = planes.new_empty((gradient.shape[2], channels + filled, kernel, kernel))  # only its shape is used
    result = torch.zeros((kernel, *weight.shape), device=x.device)
    for tap in range(kernel):
        shift = tap * dilation - padding  # output plane z meets input plane z + shift
        first, last = max(0, -shift), min(gradient.shape[1], planes.shape[1] - shift)
        if first >= last:
            continue
        for seen, wanted in zip(planes, gradient, strict=True):
            _, found, _ = torch.ops.aten.convolution_backward(
                wanted[first:last], seen[first + shift : last + shift], weight, None,
                [1] * 2, [padding] * 2, [dilation] * 2, False, [0] * 2, 1, [False, True, False],
            )  # fmt: skip
            result[tap] += found
    return result[:, :, :channels].permute(1, 2, 0, 3, 4)


class _AccurateConvolution(torch.autograd.Function):
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


class _AccurateGradients(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv3d and torch.is_autocast_enabled("cpu") and args[0].device.type == "cpu":
            x, weight, bias, stride, padding, dilation, groups = _conv3d_arguments(*args, **kwargs)
            cubic = len({*padding}) == len({*dilation}) == 1 and {*stride} == {1} and groups == 1
            if cubic and (dilation[0] > 1 or padding[0] > 0):
                low = torch.get_autocast_dtype("cpu")
                parts = [None if t is None else t.to(low) for t in (x, weight, bias)]
                return _AccurateConvolution.apply(*parts, padding[0], dilation[0])
        return function(*args, **kwargs)


def _conv3d_arguments(  # the names and the order of torch.conv3d
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:  # fmt: skip
    triples = [(value,) * 3 if isinstance(value, int) else tuple(value) for value in (stride, padding, dilation)]
    return input, weight, bias, triples[0], triples[1], triples[2], groups


def accurate_convolutions() -> TorchFunctionMode:
    """A context in which dilated and padded convolutions under CPU autocast have the right gradient."""
    return _AccurateGradients()
