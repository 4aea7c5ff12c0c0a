"""Convolutions whose weight gradient can be trusted in bfloat16, and is quicker for the large dilation rates.

PyTorch's CPU kernels (oneDNN, seen with torch 2.13) return a wrong weight gradient, off by as much as its own size, for
3-D convolutions in bfloat16 that are channels-last and have dilation 2: just what the networks here consist of. Nothing
warns of it, and training merely goes worse. Inside `trusted_convolutions()` every dilated convolution on the CPU in
bfloat16 computes that gradient as what it is, one matrix product for each of the kernel's taps; zero padding is never
multiplied, which at rate 14 saves half of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, padding: int, dilation: int) -> Tensor:
    """Gradient of a convolution (stride 1, no groups) with respect to its weight.

    Args:
        x: input (B, C, D, H, W).
        gradient: of the output (B, O, d, h, w).
        kernel, padding, dilation: in voxels, the same along each axis.

    Returns:
        (O, C, kernel, kernel, kernel) float32.
    """
    channels, outputs = x.shape[1], gradient.shape[1]
    x, gradient = x.permute(0, 2, 3, 4, 1), gradient.permute(0, 2, 3, 4, 1)  # no copy where channels are last
    result = torch.zeros((kernel,) * 3 + (outputs, channels), device=x.device)
    for tap in product(range(kernel), repeat=3):
        inputs, targets = [slice(None)], [slice(None)]
        for index, size, input_size in zip(tap, gradient.shape[1:4], x.shape[1:4], strict=True):
            shift = index * dilation - padding  # output voxel i meets input voxel i + shift
            low, high = max(0, -shift), min(size, input_size - shift)
            targets.append(slice(low, max(low, high)))
            inputs.append(slice(low + shift, max(low, high) + shift))
        rows = gradient[tuple(targets)].reshape(-1, outputs)
        result[tap] = (rows.t() @ x[tuple(inputs)].reshape(-1, channels)).float()
    return result.permute(3, 4, 0, 1, 2)


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
