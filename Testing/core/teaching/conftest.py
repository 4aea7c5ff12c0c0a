"""A narrow network for two balls."""

from __future__ import annotations

import pytest

from Testing.core.small_lessons import ball_spec
from Testing.core.small_networks import narrow_networks, random_network


@pytest.fixture
def parent():  # type: ignore[no-untyped-def]
    """A narrow AFN-1 of the ROI domain with random weights, in evaluation mode."""
    with narrow_networks():
        options = dict(ball_spec().architecture)
        return random_network(options.pop("architecture"), **options)
