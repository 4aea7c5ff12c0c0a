"""Networks for tests: random but well-scaled weights, and a forward pass over a whole padded volume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import AutofocusCore
from AutofocusCore.inference.boxes import Box
from AutofocusCore.inference.task import Network
from AutofocusCore.networks import afnet, deepmedic
from AutofocusCore.networks.scale_streams import encoder, pathway, resnet, vgg

NARROW_STEM, NARROW_BLOCKS = (8, 8), ((12, 12), (12, 12), (14, 14))
NARROW_STREAMS = 8  # by how much the encoders of photographs are narrower


@contextmanager
def narrow_networks() -> Iterator[None]:
    """Networks of Table 3 built in here have the same layers with a third of the channels: a tenth of the work."""
    blocks = [channels for block in NARROW_BLOCKS for channels in block]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(afnet, "STEM_CHANNELS", NARROW_STEM)
        patch.setattr(afnet, "BLOCK_CHANNELS", NARROW_BLOCKS)
        patch.setattr(deepmedic, "PATHWAY_CHANNELS", (*NARROW_STEM, *blocks))
        yield


@contextmanager
def narrow_streams() -> Iterator[None]:
    """Scale streams built in here have the same layers with an eighth of the channels, the 3-D encoders a third."""
    blocks = [(count, channels // NARROW_STREAMS, *rest) for count, channels, *rest in vgg.BLOCKS]
    layers = [(count, channels // NARROW_STREAMS, *rest) for count, channels, *rest in resnet.LAYERS]
    last = vgg.FC_CHANNELS // NARROW_STREAMS
    with narrow_networks(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg, "BLOCKS", blocks)
        patch.setattr(vgg, "FC_CHANNELS", last)
        patch.setattr(vgg.VGG16, "channels", (*(channels for _, channels, *_ in blocks[vgg.FIRST_STAGE :]), last))
        patch.setattr(resnet, "LAYERS", layers)
        patch.setattr(resnet, "STEM_CHANNELS", [channels // NARROW_STREAMS for channels in resnet.STEM_CHANNELS])
        patch.setattr(resnet.ResNet34, "channels", tuple(channels for _, channels, *_ in layers))
        patch.setattr(pathway.PathwayEncoder, "channels", (NARROW_STEM[-1], *(last for _, last in NARROW_BLOCKS)))
        patch.setattr(encoder.Encoder, "width", encoder.Encoder.width // NARROW_STREAMS)
        yield


def narrow_network(architecture: str, **options: Any) -> Network:
    """As `random_network`, with a third of the channels, for tests of shapes, plans and agreement."""
    with narrow_networks():
        return random_network(architecture, **options)


def random_network(
    architecture: str, *, seed: int = 0, in_channels: int = 1, num_classes: int = 3, **options: Any
) -> Network:
    """A network whose layers, norms and attention all matter to its output, unlike those of a fresh one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutofocusCore.build_network(architecture, in_channels=in_channels, num_classes=num_classes, **options)
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm3d):
                nn.init.normal_(module.running_mean, 0.0, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.3)
    return network.eval()


@torch.inference_mode()
def truth(network: Network, volume: Tensor, background: float, region: Box) -> tuple[Tensor, list[Tensor]]:
    """One forward pass over the whole padded volume: logits and attention maps of ``region``."""
    padded = functional.pad(volume[None], 6 * [network.margin], value=background)
    logits, attention = network.forward_with_attention(padded)

    def part(tensor: Tensor) -> Tensor:
        for axis, (start, stop) in enumerate(region, start=2):
            surplus = (tensor.shape[axis] - volume.shape[axis - 1]) // 2
            tensor = tensor.narrow(axis, surplus + start, stop - start)
        return tensor[0]

    return part(logits), [part(tensor) for tensor in attention]


def whole(volume: Tensor) -> Box:
    """The region that is all of ``volume`` (C, D, H, W)."""
    depth, height, width = volume.shape[1:]
    return (0, depth), (0, height), (0, width)
