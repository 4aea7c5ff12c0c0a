"""Descriptions of small models, for the tests that need one to be segmented with, written or refused."""

from __future__ import annotations

from typing import Any

from AutofocusCore.models import Channel, ModelSpec, Normalization
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
