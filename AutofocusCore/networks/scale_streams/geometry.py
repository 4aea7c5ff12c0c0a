"""How the streams, the hypercolumns and the scores lie on the image, in whole voxels.

The image is extended at its end to a multiple of ``alignment``; then every stream and every feature map has a whole
number of voxels on each axis, and moving the image by a multiple of ``alignment`` moves every one of them by whole
voxels, without changing a value. That is why a part of a volume, cut at multiples of ``alignment`` and with ``halo``
voxels around it, gives the very values that the whole volume gives.

    image (with the margin)   0 ---------------------------------------- N
    output                        M ----------------------------- N - M        M: margin
    stream of scale f         0 --------------- N f
    what its encoder is given     M f - m ----- (N - M) f + m                  m: the encoder's own margin
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
    """Sizes that follow from the encoder and the scales.

    Attributes:
        factors: for each stream the scale along each axis.
        alignment: voxels; see above.
        margin: what a forward pass takes off each side of the image, in voxels.
        encoder_margin: what the encoder takes off each side of its input, in voxels of the stream.
        resolution: voxels of the image for each voxel of a hypercolumn.
        fusion: voxels of the image for each voxel of the scores when the streams are merged.
        halo: how far from an output voxel the image still matters, beyond the margin; None: everything matters.
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
        """Work out the sizes.

        Args:
            factors: for each stream the scale along each axis.
            strides: of the encoder's stages.
            encoder_margin, encoder_reach: in voxels of the stream.
            resolution: voxels of the image for each voxel of a hypercolumn.
            head_reach: of the layers on the hypercolumns, in voxels of these.
            everywhere: some layer sees the whole image.
        """
        largest, fusion = max(strides), min(resolution, strides[-1])
        every = sorted({factor for scale in factors for factor in scale})
        alignment = math.lcm(resolution, fusion, *(_period(factor, largest) for factor in every))
        margin = max(math.ceil(Fraction(encoder_margin) / factor) for factor in every)
        margin = -(-margin // alignment) * alignment
        # Each step towards the image adds what it sees: interpolation one voxel of its input, and a strided
        # convolution up to a voxel of its output more on one side than on the other.
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
        """The size of the output part of an extended image of ``size``, at ``voxels`` of the image for each voxel."""
        return tuple((length - 2 * self.margin) // voxels for length in size)


def _period(factor: Fraction, stride: int) -> int:
    """The smallest number of voxels that makes a multiple of ``stride`` at the scale ``factor``."""
    needed = stride * factor.denominator
    return needed // math.gcd(needed, factor.numerator)
