"""Draw the pictures in AutofocusSegmentation/Resources/Icons.

    python -m Documentation.draw_icons

The module's icon is the autofocus layer: the nine taps of a 3 × 3 kernel, four times around one centre, at the dilation
rates 2, 6, 10 and 14, from blue (zoomed in) to red (zoomed out). The thumbnails are slices of the sample data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QPen

from AutofocusCore.phantom import make_phantom
from AutofocusSegmentation.AutofocusSegmentationLib.panel.sample_data import SAMPLES

FOLDER = Path(__file__).resolve().parents[1] / "AutofocusSegmentation" / "Resources" / "Icons"
ICON_SIZE = 128
RINGS = ((2, "#2166ac"), (6, "#67a9cf"), (10, "#ef8a62"), (14, "#b2182b"))  # dilation rate, colour
DOTS = (2.6, 7.0)  # radius of the nearest and the farthest taps, in pixels
GROUND = "#f7f7f7"
THUMBNAIL = (260, 280)  # width and height, as the module Sample Data shows them
WINDOW, LEVEL = 400.0, 40.0  # HU


def main() -> None:
    """Draw all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _save(icon(), "AutofocusSegmentation")
    for sample in SAMPLES:
        _save(thumbnail(make_phantom(sample.seed, dose=sample.dose)[0]), sample.name)


def icon() -> QImage:
    """The module's icon."""
    image = QImage(ICON_SIZE, ICON_SIZE, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(GROUND))
    painter.drawRoundedRect(QRectF(0, 0, ICON_SIZE, ICON_SIZE), 20, 20)
    middle = ICON_SIZE / 2
    step = (middle - DOTS[1] - 6) / RINGS[-1][0]  # pixels for a dilation of one voxel
    for rate, colour in reversed(RINGS):  # the smallest lies on top
        reach = rate * step
        painter.setPen(QPen(QColor(colour), 2.0))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(QRectF(middle - reach, middle - reach, 2 * reach, 2 * reach))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QBrush(QColor(colour)))
        radius = float(np.interp(rate, (RINGS[0][0], RINGS[-1][0]), DOTS))
        for x in (-reach, 0, reach):
            for y in (-reach, 0, reach):
                if x or y:
                    painter.drawEllipse(QPointF(middle + x, middle + y), radius, radius)
    painter.end()
    return image


def thumbnail(scan: sitk.Image) -> QImage:
    """The middle axial slice as a radiologist sees it: the patient's right on the left, the front on top."""
    grey = _windowed(sitk.GetArrayViewFromImage(scan)[scan.GetDepth() // 2])
    height, width = grey.shape
    slice_ = QImage(grey.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    picture = QImage(*THUMBNAIL, QImage.Format.Format_RGB888)
    picture.fill(Qt.GlobalColor.black)
    fill, smooth = Qt.AspectRatioMode.KeepAspectRatioByExpanding, Qt.TransformationMode.SmoothTransformation
    shown = slice_.scaled(*THUMBNAIL, fill, smooth)
    painter = QPainter(picture)
    painter.drawImage((THUMBNAIL[0] - shown.width()) // 2, (THUMBNAIL[1] - shown.height()) // 2, shown)
    painter.end()
    return picture


def _windowed(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    return np.clip((hu - (LEVEL - WINDOW / 2)) / WINDOW * 255, 0, 255).astype(np.uint8)


def _save(image: QImage, name: str) -> None:
    if not image.save(str(FOLDER / f"{name}.png")):
        raise OSError(f"Cannot write {FOLDER / name}.png")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
