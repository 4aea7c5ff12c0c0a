"""The inner loop of :mod:`AutofocusCore.inference.blending`, compiled by numba when it is first called.

numba knows no bfloat16: its values come as their 16 bits, which are the upper half of a float32's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16  # channels of an instruction at its widest; fewer channels than these cannot be blended
RATES = 4


def _blend_lanes(_: Any, features: Any, places: Any, shares: Any, out: Any, at: Any) -> Any:
    """``LANES`` values of ``out`` from ``at`` on: the sum of each share times the features from its place on.

    Written in vectors, as what a compiler makes of a loop differs from one type and processor to the next; for those
    with narrower instructions it cuts the vectors up.
    """
    stored = features.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        source, target = (context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in (0, 3))
        singles, words = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
        halves = ir.VectorType(ir.IntType(16), LANES)
        memory, width = (halves, 2) if stored == types.uint16 else (singles, 4)

        def constant(value: int) -> Any:
            return ir.Constant(words, [value] * LANES)

        def spread(value: Any) -> Any:
            alone = builder.insert_element(ir.Constant(singles, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(alone, alone, ir.Constant(words, [0] * LANES))

        def read(place: Any) -> Any:
            pointer = builder.bitcast(builder.gep(source, [place]), memory.as_pointer())
            values = builder.load(pointer, align=width)
            if memory is singles:
                return values
            return builder.bitcast(builder.shl(builder.zext(values, words), constant(16)), singles)

        total = None
        for number in range(RATES):
            share = spread(builder.extract_value(arguments[2], number))
            values = read(builder.extract_value(arguments[1], number))
            product = builder.fmul(share, values, flags=("contract",))  # with the sum in one instruction
            total = product if total is None else builder.fadd(total, product, flags=("contract",))
        if memory is halves:  # the nearest bfloat16, and of two the even one
            bits = builder.bitcast(total, words)
            odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
            rounded = builder.add(bits, builder.add(odd, constant(0x7FFF)))
            total = builder.trunc(builder.lshr(rounded, constant(16)), halves)
        pointer = builder.bitcast(builder.gep(target, [arguments[4]]), memory.as_pointer())
        builder.store(total, pointer, align=width)

    return types.void(features, places, shares, out, at), generate


blend_lanes: Any = intrinsic(_blend_lanes)


@njit(nogil=True, cache=True, error_model="numpy")
def blend(
    features: Any,
    steps: Any,
    extent: Any,
    corner: Any,
    shares: Any,
    share_steps: Any,
    rates: Any,
    size: Any,
    first: int,
    last: int,
    out: Any,
    out_step: int,
) -> None:
    """For the voxels of some rows and each of the 27 taps, the sum over rates of share times features.

    Args:
        features: values of a window, flat; float32, or uint16 that are the bits of bfloat16. Channels lie together.
        steps: how far apart its planes, rows and columns lie, and its number of channels.
        extent: its planes, rows and columns; beyond them features are zero.
        corner: the box's first voxel in the window.
        shares: float32, flat, of the box; `RATES` of them for each voxel.
        share_steps: how far apart its rates, planes, rows and columns lie.
        rates: `RATES` dilation rates.
        size: planes, rows and columns of the box.
        first, last: the rows, counted through all planes.
        out: of the type of ``features``, flat; taps and channels of the row ``first`` are at its front.
        out_step: how far apart its voxels lie.
    """
    _, height, width = size
    channels, out_length = np.uint64(steps[3]), np.uint64(out_step)
    end = channels - np.uint64(LANES)
    starts, share_starts = np.zeros(RATES, np.int64), np.zeros(RATES, np.int64)
    reached = np.zeros(RATES, np.bool_)
    place, share = np.zeros(RATES, np.uint64), np.zeros(RATES, np.float32)
    for row in range(first, last):
        z, y = row // height, row % height
        for tap in range(27):  # one after the other along the row: what is read and written then lies in straight lines
            dz, dy, dx = tap // 9 - 1, tap // 3 % 3 - 1, tap % 3 - 1
            left, right = 0, width  # the columns from which no rate reaches beyond the window
            for k in range(RATES):
                a, b, c = corner[0] + z + rates[k] * dz, corner[1] + y + rates[k] * dy, corner[2] + rates[k] * dx
                reached[k] = 0 <= a < extent[0] and 0 <= b < extent[1]
                starts[k] = a * steps[0] + b * steps[1] + c * steps[2]
                share_starts[k] = k * share_steps[0] + z * share_steps[1] + y * share_steps[2]
                left, right = max(left, -c), min(right, extent[2] - c)
            at = np.uint64((row - first) * width) * out_length + np.uint64(tap) * channels
            for x in range(width):
                within = left <= x < right
                for k in range(RATES):
                    if reached[k] and (within or 0 <= corner[2] + x + rates[k] * dx < extent[2]):
                        place[k] = np.uint64(starts[k] + x * steps[2])
                        share[k] = shares[share_starts[k] + x * share_steps[3]]
                    else:
                        place[k], share[k] = np.uint64(0), np.float32(0)
                shared = (share[0], share[1], share[2], share[3])
                p0, p1, p2, p3 = place[0], place[1], place[2], place[3]
                lane = np.uint64(0)
                while True:  # blocks of channels; the last one overlaps the one before it where they do not fit
                    blend_lanes(features, (p0 + lane, p1 + lane, p2 + lane, p3 + lane), shared, out, at + lane)
                    if lane == end:
                        break
                    lane = min(lane + np.uint64(LANES), end)
                at += out_length
