"""Table 3's ten networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import AutofocusCore
from AutofocusCore.errors import SettingError
from AutofocusCore.networks.build import ARCHITECTURES, Reach, reach_of
from AutofocusCore.networks.deepmedic import DeepMedic, repeat
from Testing.core.small_networks import random_network

TABLE_3 = {
    "basic": 315_725,
    "aspp-s": 967_330,
    "aspp-c": 478_435,
    "deepmedic": 662_555,
    "afn-1": 349_904,
    "afn-2": 371_908,
    "afn-3": 393_852,
    "afn-4": 415_796,
    "afn-5": 437_740,
    "afn-6": 450_209,
}


@pytest.mark.parametrize("architecture", TABLE_3)
def test_each_network_has_exactly_the_parameters_of_table_3(architecture: str) -> None:
    network = AutofocusCore.build_network(architecture, in_channels=4, num_classes=5)
    assert AutofocusCore.count_parameters(network) == TABLE_3[architecture]


def test_table_3_is_complete() -> None:
    assert set(ARCHITECTURES) == set(TABLE_3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_forward_pass_takes_the_margin_off_each_side(architecture: str) -> None:
    network = random_network(architecture, in_channels=2, num_classes=4)
    size = [2 * network.margin + extra for extra in (1, 3, 2)]
    with torch.inference_mode():
        logits, attention = network.forward_with_attention(torch.randn(1, 2, *size))
    assert logits.shape == (1, 4, 1, 3, 2)
    assert network.margin == (24 if architecture == "deepmedic" else 14)
    layers = int(architecture[-1]) if architecture.startswith("afn") else 0
    assert len(attention) == layers == network.autofocus_layers
    for index, weights in enumerate(reversed(attention)):
        assert weights.shape == (1, 4, 1 + 4 * index, 3 + 4 * index, 2 + 4 * index)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, *weights.shape[2:]))


def test_options_rebuild_the_same_network() -> None:
    network = AutofocusCore.build_network(
        "AFN-3", in_channels=2, num_classes=3, dilation_rates=(1, 2, 4), norm="fused", detach_attention=False
    )
    again = AutofocusCore.build_network(**network.options)
    again.load_state_dict(network.state_dict())
    assert again.options == network.options
    assert network.margin == 2 + 3 * 2 + 3 * 1


def test_the_fused_norm_has_one_batchnorm_a_layer() -> None:
    branch, fused = (
        AutofocusCore.build_network("afn-6", in_channels=4, num_classes=5, norm=norm) for norm in ("branch", "fused")
    )
    saved = 3 * 2 * (40 + 40 + 40 + 40 + 50 + 50)
    assert AutofocusCore.count_parameters(branch) - AutofocusCore.count_parameters(fused) == saved


def test_a_wide_network_has_that_many_times_the_paper_s_maps_in_each_hidden_layer() -> None:
    network = AutofocusCore.build_network("afn-4", in_channels=1, num_classes=8, norm="fused", width=1.6)
    maps = [len(module.weight) for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert maps == [48, 48, 64, 64, 64, 64, 64, 80, 80, 80]  # a projection's too, in the first and last block
    assert network.options["width"] == 1.6
    assert AutofocusCore.count_parameters(network) == 1_053_056


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"architecture": "unet"}, "unet"),
        ({"in_channels": 0}, "in_channels"),
        ({"detach_attention": "no"}, "detach_attention is 'no'"),
        ({"num_classes": 1}, "num_classes"),
        ({"dilation_rates": ()}, "dilation_rates"),
        ({"dilation_rates": (6, 2)}, "dilation_rates"),
        ({"dilation_rates": (0, 2)}, "dilation_rates"),
        ({"norm": "group"}, "norm"),
        ({"width": "wide"}, "width is 'wide'; give 0.1 to 5"),
        ({"width": float("nan")}, "width is nan"),
        ({"width": True}, "width is True"),
        ({"width": 5.1}, "width is 5.1"),
        ({"architecture": "deepmedic", "width": 2}, "width is 2; leave it 1 for deepmedic"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, object], word: str) -> None:
    arguments = {"architecture": "afn-1", "in_channels": 1, "num_classes": 2} | options
    with pytest.raises(SettingError, match=word):
        AutofocusCore.build_network(**arguments)  # type: ignore[arg-type]


NO_COUNTS = [None, "4", b"4", 4.0, 4j, float("nan"), float("inf"), True, [4], -4, np.array([4, 4]), object()]
NO_RATES = [
    None, 2, "26", b"26", (2.0, 6), (2, float("nan")), (True, 2), ((2,), (6,)), (None,), {2: 6}, (-2, 6), 2j,
    np.array([2, 6]), np.array(2),
]  # fmt: skip
NO_NAMES = [None, 1, True, ["branch"], b"branch", np.zeros(2), float("nan")]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("architecture", [*NO_NAMES, object()]),
        ("in_channels", NO_COUNTS),
        ("num_classes", NO_COUNTS),
        ("dilation_rates", NO_RATES),
        ("norm", NO_NAMES),
        ("domain", NO_NAMES),
        ("detach_attention", [None, 1, "true", np.zeros(2)]),
    ],
)
def test_an_option_of_a_wrong_type_is_named_in_one_sentence(name: str, values: list[object]) -> None:
    arguments = {"architecture": "afn-1", "in_channels": 1, "num_classes": 2}
    for value in values:
        with pytest.raises(SettingError, match=name) as caught:
            AutofocusCore.build_network(**(arguments | {name: value}))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value), value


def test_an_input_that_is_too_small_is_refused_with_the_margin() -> None:
    network = random_network("basic")
    with pytest.raises(SettingError, match="14 voxels"):
        network(torch.zeros(1, 1, 28, 40, 40))


def test_deepmedic_classifies_9_voxels_from_57_as_its_authors_do() -> None:
    network = random_network("deepmedic")
    with torch.inference_mode():
        assert network(torch.randn(1, 1, 57, 57, 57)).shape == (1, 3, 9, 9, 9)


def test_deepmedics_second_pathway_is_centred_on_the_first_of_the_voxels_it_serves() -> None:
    """Its output j depends on the inputs 3j to 3j + 48, of which 3j + 24 is output voxel 3j."""
    network = random_network("deepmedic")
    assert isinstance(network, DeepMedic)
    volume = torch.randn(1, 1, 57, 49, 49, requires_grad=True)
    coarse = network.subsampled(volume[:, :, ::3, ::3, ::3])
    coarse[:, :, 1].sum().backward()
    assert volume.grad is not None
    planes = volume.grad.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten()
    assert (planes.min().item(), planes.max().item()) == (3, 51)


def test_repeating_three_times_and_cropping_serves_every_voxel() -> None:
    x = torch.arange(2.0).reshape(1, 1, 2, 1, 1)
    assert repeat(x, torch.Size((4, 1, 2)))[0, 0, :, 0, 0].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("architecture", "fixed"), [("afn-1", 12), ("afn-4", 6), ("afn-6", 2)])
def test_fixed_layers_reach_as_far_as_their_rates_and_autofocus_layers_as_they_choose(
    architecture: str, fixed: int
) -> None:
    network = AutofocusCore.build_network(architecture, in_channels=1, num_classes=2)
    assert reach_of(network) == Reach(fixed, 1.0)
    choosing = network.autofocus_layers
    assert fixed + 2 * choosing == network.margin, "with the smallest rate everywhere"


def test_a_stream_of_half_the_size_reaches_twice_as_far() -> None:
    network = AutofocusCore.build_network("scale-streams", in_channels=1, num_classes=2, encoder="basic", width=4)
    assert reach_of(network) == Reach(0.0, network.encoder.reach)


@pytest.mark.parametrize("architecture", ["basic", "aspp-c", "deepmedic"])
def test_a_network_that_chooses_nothing_has_no_reach_map(architecture: str) -> None:
    assert reach_of(AutofocusCore.build_network(architecture, in_channels=1, num_classes=2)) is None
