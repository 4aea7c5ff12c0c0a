"""Two balls in noise: a model that finds them, and cases whose contours follow another convention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.slicer_nrrd import write_seg_nrrd
from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.models import ModelSpec, write_bundle
from AutofocusCore.networks.build import build_network
from AutofocusCore.teaching.arithmetic import Arithmetic
from AutofocusCore.teaching.case import Case, case_of
from AutofocusCore.teaching.soft_labels import teaching_loss
from Testing.small_models import small_spec

SIZE = 12
BRIGHT, DIM = 1, 2
"""Labels of the bright ball and the dim one."""
FLOAT32 = Arithmetic("float32", torch.device("cpu"))


def ball_spec() -> ModelSpec:
    """A model of the ROI domain for the two balls; the structures' names are those of `small_spec`."""
    architecture = {"architecture": "afn-1", "in_channels": 1, "num_classes": 3, "dilation_rates": [1, 3]}
    options = {"norm": "fused", "domain": "roi"}
    calibration = {"temperature": 1.5}
    return small_spec(
        name="balls",
        spacing=(1.0, 1.0, 1.0),
        orientation="LPS",
        architecture={**architecture, **options},
        calibration=calibration,
        dice={"Anterior hippocampus": 0.9},
        figures={"cases": [{"case": "patient-1", "Anterior hippocampus": 0.9}]},
    )


def balls(seed: int, grown: float = 0.0) -> tuple[sitk.Image, NDArray[np.uint8]]:
    """A scan, and its labels (z, y, x); the bright ball's contour is `grown` voxels outside its edge."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), axis=-1)
    places = np.array([[6, 6, 3], [6, 6, 8]]) + rng.uniform(-1, 1, (2, 3))
    far = [np.linalg.norm(at - place, axis=-1) for place in places]
    image = 0.15 * rng.standard_normal((SIZE,) * 3)
    image[far[0] < 2.2], image[far[1] < 2.2] = 2.0, 1.0
    labels = np.zeros((SIZE,) * 3, dtype=np.uint8)
    labels[far[1] < 2.2] = DIM
    labels[far[0] < 2.2 + grown] = BRIGHT
    return sitk.GetImageFromArray(image.astype(np.float32)), labels


def ball_case(seed: int, grown: float = 0.0) -> Case:
    """The same, ready for the network, all structures known."""
    image, labels = balls(seed, grown)
    return case_of(f"balls-{seed}", image, sitk.GetImageFromArray(labels), ball_spec())


def write_ball_model(folder: Path, steps: int = 40) -> Path:
    """Train a network on the balls from random weights, and write it as a model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build_network(**ball_spec().architecture).train()
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        case = ball_case(100 + step % 6)
        voxels = ActiveVoxels.from_mask(torch.from_numpy(case.roi)[None])
        logits, _ = network.forward_rows(voxels.gather(torch.from_numpy(case.image)[None]), voxels)
        labels = torch.from_numpy(case.labels[case.roi]).long()
        optimizer.zero_grad()
        teaching_loss(logits, labels, (), torch.zeros(len(labels), 0)).backward()
        optimizer.step()
    return write_bundle(folder, ball_spec(), network.state_dict(), "MIT License")


def write_corrections(folder: Path, seeds: Sequence[int], grown: float, labels: Sequence[int] = (BRIGHT,)) -> Path:
    """Write scans and segmentations as Slicer saves them, with segments for some of the labels alone."""
    folder.mkdir()
    for seed in seeds:
        image, values = balls(seed, grown)
        sitk.WriteImage(image, str(folder / f"case-{seed}.nii.gz"))
        kept = np.where(np.isin(values, labels), values, 0).astype(np.uint8)
        segments = [s for s in ball_spec().structures if s.label in labels]
        picture = sitk.GetImageFromArray(kept)
        Grid.of(image).stamp(picture)
        write_seg_nrrd(folder / f"case-{seed}.seg.nrrd", picture, segments, None)
    return folder
