"""VGG16 as DeepLab-LargeFOV uses it: stride 8, and a fully convolutional fc6 with a large receptive field.

Source: Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs", ICLR 2015
(LargeFOV: fc6 with a 3x3 kernel at dilation 12 and 1024 channels), and Simonyan and Zisserman, ICLR 2015 (VGG16).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.networks.scale_streams.dimensions import CONVOLUTION, MAX_POOL, Steps
from AutofocusCore.networks.scale_streams.encoder import Encoder, initialise_kaiming

# One row for each block: convolutions, channels, dilation rate, stride of the max-pooling behind it.
BLOCKS = ((2, 64, 1, 2), (2, 128, 1, 2), (3, 256, 1, 2), (3, 512, 1, 1), (3, 512, 2, 1))
FC_CHANNELS = 1024
FC6_DILATION = 12
FIRST_STAGE = 2  # conv1 and conv2 have a higher resolution than the hypercolumns


class VGG16(Encoder):
    """Thirteen convolutions in five blocks, then fc6 and fc7 as convolutions.

    The stages are conv3_3 (stride 4), conv4_3, conv5_3 and fc7 (stride 8). The convolutions of ``features`` have the
    indices, and therefore the names, of torchvision's vgg16. Poolings read 3 voxels along each axis.

    Args:
        in_channels: of the image.
        spatial_dims: 2 or 3.
    """

    fresh: ClassVar[tuple[str, ...]] = ("fc6", "fc7")
    channels = (256, 512, 512, FC_CHANNELS)
    strides = (4, 8, 8, 8)
    normalised = False

    def __init__(self, *, in_channels: int, spatial_dims: int) -> None:
        super().__init__()
        convolution, pool = CONVOLUTION[spatial_dims], MAX_POOL[spatial_dims]
        layers: list[nn.Module] = []
        width, step, self.reach = in_channels, 1, 0
        self.ends: list[int] = []  # index in `features` at which each block ends, before its pooling
        for count, channels, rate, stride in BLOCKS:
            for _ in range(count):
                layers += [convolution(width, channels, 3, padding=rate, dilation=rate), nn.ReLU(inplace=True)]
                width = channels
                self.reach += rate * step
            self.ends.append(len(layers))
            layers.append(pool(3, stride=stride, padding=1))
            self.reach += step
            step *= stride
        self.features = nn.Sequential(*layers)
        self.fc6 = convolution(width, FC_CHANNELS, 3, padding=FC6_DILATION, dilation=FC6_DILATION)
        self.fc7 = convolution(FC_CHANNELS, FC_CHANNELS, 1)
        self.reach += FC6_DILATION * step
        initialise_kaiming(self)

    def steps(self, x: Tensor) -> Steps[list[Tensor]]:
        """See :meth:`Encoder.steps`."""
        stages = []
        for index, layer in enumerate(self.features, start=1):
            x = layer(x)
            if index in self.ends[FIRST_STAGE:]:
                stages.append(x)
            yield
        for layer in (self.fc6, self.fc7):
            x = functional.dropout(functional.relu(layer(x), inplace=True), 0.5, self.training)
            yield
        return [*stages, x]
