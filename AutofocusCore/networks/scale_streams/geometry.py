"""Positions of the streams, hypercolumns and scores on the image, in whole voxels.

The image is extended at its end to a multiple of ``alignment``. Then every stream and feature map has a whole number of
voxels along each axis, and shifting the image by a multiple of ``alignment`` shifts all of them by whole voxels without
changing a value. Therefore a part of a volume, cut at multiples of ``alignment`` and with ``halo`` voxels around it,
gives the same values as the whole volume.

    image (with the margin)   0 ---------------------------------------- N
    output                        M ----------------------------- N - M        M: margin
    stream of scale f         0 --------------- N f
    input of its encoder          M f - m ----- (N - M) f + m                  m: the encoder's own margin
    its features                    M f ------- (N - M) f
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from AutofocusCore.networks.scale_streams.options import Scale


@dataclass(frozen=True)
class Geometry:
    """Sizes that follow from encoder and scales.

    Attributes:
        factors: for each stream, the scale along each axis.
        alignment: in voxels; see above.
        margin: voxels that a forward pass loses on each side of the image.
        encoder_margin: voxels that the encoder loses on each side of its input, in voxels of the stream.
        resolution: voxels of the image for each voxel of a hypercolumn.
        fusion: voxels of the image for each voxel of the scores when the streams are merged.
        halo: how far beyond the margin the image still matters for an output voxel; None: all of it matters.
    """

    factors: tuple[Scale, ...]
    alignment: int
    margin: int
    encoder_margin: int
    resolution: int
    fusion: int
    halo: int | None

    @classmethod
    def of(
        cls,
        factors: Sequence[Scale],
        *,
        strides: Sequence[int],
        encoder_margin: int,
        encoder_reach: int,
        resolution: int,
        head_reach: int,
        everywhere: bool,
    ) -> Geometry:
        """Compute the sizes.

        Args:
            factors: for each stream the scale along each axis.
            strides: strides of the encoder's stages.
            encoder_margin, encoder_reach: in voxels of the stream.
            resolution: voxels of the image for each voxel of a hypercolumn.
            head_reach: reach of the layers on the hypercolumns, in voxels of the hypercolumns.
            everywhere: whether a layer depends on the whole image.
        """
        largest, fusion = max(strides), min(resolution, strides[-1])
        every = sorted({factor for scale in factors for factor in scale})
        alignment = math.lcm(resolution, fusion, *(_period(factor, largest) for factor in every))
        margin = max(math.ceil(Fraction(encoder_margin) / factor) for factor in every)
        margin = -(-margin // alignment) * alignment
        # Each step towards the image adds its own reach: one voxel of its input for interpolation; for a strided
        # convolution, up to one voxel of its output more on one side than on the other.
        smallest = every[0]
        stream = math.ceil(Fraction(encoder_reach + 3 * largest + 2) / smallest)
        halo = 2 * fusion + (head_reach + 2) * resolution + stream - margin
        return cls(
            tuple(factors),
            alignment,
            margin,
            encoder_margin,
            resolution,
            fusion,
            None if everywhere else -(-max(halo, 0) // alignment) * alignment,
        )

    def stream_size(self, stream: int, size: Sequence[int]) -> tuple[int, ...]:
        """Voxels of a stream's input for an extended image of ``size`` voxels, margins included."""
        return tuple(int(length * factor) for length, factor in zip(size, self.factors[stream], strict=True))

    def stream_crop(self, stream: int) -> tuple[int, ...]:
        """Voxels of a stream's input on each side that its encoder does not need."""
        return tuple(int(self.margin * factor) - self.encoder_margin for factor in self.factors[stream])

    def grid(self, size: Sequence[int], voxels: int) -> tuple[int, ...]:
        """Size of the output of an extended image of ``size``, with ``voxels`` of the image for each output voxel."""
        return tuple((length - 2 * self.margin) // voxels for length in size)


def _period(factor: Fraction, stride: int) -> int:
    """The smallest number of voxels that is a multiple of ``stride`` after scaling by ``factor``."""
    needed = stride * factor.denominator
    return needed // math.gcd(needed, factor.numerator)
