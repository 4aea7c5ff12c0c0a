"""Pictures as arrays: writing text on them, placing them side by side, saving them. Rows count from the top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vtkmodules.vtkRenderingFreeType  # noqa: F401  gives vtkTextRenderer its fonts
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkIOImage import vtkPNGWriter
from vtkmodules.vtkRenderingCore import vtkTextProperty, vtkTextRenderer

from AutofocusCore.errors import OutputError

Picture = NDArray[np.uint8]  # (rows, columns, RGB)
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (38, 42, 50)
PAPER: Colour = (247, 248, 250)
GAP = 6  # pixels between pictures
BAND = 40  # height of a caption in pixels


def text_picture(text: str, size: int, *, bold: bool = False) -> NDArray[np.float32]:
    """The coverage of each pixel by the text, 0 to 1, (rows, columns)."""
    how = vtkTextProperty()
    how.SetFontFamilyToArial()
    how.SetFontSize(size)
    how.SetBold(bold)
    how.SetColor(1.0, 1.0, 1.0)
    image = vtkImageData()
    drawn = [0, 0]
    if not vtkTextRenderer.GetInstance().RenderString(how, text, image, drawn, 72):
        raise OutputError(f"VTK could not write the text {text!r}", "reinstall vtk; its fonts seem to be missing")
    width, height, _ = image.GetDimensions()
    ink = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[..., 3]
    return np.flipud(ink).astype(np.float32)[-drawn[1] :, : drawn[0]] / 255


def write(picture: Picture, text: str, at: tuple[float, float], *, size: int = 14, colour: Colour = WHITE,
          anchor: tuple[float, float] = (0.0, 0.5), bold: bool = False, shadow: bool = False) -> int:  # fmt: skip
    """Write text onto a picture, in place; parts outside the picture are cut off.

    The anchor is the point of the text at column and row `at`: (0, 0) is its upper left corner, (1, 1) its lower right
    one. Returns the width of the text in pixels.
    """
    ink = text_picture(text, size, bold=bold)
    height, width = ink.shape
    left, top = round(at[0] - anchor[0] * width), round(at[1] - anchor[1] * height)
    layers: list[tuple[int, Colour]] = [(1, (0, 0, 0)), (0, colour)] if shadow else [(0, colour)]
    for offset, paint in layers:
        first = max(top + offset, 0), max(left + offset, 0)
        part = ink[first[0] - top - offset :, first[1] - left - offset :]
        under = picture[first[0] : first[0] + part.shape[0], first[1] : first[1] + part.shape[1]]
        part = part[: under.shape[0], : under.shape[1], None]
        under[:] = np.rint(under + part * (np.float32(paint) - under))
    return width


def band(width: int, title: str, keys: Sequence[tuple[str, Colour]] = (), *, remark: str = "") -> Picture:
    """A caption as wide as the pictures below it: a title, colour swatches with names, and a remark at the right."""
    picture: Picture = np.full((BAND, width, 3), PAPER, np.uint8)
    middle = BAND / 2
    column = 12 + write(picture, title, (12, middle), size=17, colour=INK, bold=True) + 24
    for name, colour in keys:
        picture[int(middle) - 6 : int(middle) + 7, column : column + 13] = colour
        column += 19 + write(picture, name, (column + 19, middle), size=14, colour=INK) + 18
    if remark:
        write(picture, remark, (width - 12, middle), size=14, colour=INK, anchor=(1.0, 0.5))
    return picture


def beside(pictures: Sequence[Picture]) -> Picture:
    """Pictures of equal height, from left to right."""
    gap: Picture = np.full((pictures[0].shape[0], GAP, 3), PAPER, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)


def below(pictures: Sequence[Picture]) -> Picture:
    """Pictures of equal width, from top to bottom."""
    return np.concatenate(list(pictures), axis=0)


def save_png(path: Path, picture: Picture) -> None:
    """Write a PNG under a temporary name, then rename it.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    height, width, _ = picture.shape
    image = vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, 3), deep=True))
    aside = path.with_name(path.name + ".part")
    writer = vtkPNGWriter()
    writer.SetFileName(str(aside))
    writer.SetCompressionLevel(9)
    writer.SetInputData(image)
    writer.Write()
    try:
        if writer.GetErrorCode():
            raise OutputError(f"The picture {path} could not be written", "check the free space and the rights there")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
