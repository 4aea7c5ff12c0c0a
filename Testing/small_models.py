"""Descriptions of small models, for the tests that need one to be segmented with, written or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from AutofocusCore.models import Channel, ModelSpec, Normalization, find_model, write_bundle
from AutofocusCore.models.terminology import structures


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
    """The model pelvis-phantom with larger voxels (mm), which takes a small part of the time."""
    model = find_model("pelvis-phantom")
    spec = replace(model.spec, name="coarse-pelvis", spacing=3 * (spacing,), figures={})
    return write_bundle(folder, spec, model.build().state_dict(), "MIT License")
