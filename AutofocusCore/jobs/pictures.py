"""Pictures of a scan with outlines, in the patient's own planes, without a drawing library: for reports.

Radiologists' convention: the patient's right is on the left of the picture; the views are from the feet, the front
and the left.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.models.parts import Structure

Picture = npt.NDArray[np.uint8]
Point = tuple[float, float, float]

# Of each plane the directions, in LPS, in which the picture's columns and rows grow.
PLANES: dict[str, tuple[Point, Point]] = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
}
CT_WINDOW = (-160.0, 240.0)
SAMPLE = 200_000


@dataclass(frozen=True)
class Window:
    """The intensities shown as black and as white."""

    low: float
    high: float

    @classmethod
    def of(cls, image: sitk.Image, modality: str) -> Window:
        """Soft tissue for CT (also where air is 0 and not -1000), else from the image's own values."""
        import SimpleITK as sitk

        values = sitk.GetArrayViewFromImage(image).ravel()
        some = values[:: max(1, values.size // SAMPLE)]
        low, high = (float(v) for v in np.percentile(some, (1, 99.5)))
        if modality == "CT":
            shift = 1024.0 if low >= -1 else 0.0
            return cls(CT_WINDOW[0] + shift, CT_WINDOW[1] + shift)
        return cls(low, max(high, low + 1e-6))


def picture(
    image: sitk.Image,
    labels: sitk.Image,
    structures: Sequence[Structure],
    window: Window,
    plane: str,
    centre: Point,
    extent_mm: tuple[float, float],
    pixels: int,
) -> Picture:
    """One plane of the scan with the structures' outlines.

    Args:
        image: the scan.
        labels: labelmap on the scan's grid.
        structures: colours by label.
        window: the intensities shown as black and as white.
        plane: "axial", "coronal" or "sagittal".
        centre: point in mm, LPS, in the middle of the picture.
        extent_mm: width and height of what is shown.
        pixels: of the longer side.

    Returns:
        (height, width, 3).
    """
    import SimpleITK as sitk

    across, down = (np.asarray(axis, dtype=np.float64) for axis in PLANES[plane])
    edge = max(extent_mm) / pixels
    width, height = (max(1, round(length / edge)) for length in extent_mm)
    origin = np.asarray(centre) - across * edge * (width - 1) / 2 - down * edge * (height - 1) / 2
    direction = np.stack([across, down, np.cross(across, down)], axis=1)

    def slice_of(source: sitk.Image, how: int, outside: float) -> npt.NDArray[np.float32]:
        resampled = sitk.Resample(
            source, [width, height, 1], sitk.Transform(3, sitk.sitkIdentity), how, origin.tolist(), [edge] * 3,
            direction.ravel().tolist(), outside, sitk.sitkFloat32,
        )  # fmt: skip
        return sitk.GetArrayFromImage(resampled)[0]

    grey = slice_of(image, sitk.sitkLinear, window.low)
    shown = np.clip((grey - window.low) / (window.high - window.low), 0, 1)
    colours = np.repeat((255 * shown).astype(np.uint8)[..., None], 3, axis=2)
    found = slice_of(labels, sitk.sitkNearestNeighbor, 0).astype(np.int64)
    for structure in structures:
        mask = found == structure.label
        if mask.any():
            colours[_edge(mask)] = structure.color
    return colours


def mark(shown: Picture, radius: int) -> Picture:
    """The picture with a white cross of four strokes round its middle, which stays free."""
    marked = shown.copy()
    row, column = marked.shape[0] // 2, marked.shape[1] // 2
    for a, b in ((radius // 2, radius), (-radius, -radius // 2)):
        marked[max(0, row + a) : max(0, row + b), column] = 255
        marked[row, max(0, column + a) : max(0, column + b)] = 255
    return marked


def data_url(shown: Picture) -> str:
    """The picture as a PNG in a data URL, so that a page needs no other file."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(shown), isVector=True)
    with tempfile.TemporaryDirectory(prefix="autofocus-") as folder:
        path = Path(folder) / "picture.png"
        sitk.WriteImage(image, str(path), useCompression=True)
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _edge(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask's outermost pixels, two deep, so that the line is seen."""
    inner = np.pad(mask, 2)
    kept = inner.copy()
    for axis in (0, 1):
        for step in (1, 2):
            kept &= np.roll(inner, step, axis) & np.roll(inner, -step, axis)
    return mask & ~kept[2:-2, 2:-2]
