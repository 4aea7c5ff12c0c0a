"""Attention as a worker tells it, small, for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from AutofocusCore.images.geometry import Grid
from AutofocusCore.result import AttentionMap, ReachMap
from Testing.module.conftest import index_to_ras

RATES, RATES_MM = (2, 6, 10, 14), (3.0, 9.0, 15.0, 21.0)
GRID = (9, 10, 12)  # (z, y, x) of the model's grid, which is not the scan's
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def grid(geometry: str = "left-handed", shape: tuple[int, ...] = GRID) -> Grid:
    """The axes of one of GEOMETRIES with voxels of 1.5 mm, on which RATES are RATES_MM."""
    matrix = LPS @ index_to_ras(geometry)
    matrix[:3, :3] *= 1.5 / np.linalg.norm(matrix[:3, :3], axis=0)
    return Grid.from_index_to_lps(shape, matrix)


def layers(count: int = 1) -> dict[int, AttentionMap]:
    return {index: layer(index) for index in range(count)}


def layer(index: int = 0) -> AttentionMap:
    """Weights that differ from voxel to voxel and sum to 1, but for one voxel that zooms out wholly."""
    weights = np.random.default_rng(index).random((4, *GRID)).astype(np.float32)
    weights /= weights.sum(0)
    weights[:, 3, 4, 5] = (0, 0, 0, 1)
    weights[:, 3, 4, 6] = (0.5, 0.25, 0.25, 0)
    return AttentionMap(weights, RATES, grid())


def voxels(node: Any) -> np.ndarray:
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def reach(*, air: bool = False) -> ReachMap:
    """The reach of two such layers, 18 mm of which are the fixed layers'; with `air`, it is 0 in three rows."""
    values = np.full(GRID, 18, np.float32)
    for index in (0, 1):
        values += layer(index).dilation_mm
    if air:
        values[:, :3] = 0
    return ReachMap(values, grid(), values > 0 if air else None)
