"""Pictures of cases: the model's result and the reference contours, in three planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.models import ModelSpec
from AutofocusCore.teaching.case import Case

CONTOURED = "#ffffff"
PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class DrawnCase:
    """A case to draw.

    Args:
        title: text beside it.
        case: with its true labels.
        found: (D, H, W), the labels that the model found.
    """

    title: str
    case: Case
    found: NDArray[np.uint8]


def best_median_worst(spec: ModelSpec) -> dict[str, tuple[str, float]]:
    """The best, the median and the worst case of a model's card, each with the mean Dice of its known structures.

    Raises:
        InputError: the card has no case with a Dice.
    """
    means = []
    for row in spec.figures.get("cases", ()):
        dice = [value for name, value in row.items() if name != "case"]
        if dice:
            means.append((str(row["case"]), sum(dice) / len(dice)))
    if not means:
        raise InputError(f"The card of {spec.name} has no case with a Dice", "export the model with its figures")
    ranked = sorted(means, key=lambda pair: (-pair[1], pair[0]))
    return {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}


def draw_cases(path: Path, drawn: Sequence[DrawnCase], spec: ModelSpec, spacing: Sequence[float], title: str) -> None:
    """A row for each case, a column for each plane through the middle of what is contoured.

    Coloured lines are the model's result, white dashes the reference contours. Axes are the model's: of one
    in RAS or LPS, slices are turned so that the head is up, and the patient's right on the left of the picture.

    Args:
        path: a .png, written directly; give a temporary name.
        drawn: the cases, on the model's grid.
        spec: its structures have colours.
        spacing: (z, y, x) in mm.
        title: above all.
    """
    colours = {s.label: to_rgb(tuple(part / 255 for part in s.color)) for s in spec.structures}
    drawn = [_cropped(one) for one in drawn]
    figure = Figure(figsize=(12.0, 3.9 * len(drawn) + 0.9), layout="constrained", facecolor="black")
    panels = figure.subplots(len(drawn), 3, squeeze=False)
    for row, one in zip(panels, drawn, strict=True):
        centre = _centre(one)
        for axis, panel in enumerate(row):
            _draw_plane(panel, one, axis, centre[axis], spec.orientation or "RAS", spacing, colours)
        row[0].set_title(one.title, color="white", fontsize=11, loc="left")
    lines = [Line2D([], [], color=colours[s.label], label=s.name) for s in spec.structures]
    lines.append(Line2D([], [], color=CONTOURED, linestyle="--", label="contoured"))
    figure.legend(handles=lines, loc="outside lower center", ncols=4, frameon=False, labelcolor="white", fontsize=10)
    figure.suptitle(title, color="white", fontsize=13)
    figure.savefig(path, dpi=100, format="png")


def _cropped(one: DrawnCase) -> DrawnCase:
    """The case cropped to the patient."""
    box = one.case.roi_box()
    inner = replace(
        one.case, image=one.case.image[(slice(None), *box)], labels=one.case.labels[box], roi=one.case.roi[box],
    )  # fmt: skip
    return replace(one, case=inner, found=one.found[box])


def _centre(one: DrawnCase) -> list[int]:
    """Index (z, y, x) of the slices to show: with most structures, and of these with most voxels of them."""
    labels = one.case.labels if (one.case.labels > 0).any() else one.found
    if not (labels > 0).any():
        return [extent // 2 for extent in labels.shape]
    masks = np.stack([labels == label for label in np.unique(labels) if label])
    centre = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        voxels = masks.sum(tuple(1 + a for a in others))  # (structures, slices)
        share = voxels.sum(0) / (voxels.sum(0).max() + 1)
        centre.append(int(np.argmax((voxels > 0).sum(0) + share)))
    return centre


def _draw_plane(
    panel: Any, one: DrawnCase, axis: int, index: int, orientation: str, spacing: Sequence[float],
    colours: Mapping[int, tuple[float, float, float]],
) -> None:  # fmt: skip
    z, y, x = spacing
    across, down = ((x, y), (x, z), (y, z))[axis]
    image = _as_seen(np.take(one.case.image[0], index, axis), axis, orientation)
    low, high = np.percentile(one.case.image[0][one.case.roi], (2, 99.5))
    extent = (0.0, image.shape[1] * across, image.shape[0] * down, 0.0)
    panel.imshow(image, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    for labels, dashed in ((one.case.labels, True), (one.found, False)):
        plane = _as_seen(np.take(labels, index, axis), axis, orientation)
        for label, colour in colours.items():
            mask = plane == label
            if mask.any():
                panel.contour(
                    np.pad(mask, 1).astype(np.float32), levels=[0.5], colors=[CONTOURED if dashed else colour],
                    linewidths=0.9 if dashed else 1.4, linestyles="dashed" if dashed else "solid",
                    extent=(-across, extent[1] + across, extent[2] + down, -down), origin="upper",
                )  # fmt: skip
    panel.set_xlim(0, extent[1])
    panel.set_ylim(extent[2], 0)
    panel.set_aspect("equal")
    panel.axis("off")


def _as_seen(plane: NDArray[Any], axis: int, orientation: str) -> NDArray[Any]:
    """A slice with the patient's right on the left (or his front), and the front (or his head) up."""
    rows, columns = ((1, 0), (2, 0), (2, 1))[axis]
    down = {"A": -1, "P": 1, "S": -1, "I": 1}.get(orientation[rows], 1)
    right = {"L": 1, "R": -1, "P": 1, "A": -1}.get(orientation[columns], 1)
    return plane[::down, ::right]
