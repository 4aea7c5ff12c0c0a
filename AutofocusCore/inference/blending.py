"""The autofocus layer with one norm for all rates ("fused"), as a single convolution over blended inputs.

With shared weights W and attention A, tap t of the kernel and rate r_k:

    sum_k A_k(x) sum_t W_t F(x + r_k t)  =  sum_t W_t [ sum_k A_k(x) F(x + r_k t) ]

What is left is one matrix product instead of K convolutions, but the bracket costs memory traffic. In float32 on the
CPU a whole AFN-6 gains a few per cent
(`make bench`). In bfloat16 the CPU's convolutions are so fast that nothing is gained, and on a GPU it has not been
measured: there the K convolutions stay.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from AutofocusCore.inference.boxes import Box, Window, grow, intersect, place, shape_of

CHUNK = 16_384  # voxels that are blended at a time: enough for the matrix product, few enough to stay in the cache
TAPS = tuple(itertools.product((-1, 0, 1), repeat=3))


def pays_off(device: str, dtype: torch.dtype) -> bool:
    """Whether blending the inputs first is the faster way, as measured by ``make bench``."""
    return device == "cpu" and dtype == torch.float32


def convolve_blended(window: Window, box: Box, weight: Tensor, rates: tuple[int, ...], attention: Tensor) -> Tensor:
    """The weighted sum of the K branches without bias, (1, O, d, h, w), for the voxels of ``box``.

    Args:
        window: the layer's input; voxels outside it are zero.
        box: the output's voxels.
        weight: (O, C, 3, 3, 3), shared by all rates.
        rates: K dilation rates.
        attention: (1, K, d, h, w), in the features' precision.
    """
    reach = max(rates)
    depth, height, width = shape_of(box)
    channels, outputs = weight.shape[1], weight.shape[0]
    # Channels first, and zeros all around: each tap of each rate is then a plain slice with contiguous rows.
    source = window.tensor.new_zeros((channels, *shape_of(grow(box, reach))))
    inside = intersect(grow(box, reach), window.box)
    place(inside, source, grow(box, reach)).copy_(window.crop(inside)[0])

    kernel = weight.permute(0, 2, 3, 4, 1).reshape(outputs, -1)
    rows = max(1, min(height, CHUNK // width))
    blended = source.new_empty((len(TAPS), channels, rows, width))
    result = source.new_empty((1, outputs, depth, height, width))
    for z, y in itertools.product(range(depth), range(0, height, rows)):
        count = min(rows, height - y)
        chunk = blended[:, :, :count]
        shares = [attention[0, k, z, y : y + count] for k in range(len(rates))]
        for tap, offset in enumerate(TAPS):
            for k, (rate, share) in enumerate(zip(rates, shares, strict=True)):
                low = [reach + start + rate * step for start, step in zip((z, y, 0), offset, strict=True)]
                part = source[:, low[0], low[1] : low[1] + count, low[2] : low[2] + width]
                if offset == (0, 0, 0):  # all rates see the same voxel, and their shares sum to one
                    chunk[tap].copy_(part)
                    break
                if k == 0:
                    torch.mul(part, share, out=chunk[tap])
                else:
                    chunk[tap].addcmul_(part, share)
        product = kernel @ chunk.reshape(len(TAPS) * channels, count * width)
        result[0, :, z, y : y + count] = product.reshape(outputs, count, width)
    return result


def blending_bytes(box: Box, channels: int, outputs: int, reach: int, itemsize: int) -> int:
    """Bytes of the temporary tensors of :func:`convolve_blended`, the result included."""
    depth, height, width = shape_of(box)
    around = (depth + 2 * reach) * (height + 2 * reach) * (width + 2 * reach) * channels
    chunk = max(1, min(height, CHUNK // max(width, 1))) * width * (2 * len(TAPS) * channels + outputs)
    return (around + chunk + depth * height * width * outputs) * itemsize
