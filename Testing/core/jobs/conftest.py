"""Series for exports: axial, oblique, with a tilted gantry, with a gap; and labels with holes, parts and an absence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from Testing.core.images.conftest import write_series

__all__ = ["write_series"]

SHAPE = (6, 24, 30)
KINDS = ("axial", "oblique", "gantry", "gap", "backwards")


def oblique_axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    return turn[:, 0], turn[:, 1], np.cross(turn[:, 0], turn[:, 1])


def places(kind: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """Positions of the slices, and the direction cosines of all of them."""
    count = SHAPE[0]
    if kind == "oblique":
        row, column, normal = oblique_axes()
        return np.array([-40.0, 12.0, 300.0]) + np.arange(count)[:, None] * 2.5 * normal, (*row, *column)
    positions = np.zeros((count, 3))
    positions[:, 2] = np.arange(count) * 2.5 - 100
    if kind == "gantry":
        positions[:, 1] = np.arange(count) * 0.6  # each slice lies further back: the axes are sheared
    if kind == "gap":
        positions[3:, 2] += 2.5
    return positions[::-1] if kind == "backwards" else positions, (1, 0, 0, 0, 1, 0)


@pytest.fixture
def series_of_kind(write_series: Callable[..., Path]) -> Callable[..., Path]:
    """A function that writes a series of one of the kinds and returns its folder."""

    def write(kind: str, **attributes: object) -> Path:
        positions, cosines = places(kind)
        common = {"PatientName": "Näher^Jürgen", "SpecificCharacterSet": "ISO_IR 100", "PatientID": "7"}
        pixels = np.random.default_rng(1).integers(-100, 100, SHAPE)
        return write_series(positions, pixels, cosines, spacing=(1.25, 0.75), **{**common, **attributes})

    return write


@pytest.fixture
def awkward_labels() -> np.ndarray:
    """1: a ring with two holes, one off its middle, and a part beside; 2: one voxel, two that touch at a corner, and
    the border; 3: nowhere."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1:5, 3:16, 4:20] = 1
    labels[1:5, 5:8, 7:10] = 0
    labels[2:4, 10:14, 11:17] = 0
    labels[3, 11:13, 13:15] = 1  # an island in the hole
    labels[2:4, 18:22, 22:27] = 1
    labels[2, 20, 3] = labels[3, 20, 3] = labels[3, 21, 4] = 2
    labels[:, 0, :] = labels[0, :, 29] = 2
    return labels
