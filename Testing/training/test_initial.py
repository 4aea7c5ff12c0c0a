"""Weights to start from."""

from __future__ import annotations

import torch

import AutofocusCore
from Training.loop.initial import initialise_he


def test_hidden_layers_start_from_hes_weights_attention_and_classifier_from_small_ones() -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("afn-1", in_channels=1, num_classes=3)
    initialise_he(network)
    deviations = {n: float(p.std()) for n, p in network.named_parameters() if p.ndim == 5}
    fan_in = {n: p[0].numel() for n, p in network.named_parameters() if p.ndim == 5}
    for name, deviation in deviations.items():
        small = ".attention." in name or name.startswith("head")
        wanted = 0.01 if small else (2 / fan_in[name]) ** 0.5
        assert abs(deviation / wanted - 1) < 0.3, name
