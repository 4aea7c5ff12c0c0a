"""The colours of the attention overlay: blue where the network zoomed in, red where it zoomed out.

A diverging map straight through CIELAB, from blue over grey to red, all of one lightness: equal steps of dilation look
like equal steps, and light and dark are left to the scan beneath, which stays readable. Colour-blind readers can tell
blue from red too.
"""

from __future__ import annotations

from typing import Any

import slicer
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

# sRGB; each has a CIELAB lightness of 57
ZOOMED_IN = (0.165, 0.545, 0.945)  # small effective dilation
BETWEEN = (0.538, 0.538, 0.538)
ZOOMED_OUT = (0.935, 0.305, 0.235)  # large effective dilation
NUMBER_OF_COLOURS = 256
NODE_NAME = "Zoom in to zoom out"


def add_zoom_colours(scene: Any) -> Any:
    """The diverging colour table as a vtkMRMLColorTableNode of `scene`; the one already there on a second call."""
    known = scene.GetFirstNode(NODE_NAME, "vtkMRMLColorTableNode")
    if known is not None:
        return known
    function = vtkColorTransferFunction()
    function.SetColorSpaceToLab()
    for place, colour in ((0.0, ZOOMED_IN), (0.5, BETWEEN), (1.0, ZOOMED_OUT)):
        function.AddRGBPoint(place, *colour)
    table = slicer.vtkMRMLColorTableNode()
    table.SetName(NODE_NAME)
    table.SetTypeToUser()
    table.SetNumberOfColors(NUMBER_OF_COLOURS)
    for index in range(NUMBER_OF_COLOURS):
        fraction = index / (NUMBER_OF_COLOURS - 1)
        table.SetColor(index, f"{fraction:.3f}", *function.GetColor(fraction), 1.0)
    table.SetHideFromEditors(False)
    return scene.AddNode(table)
