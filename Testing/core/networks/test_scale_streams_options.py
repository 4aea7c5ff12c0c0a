"""The second system's options, its encoders' weights, and how many parameters each variant has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import AutofocusCore
from AutofocusCore.errors import ModelError, SettingError
from AutofocusCore.networks.scale_streams import VARIANTS, ScaleStreams, StreamOptions
from AutofocusCore.networks.scale_streams.encoder import Encoder
from AutofocusCore.networks.scale_streams.resnet import ResNet34
from AutofocusCore.networks.scale_streams.vgg import VGG16

FC_LARGE_FOV = 512 * 1024 * 9 + 1024 + 1024 * 1024 + 1024
VGG_CONVOLUTIONS = 14_714_688  # of torchvision's vgg16
RESNET_BLOCKS = 21_797_672 - 513_000 - 9_408 - 128  # torchvision's resnet34 without classifier and stem


def build(**options: Any) -> ScaleStreams:
    """A network without values: its parameters can be counted and named."""
    with torch.device("meta"):
        network = AutofocusCore.build_network(
            **{"architecture": "scale-streams", "in_channels": 3, "num_classes": 21, **options}
        )
    assert isinstance(network, ScaleStreams)
    return network


def classifier(channels: int, classes: int) -> int:
    return channels * classes + classes


def branch(joined: int, width: int, outputs: int, *, bias: bool, dims: int = 2) -> int:
    """Two convolutions; with BatchNorm between them the first has no bias, but a scale and a shift."""
    return joined * width * 3**dims + (width if bias else 2 * width) + classifier(width, outputs)


def test_the_large_fov_network_has_its_20_5_million_parameters() -> None:
    network = build(**VARIANTS["single-scale"])
    expected = VGG_CONVOLUTIONS + FC_LARGE_FOV + classifier(1024, 21)
    assert AutofocusCore.count_parameters(network) == expected == 20_505_429


def test_the_dilated_resnet_has_the_blocks_of_torchvision_and_a_stem_of_three() -> None:
    stem = (3 * 64 + 64 * 64 + 64 * 128) * 9 + 2 * (64 + 64 + 128)
    wider = 64 * 64 * 9 + 128 * 64 + 2 * 64  # layer1 reads 128 channels: a wider convolution and a projection
    network = ResNet34(in_channels=3, spatial_dims=2)
    assert AutofocusCore.count_parameters(network) == RESNET_BLOCKS + stem + wider == 21_433_152


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("single-scale", 0),
        ("average", 0),
        ("max", 0),
        ("attention-to-scale", branch(2 * 1024, 256, 2, bias=True)),
        ("multi-stage", branch(2 * 2304, 256, 2, bias=True)),
        ("diverse-dilations", 2 * (2304 * 256 * 9 + 256) + branch(512, 256, 2, bias=True)),
        (
            "full",
            2 * (2304 * 256 * 9 + 256) + branch(512, 256, 2, bias=True) + branch(512, 256, 21, bias=True),
        ),
        ("without-location-attention", 2 * (2304 * 256 * 9 + 256) + branch(512, 256, 21, bias=True)),
    ],
)
def test_each_variant_of_vgg_adds_exactly_the_parameters_of_its_parts(name: str, extra: int) -> None:
    assert AutofocusCore.count_parameters(build(**VARIANTS[name])) == 20_505_429 + extra


def test_the_projects_own_encoder_is_the_pathway_of_basic() -> None:
    with torch.device("meta"):
        basic = AutofocusCore.build_network("basic", in_channels=1, num_classes=3)
    own = build(encoder="basic", in_channels=1, num_classes=3, **VARIANTS["single-scale"])
    assert AutofocusCore.count_parameters(own) == AutofocusCore.count_parameters(basic)
    state = {f"encoder.{name}": value for name, value in basic.state_dict().items() if not name.startswith("head")}
    missing, unknown = own.load_state_dict(state, strict=False)
    assert set(missing) == {"classifier.weight", "classifier.bias"}
    assert unknown == []


def test_variants_have_no_other_names_than_the_options() -> None:
    for options in VARIANTS.values():
        assert options.keys() <= StreamOptions.__dataclass_fields__.keys()


def torchvision_vgg16() -> dict[str, Tensor]:
    """The names and shapes of torchvision's vgg16, values by a seed of their own."""
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    state = {}
    for place, inputs, outputs in zip(places, widths, widths[1:], strict=False):
        state[f"features.{place}.weight"] = torch.full((outputs, inputs, 3, 3), float(place))
        state[f"features.{place}.bias"] = torch.full((outputs,), float(place))
    state["classifier.0.weight"] = torch.zeros(1, 1)
    return state


def torchvision_resnet34() -> dict[str, Tensor]:
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(64), "fc.weight": torch.zeros(1, 1)}
    inputs = 64
    for layer, (count, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(count):
            for convolution in (1, 2):
                shape = (width, inputs if convolution == 1 else width, 3, 3)
                state[f"layer{layer}.{block}.conv{convolution}.weight"] = torch.full(shape, 7.0)
                for name in ("weight", "bias", "running_mean", "running_var"):
                    state[f"layer{layer}.{block}.bn{convolution}.{name}"] = torch.full((width,), 7.0)
            if block == 0 and layer > 1:
                state[f"layer{layer}.0.downsample.0.weight"] = torch.full((width, inputs, 1, 1), 7.0)
                for name in ("weight", "bias", "running_mean", "running_var"):
                    state[f"layer{layer}.0.downsample.1.{name}"] = torch.full((width,), 7.0)
            inputs = width
    return state


@pytest.mark.parametrize(
    ("kind", "theirs", "count"),
    [(VGG16, torchvision_vgg16, 26), (ResNet34, torchvision_resnet34, 177 - 2 - 1 - 5)],
)
def test_torchvisions_weights_load(kind: type[Encoder], theirs: Callable[[], dict[str, Tensor]], count: int) -> None:
    state = theirs()
    network = kind(in_channels=3, spatial_dims=2)  # type: ignore[call-arg]
    taken = network.load_torchvision(state)
    own = network.state_dict()
    assert all(torch.equal(own[name], state[name]) for name in taken)
    rest = {name.split(".")[0] for name in state.keys() - set(taken)}
    assert rest == ({"classifier"} if kind is VGG16 else {"conv1", "bn1", "fc", "layer1"})
    if kind is VGG16:
        assert len(taken) == count
    state.pop(taken[0])
    with pytest.raises(ModelError, match=f"{taken[0]} is missing"):
        network.load_torchvision(state)


def test_weights_for_other_input_channels_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"features.0.weight has the shape \(64, 3, 3, 3\)"):
        VGG16(in_channels=1, spatial_dims=2).load_torchvision(torchvision_vgg16())


def test_options_rebuild_the_same_network() -> None:
    network = build(
        encoder="afn-1", in_channels=2, num_classes=3, scales=[1, [1.0, 0.5, 0.5]], dilations=[1, 2], width=8
    )
    again = build(**network.options)
    again.load_state_dict(network.state_dict())
    assert again.options == network.options
    assert network.options["scales"] == [1, [1.0, 0.5, 0.5]]


def test_an_entry_of_the_attention_map_stands_for_how_far_its_stream_is_zoomed_out() -> None:
    network = build(encoder="basic", scales=[1.0, 0.5, [1.0, 0.5, 0.25]])
    assert network.dilation_rates == (1.0, 2.0, 2.0)
    assert build(encoder="basic", merge="average").dilation_rates == ()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"num_classes": 1}, "num_classes"),
        ({"encoder": "unet"}, "encoder is 'unet'"),
        ({"encoder": "basic", "spatial_dims": 2}, "spatial_dims"),
        ({"spatial_dims": 4}, "spatial_dims"),
        ({"scales": ()}, "scales"),
        ({"scales": (1.0, 0.0)}, "scales"),
        ({"scales": (1.0, 0.123456)}, "scales"),
        ({"scales": (1.0, (0.5, 0.5, 0.5))}, "scales"),
        ({"scales": (1.0, 1.0)}, "scales"),
        ({"scales": 0.5}, "scales"),
        ({"merge": "median"}, "merge"),
        ({"recalibration": True}, "recalibration"),
        ({"multi_stage": 1}, "multi_stage"),
        ({"dilations": (2,)}, "dilations"),
        ({"dilations": (0, 2)}, "dilations"),
        ({"resolution": 0}, "resolution"),
        ({"width": 1.5}, "width"),
        ({"pyramid_bins": (0,)}, "pyramid_bins"),
        ({"encoder": "afn-1", "dilation_rates": (6, 2)}, "dilation_rates"),
        ({"norm": "group"}, "norm"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build(**options)


def test_an_option_of_another_architecture_is_refused() -> None:
    with pytest.raises(TypeError, match="encoder"):
        AutofocusCore.build_network("basic", in_channels=1, num_classes=2, encoder="vgg16")
    with pytest.raises(SettingError, match="scale-streams"):
        AutofocusCore.build_network("scale-stream", in_channels=1, num_classes=2)


NO_COUNTS = [None, "4", 4.0, 4j, float("nan"), True, [4], -4, np.array([4, 4])]
NO_LISTS = [
    "26", b"26", 4, 4j, (2.0, 6), (2, float("nan")), (True, 2), ((2,), (6,)), (None,), {2: 6}, (-2, 6),
    np.array([2, 6]),
]  # fmt: skip
NO_NAMES = [None, 1, True, ["vgg16"], b"vgg16", np.zeros(2), float("nan")]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("in_channels", NO_COUNTS),
        ("num_classes", NO_COUNTS),
        ("encoder", NO_NAMES),
        ("spatial_dims", [*NO_COUNTS[1:], 2.0, 3.0]),
        ("scales", [None, "1", 1.0, (), (1j,), (float("nan"),), (float("inf"),), (True,), ("1",), (None,), np.ones(2)]),
        ("merge", NO_NAMES),
        ("recalibration", NO_NAMES),
        ("multi_stage", [None, 1, "true", np.zeros(2)]),
        ("dilations", NO_LISTS),
        ("resolution", NO_COUNTS[1:]),
        ("width", NO_COUNTS[1:]),
        ("pyramid_bins", [None, *NO_LISTS]),
        ("dilation_rates", [None, *NO_LISTS]),
        ("norm", NO_NAMES),
        ("detach_attention", [None, 1, "true"]),
    ],
)
def test_an_option_of_a_wrong_type_is_named_in_one_sentence(name: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(SettingError, match=name) as caught:
            build(**{name: value})
        assert "\n" not in str(caught.value), value
