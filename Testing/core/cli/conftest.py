"""A model of two channels."""

from __future__ import annotations

from pathlib import Path

import pytest

from AutofocusCore.models import Channel, write_bundle
from AutofocusCore.networks.build import build_network
from Testing.small_models import small_spec


@pytest.fixture(scope="session")
def two_channel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle: a basic network for two MR channels."""
    spec = small_spec(
        channels=(Channel("T1", "MR", ("*t1*",)), Channel("T2", "MR", ("*t2*",))),
        architecture={"architecture": "basic", "in_channels": 2, "num_classes": 3},
    )
    network = build_network(**spec.architecture)
    return write_bundle(tmp_path_factory.mktemp("models") / "two", spec, network.state_dict(), "MIT License")
