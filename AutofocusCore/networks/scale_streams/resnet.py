"""ResNet34 with an output stride of 8: layers 3 and 4 are dilated instead of strided.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; dilation as in "Dilated Residual
Networks" (Yu et al., CVPR 2017) and the ADE20K scene-parsing baselines: the formerly strided convolution has half of
its layer's rate, the following ones have the full rate.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.networks.scale_streams.dimensions import BATCH_NORM, CONVOLUTION, MAX_POOL, Steps
from AutofocusCore.networks.scale_streams.encoder import Encoder, initialise_kaiming

STEM_CHANNELS = (64, 64, 128)
# One row for each layer: blocks, channels, stride, dilation rate.
LAYERS = ((3, 64, 1, 1), (4, 128, 2, 1), (6, 256, 1, 2), (3, 512, 1, 4))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where channels or size change; torchvision's names.

    Args:
        in_channels, channels: channels of input and output.
        stride: stride of the first convolution.
        first_rate, rate: dilation rates of the two convolutions.
        spatial_dims: 2 or 3.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, first_rate: int, rate: int, spatial_dims: int
    ) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]
        self.conv1 = convolution(
            in_channels, channels, 3, stride=stride, padding=first_rate, dilation=first_rate, bias=False
        )
        self.bn1 = norm(channels)
        self.conv2 = convolution(channels, channels, 3, padding=rate, dilation=rate, bias=False)
        self.bn2 = norm(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                convolution(in_channels, channels, 1, stride=stride, bias=False), norm(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        features = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(features + shortcut, inplace=True)


class ResNet34(Encoder):
    """A stem of three convolutions instead of one of 7x7, and four layers of residual blocks.

    The stages are layer1 (stride 4) and layer2, layer3, layer4 (stride 8). Blocks have torchvision's names and shapes;
    when torchvision's weights are loaded, the stem and the layer that reads its 128 channels keep their new weights.

    Args:
        in_channels: of the image.
        spatial_dims: 2 or 3.
    """

    fresh: ClassVar[tuple[str, ...]] = ("stem", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.downsample")
    channels = tuple(channels for _, channels, _, _ in LAYERS)
    strides = (4, 8, 8, 8)

    def __init__(self, *, in_channels: int, spatial_dims: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]
        stem: list[nn.Module] = []
        width, step, self.reach = in_channels, 1, 0
        for index, channels in enumerate(STEM_CHANNELS):
            stride = 2 if index == 0 else 1
            stem += [convolution(width, channels, 3, stride=stride, padding=1, bias=False), norm(channels), nn.ReLU()]
            self.reach += step
            width, step = channels, step * stride
        stem.append(MAX_POOL[spatial_dims](3, stride=2, padding=1))
        self.reach, step = self.reach + step, 2 * step
        self.stem = nn.Sequential(*stem)
        layers = []
        for count, channels, stride, rate in LAYERS:
            blocks = []
            for index in range(count):
                first_rate = max(1, rate // 2) if index == 0 else rate
                first_stride = stride if index == 0 else 1
                blocks.append(
                    BasicBlock(
                        width,
                        channels,
                        stride=first_stride,
                        first_rate=first_rate,
                        rate=rate,
                        spatial_dims=spatial_dims,
                    )
                )
                self.reach += first_rate * step
                step *= first_stride
                self.reach += rate * step
                width = channels
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        initialise_kaiming(self)

    def steps(self, x: Tensor) -> Steps[list[Tensor]]:
        """See :meth:`Encoder.steps`."""
        stages = []
        x = self.stem(x)
        yield
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:
                x = block(x)
                yield
            stages.append(x)
        return stages
