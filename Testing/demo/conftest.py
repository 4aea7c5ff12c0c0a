"""A small case as the command line leaves it, and the skip where nothing can be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.results import write_attention, write_image, write_segmentation
from AutofocusCore.models.terminology import structures
from AutofocusCore.phantom import make_phantom
from AutofocusCore.segmentation import AttentionMap
from Demo import offscreen

RATES = (2, 6, 10, 14)
NAMES = ("Prostate", "Seminal vesicles", "Bladder", "Rectum", "Left femur", "Right femur")
PROVENANCE = {"model": "none", "note": "made up; ½ = 50 %"}
TILT = np.radians(20.0)


@dataclass(frozen=True)
class Case:
    """Files of one phantom.

    The attention is made up, on an oblique grid of its own: zoomed out around `focus` (mm, RAS, in the left femur) and
    zoomed in elsewhere.
    """

    scan: Path
    segmentation: Path
    attention: Path
    focus: tuple[float, float, float]


@pytest.fixture(scope="session")
def drawing() -> None:
    """Skips where slicer-core is missing or nothing can be drawn."""
    problem = offscreen.why_not()
    if problem is not None:
        pytest.skip(str(problem))
    offscreen.choose_window()


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    image, labels = make_phantom(11, size=(96, 75, 54), spacing=(4.5, 4.5, 4.5))
    scan, segmentation = folder / "scan.nrrd", folder / "segmentation.seg.nrrd"
    write_image(scan, image)
    write_segmentation(segmentation, labels, structures(*NAMES), provenance=PROVENANCE)

    voxels = np.argwhere(sitk.GetArrayViewFromImage(labels) == 5)
    left_femur = labels.TransformContinuousIndexToPhysicalPoint(voxels.mean(0)[::-1].tolist())  # LPS
    grid = _oblique_grid(left_femur)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), -1)
    points = index @ np.asarray(grid.matrix).T + grid.origin
    distance = np.linalg.norm(points - left_femur, axis=-1).transpose(2, 1, 0)
    far = np.clip(distance / 40.0, 0, 1).astype(np.float32)
    zeros = np.zeros_like(far)
    weights = np.stack([far, zeros, zeros, 1 - far])
    (folder / "attention").mkdir()
    write_attention(folder / "attention", "segmentation", {1: AttentionMap(weights, RATES, grid)})
    return Case(scan, segmentation, folder / "attention", (-left_femur[0], -left_femur[1], left_femur[2]))


def _oblique_grid(middle: tuple[float, float, float]) -> Grid:
    """Voxels of 3 × 3 × 4 mm around a point, turned about two axes."""
    about_z = np.array([[np.cos(TILT), -np.sin(TILT), 0], [np.sin(TILT), np.cos(TILT), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(TILT), -np.sin(TILT)], [0, np.sin(TILT), np.cos(TILT)]])
    direction = about_z @ about_x
    size, spacing = (61, 51, 41), (3.0, 3.0, 4.0)
    origin = np.asarray(middle) - direction @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    return Grid(size, spacing, tuple(origin.tolist()), tuple(direction.ravel().tolist()))
