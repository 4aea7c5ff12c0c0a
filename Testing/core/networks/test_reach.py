"""How far a network looks."""

from __future__ import annotations

import pytest

import AutofocusCore
from AutofocusCore.networks.reach import Reach, reach_of


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
