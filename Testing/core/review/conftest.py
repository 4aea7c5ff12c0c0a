"""Probabilities of a made-up patient: two balls, one of them with a vague side."""

from __future__ import annotations

import numpy as np
import pytest

from AutofocusCore.images.geometry import Grid
from AutofocusCore.review.evidence import Evidence

NAMES = ("Ball", "Far ball")
GRID = Grid((40, 40, 30), (2.0, 2.0, 2.5), (-40.0, -30.0, 100.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
VAGUE_MM = (-40.0 + 2 * 18, -30.0 + 2 * 12, 100.0 + 2.5 * 14)
"""In the middle of the vague side of the first ball."""


def ball(centre: tuple[float, float, float], radius: float, softness: float) -> np.ndarray:
    """Probability of a ball, in voxels (z, y, x): one half on its surface."""
    z, y, x = np.indices(GRID.shape)
    distance = np.sqrt((1.25 * (z - centre[0])) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    return 1 / (1 + np.exp((distance - radius) / softness))


@pytest.fixture
def evidence() -> Evidence:
    near, far = ball((14, 12, 12), 6, 0.3), ball((14, 28, 28), 5, 0.3)
    vague = ball((14, 12, 18), 4, 2.0)
    near = np.maximum(near, 0.6 * vague)
    classes = np.stack([np.maximum(1 - near - far, 1e-4), near, far])
    return Evidence((classes / classes.sum(axis=0)).astype(np.float32), GRID, GRID, ((0.0, 0.4, 0.9),))
