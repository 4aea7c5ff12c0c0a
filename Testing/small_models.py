"""Descriptions of small models, for the tests that need one to be segmented with, written or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from AutofocusCore.models import Channel, ModelSpec, Normalization, find_model, write_bundle
from AutofocusCore.models.terminology import structures
from AutofocusCore.networks.build import build_network


def small_spec(**changes: Any) -> ModelSpec:
    """A sound description of an AFN-1 for one MR channel and two structures, with these fields changed."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "description": "A model without training, for tests.",
        "version": "1.0.0",
        "channels": (Channel("MR", "MR", ("*",)),),
        "structures": structures("Anterior hippocampus", "Posterior hippocampus"),
        "normalization": Normalization(),
        "architecture": {"architecture": "afn-1", "in_channels": 1, "num_classes": 3, "dilation_rates": [2, 6]},
        "licence": "MIT",
        "training_data": "None.",
        "synthetic": True,
    }
    return ModelSpec(**{**fields, **changes})


def write_coarse_pelvis(folder: Path, spacing: float = 9.0) -> Path:
    """The model pelvis-phantom with larger voxels (mm), which take a small part of the time, and random weights.

    What it finds is nonsense, but all structures occur.
    """
    spec = replace(find_model("pelvis-phantom").spec, name="coarse-pelvis", spacing=3 * (spacing,), figures={})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(**spec.architecture)
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.kaiming_normal_(weight)
    return write_bundle(folder, spec, network.state_dict(), "MIT License")
